/** Ours, as a program uses it. */
import * as Queue from "@apium/hub/Queue"
import * as Redis from "@apium/transport-redis/node"
import * as MemoryBackend from "@apium/worker/client/backends/MemoryBackend"
import * as RedisBackend from "@apium/worker/client/backends/RedisBackend"
import { Client } from "@apium/worker/client/Client"
import { layerHost } from "@apium/worker/node"
import * as Task from "@apium/worker/task/Task"
import { Tasks } from "@apium/worker/task/Tasks"
import * as Worker from "@apium/worker/Worker"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Schema from "effect/Schema"
import { createClient } from "redis"
import { batch, counter, marks, now, queue, window, type Program } from "./work.ts"

const noop = Task.make("bench.noop", { params: {} })
const count = Task.make("bench.count", { params: {} })
const mark = Task.make("bench.mark", { params: { at: Schema.Number } })

const services = (url: string, results: boolean) =>
  results
    ? Layer.mergeAll(Layer.provideMerge(RedisBackend.layer, Redis.layerAll(url)), layerHost)
    : Layer.mergeAll(Redis.layer(url), MemoryBackend.layer, layerHost)

export const program: Program = {
  work: async (url, { concurrency, results }) => {
    const redis = await createClient({ url }).connect()
    const handlers = [
      Tasks.handle(noop, () => Effect.void),
      Tasks.handle(count, () => Effect.promise(async () => void (await redis.incr(counter)))),
      Tasks.handle(mark, ({ at }) => {
        const late = now() - at
        return Effect.promise(async () => void (await redis.rPush(marks, String(late))))
      })
    ] as const
    const live = Worker.layer({ queues: [Queue.make(queue)], concurrency }).pipe(
      Layer.provide([...handlers]),
      Layer.provide(Tasks.layer),
      Layer.provide(services(url, results))
    )
    await ManagedRuntime.make(live).context()
  },
  produce: async (url) => {
    const redis = await createClient({ url }).connect()
    const runtime = ManagedRuntime.make(Layer.provide(Client.layer, services(url, false)))
    const client = await runtime.runPromise(Client)
    return {
      send: (manner, name, operations, results) => {
        const task = name === "bench.noop" ? noop : count
        const options = { ignoreResult: !results }
        const one = Effect.suspend(() => client.send(task, {}, options))
        const payloads = Array.from({ length: Math.min(batch, operations) }, () => ({}))
        const times = (turns: number, effect: Effect.Effect<unknown, unknown>) =>
          Effect.gen(function* () {
            for (let turn = 0; turn < turns; turn++) yield* effect
          })
        let left = operations
        const lane = Effect.gen(function* () {
          while (left-- > 0) yield* one
        })
        switch (manner) {
          case "batch":
            return Effect.runPromise(
              times(
                operations / payloads.length,
                Effect.suspend(() => client.sendAll(task, payloads, options))
              )
            )
          case "together":
            return Effect.runPromise(
              Effect.forEach(Array.from({ length: window }), () => lane, { concurrency: window, discard: true })
            )
          case "each":
            return Effect.runPromise(times(operations, one))
        }
      },
      mark: async () => {
        await Effect.runPromise(Effect.suspend(() => client.send(mark, { at: now() }, { ignoreResult: true })))
        return Number((await redis.blPop(marks, 0))!.element)
      }
    }
  }
}
