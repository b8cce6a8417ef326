/** Tasks with an ETA as contestants: a thousand of one second, and how late each begins. Celery's are sent by our client, in its own protocol. */
import * as Redis from "@apium/transport-redis/node"
import * as MemoryBackend from "@apium/worker/client/backends/MemoryBackend"
import { Client } from "@apium/worker/client/Client"
import * as Task from "@apium/worker/task/Task"
import { Queue } from "bullmq"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Schema from "effect/Schema"
import { createClient } from "redis"
import type { Contestant } from "../Bench.ts"
import * as peers from "./peers.ts"
import { place } from "./place.ts"
import { marks, now, type Peer, queue, together } from "./work.ts"

/** A `bench.mark` that is due at this millisecond of the wall clock; `at` is the same moment of the machine's own. */
type Send = (eta: number, at: number) => Promise<unknown>

interface Sender {
  readonly send: Send
  readonly stop: () => Promise<unknown>
}

const mark = Task.make("bench.mark", { params: { at: Schema.Number } })

const celery = async (url: string): Promise<Sender> => {
  const runtime = ManagedRuntime.make(Layer.provide(Client.layer, [Redis.layer(url), MemoryBackend.layer]))
  const client = await runtime.runPromise(Client)
  return {
    send: (eta, at) => runtime.runPromise(client.send(mark, { at }, { eta: new Date(eta), ignoreResult: true })),
    stop: runtime.dispose
  }
}

const bullmq = async (url: string): Promise<Sender> => {
  const { hostname, pathname, port } = new URL(url)
  const connection = { host: hostname, port: Number(port), db: Number(pathname.slice(1)), maxRetriesPerRequest: null }
  const jobs = new Queue(queue, { connection, defaultJobOptions: { removeOnComplete: true } })
  await jobs.waitUntilReady()
  return {
    send: (eta, at) => jobs.add("bench.mark", { at }, { delay: eta - Date.now() }),
    stop: () => jobs.close()
  }
}

/** What the machine's own clock says when the wall clock says 0, to some microseconds: asked when that ticks, and whenever we were not kept from it. */
const offset = (): number => {
  let least = Number.POSITIVE_INFINITY
  for (let tick = 0; tick < 20; tick++) {
    const before = Date.now()
    let wall = before
    while (wall === before) wall = Date.now()
    least = Math.min(least, now() - wall)
  }
  return least
}

/** In milliseconds, until the first is due: by then all are sent. */
const ahead = 4000

export const delayed = (name: string, peer: Peer, concurrency: number, count: number): Contestant => ({
  name,
  start: async () => {
    const { urls } = await place("redis", peer)
    const redis = await createClient({ url: urls.redis }).connect()
    const sender = await (peer === "bullmq" ? bullmq : celery)(urls.redis)
    const worker = await peers.worker(peer, urls, { concurrency, results: "none" })
    return {
      turn: async () => {
        const from = Date.now() + ahead
        const own = offset()
        let n = 0
        await together(count, () => {
          const eta = from + Math.floor((n++ * 1000) / count)
          return sender.send(eta, eta + own)
        })
        const sent = Date.now()
        if (sent > from - 1500) throw new Error(`${name}: sending took ${sent - from + ahead} ms`)
        const late: Array<number> = []
        while (late.length < count) late.push(Number((await redis.blPop(marks, 0))!.element))
        late.sort((one, other) => one - other)
        if (late[0]! < 0 && peer !== "bullmq") throw new Error(`${name}: one began ${-late[0]!} ms early`)
        return { p50: late[count >> 1]!, p99: late[Math.floor(count * 0.99)]! }
      },
      stop: async () => {
        await worker.stop()
        await sender.stop()
        redis.destroy()
      }
    }
  }
})
