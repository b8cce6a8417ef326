/** A Redis for all benchmarks of one run: a database for each contestant. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { createClient } from "redis"
import * as Redis from "../../../test/support/Redis.ts"
import * as Bench from "../Bench.ts"
import type { Line, Place } from "./place.ts"
import { counter, queue, type Peer } from "./work.ts"

export interface Database extends Line, Pick<Place, "counted" | "forget" | "results"> {
  /** Messages that wait, or are not yet through. */
  readonly left: () => Promise<number>
}

/** All lists and sets in which a message that is not through can be. */
const ours = { waiting: queue, lists: [queue], hashes: ["unacked"] }
const bullmqs = { waiting: `bull:${queue}:wait`, lists: [`bull:${queue}:wait`, `bull:${queue}:active`], hashes: [] }

/** Celery's results, and ours. */
const stored = "celery-task-meta-*"

const start = async () => {
  const scope = Scope.makeUnsafe()
  const clients = new Set<{ readonly destroy: () => void }>()
  Bench.atEnd(() => {
    for (const client of clients) client.destroy()
    return Effect.runPromise(Scope.close(scope, Exit.void))
  })
  const { node } = await Effect.runPromise(Scope.provide(Redis.start(), scope))
  let taken = 0
  return async (peer: Peer): Promise<Database> => {
    const url = Redis.access(node, ++taken).url()
    const client = await createClient({ url }).connect()
    clients.add(client)
    const { hashes, lists, waiting } = peer === "bullmq" ? bullmqs : ours
    const kept = "bench:kept"
    const left = async (): Promise<number> => {
      const sizes = await Promise.all([
        ...lists.map((list) => client.lLen(list)),
        ...hashes.map((hash) => client.hLen(hash))
      ])
      return sizes.reduce((sum, size) => sum + size, 0)
    }
    return {
      url,
      left,
      counted: async () => Number((await client.getDel(counter)) ?? 0),
      results: async () => (await client.keys(stored)).length,
      forget: async () => {
        const keys = await client.keys(stored)
        if (keys.length > 0) await client.unlink(keys)
      },
      waiting: () => client.lLen(waiting),
      // Every 2 ms.
      drained: async () => {
        while ((await left()) > 0) await new Promise((resolve) => setTimeout(resolve, 2))
      },
      // BullMQ's jobs are keys of their own, which nobody counts.
      purge: async () => void (await (peer === "bullmq" ? client.flushDb() : client.del(queue))),
      keep: async () => void (await client.rename(queue, kept)),
      refill: async () => void (await client.copy(kept, queue, { REPLACE: true }))
    }
  }
}

let started: ReturnType<typeof start> | undefined

export const database = async (peer: Peer): Promise<Database> => (await (started ??= start()))(peer)
