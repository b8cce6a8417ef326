/** A Redis for all Redis benchmarks of one run: a database for each contestant, and what has to be done to them outside of the clock. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { createClient } from "redis"
import * as Redis from "../../../test/support/Redis.ts"
import * as Bench from "../Bench.ts"
import { counter, queue, type Peer } from "./work.ts"

export interface Database {
  readonly url: string
  /** Runs of `bench.count` since the last time. */
  readonly counted: () => Promise<number>
  /** Messages that wait. */
  readonly waiting: () => Promise<number>
  /** How many results are stored. */
  readonly results: () => Promise<number>
  readonly forget: () => Promise<void>
  /** Messages that wait, or are not yet through. */
  readonly left: () => Promise<number>
  readonly purge: () => Promise<void>
  /** What waits is kept, and again what waits, as often as wanted. BullMQ's jobs are more than a list. */
  readonly keep: () => Promise<void>
  readonly refill: () => Promise<void>
}

/** All lists and sets in which a message that is not through can be. */
const places: Readonly<
  Record<
    Peer,
    { readonly waiting: string; readonly lists: ReadonlyArray<string>; readonly hashes: ReadonlyArray<string> }
  >
> = {
  apium: { waiting: queue, lists: [queue], hashes: ["unacked"] },
  celery: { waiting: queue, lists: [queue], hashes: ["unacked"] },
  bullmq: { waiting: `bull:${queue}:wait`, lists: [`bull:${queue}:wait`, `bull:${queue}:active`], hashes: [] }
}

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
    const { hashes, lists, waiting } = places[peer]
    const kept = "bench:kept"
    return {
      url,
      counted: async () => Number((await client.getDel(counter)) ?? 0),
      results: async () => (await client.keys(stored)).length,
      forget: async () => {
        const keys = await client.keys(stored)
        if (keys.length > 0) await client.unlink(keys)
      },
      waiting: () => client.lLen(waiting),
      left: async () => {
        const sizes = await Promise.all([
          ...lists.map((list) => client.lLen(list)),
          ...hashes.map((hash) => client.hLen(hash))
        ])
        return sizes.reduce((sum, size) => sum + size, 0)
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
