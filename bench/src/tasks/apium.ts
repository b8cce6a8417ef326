/** Ours, as a program uses it. */
import * as Queue from "@apium/hub/Queue"
import * as Amqp from "@apium/transport-amqp/node"
import * as Redis from "@apium/transport-redis/node"
import * as MemoryBackend from "@apium/worker/client/backends/MemoryBackend"
import * as RedisBackend from "@apium/worker/client/backends/RedisBackend"
import * as RpcBackend from "@apium/worker/client/backends/RpcBackend"
import * as Canvas from "@apium/worker/client/Canvas"
import { Client } from "@apium/worker/client/Client"
import { layerHost } from "@apium/worker/node"
import * as Profile from "@apium/worker/Profile"
import * as Task from "@apium/worker/task/Task"
import { Tasks } from "@apium/worker/task/Tasks"
import * as Worker from "@apium/worker/Worker"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Schema from "effect/Schema"
import { createClient } from "redis"
import {
  batch,
  counter,
  marks,
  now,
  queue,
  type Results,
  type Urls,
  window,
  type Program,
  type ProducerOptions
} from "./work.ts"

const noop = Task.make("bench.noop", { params: {} })
const count = Task.make("bench.count", { params: {} })
const mark = Task.make("bench.mark", { params: { at: Schema.Number } })
const one = Task.make("bench.one", { params: {}, result: Schema.Number })
const next = Task.make("bench.next", { params: { x: Schema.Number }, result: Schema.Number })
const sum = Task.make("bench.sum", { params: { xs: Schema.Array(Schema.Number) }, result: Schema.Number })

const onRabbitMq = ({ broker, redis }: Urls, results: Results) => {
  const connection = Amqp.layer(broker)
  switch (results) {
    case "none":
      return Layer.mergeAll(connection, MemoryBackend.layer)
    case "redis":
      return Layer.mergeAll(connection, Layer.provide(RedisBackend.layer, Redis.layerRedis(redis)))
    case "rpc":
      return Layer.provideMerge(RpcBackend.layer, connection)
  }
}

const onRedis = (url: string, results: Results) =>
  results === "none"
    ? Layer.mergeAll(Redis.layer(url), MemoryBackend.layer)
    : Layer.provideMerge(RedisBackend.layer, Redis.layerAll(url))

const profileOf = (name: ProducerOptions["profile"]) => (name === "celery" ? Profile.celery : Profile.durable)

const services = (urls: Urls, results: Results) =>
  Layer.merge(urls.broker.startsWith("amqp") ? onRabbitMq(urls, results) : onRedis(urls.broker, results), layerHost)

const chord = (size: number) =>
  Canvas.chord(
    Array.from({ length: size }, () => one.s({})),
    sum.partial({})
  )

const steps = (size: number) => {
  const [first, ...rest] = [next.s({ x: 0 }), ...Array.from({ length: size - 1 }, () => next.partial({}))] as const
  return Canvas.chain(first, ...rest)
}

export const program: Program = {
  work: async (urls, { concurrency, profile, results }) => {
    const redis = await createClient({ url: urls.redis }).connect()
    const handlers = [
      Tasks.handle(noop, () => Effect.void),
      Tasks.handle(count, () => Effect.promise(async () => void (await redis.incr(counter)))),
      Tasks.handle(mark, ({ at }) => {
        const late = now() - at
        return Effect.promise(async () => void (await redis.rPush(marks, String(late))))
      }),
      Tasks.handle(one, () => Effect.succeed(1)),
      Tasks.handle(next, ({ x }) => Effect.succeed(x + 1)),
      Tasks.handle(sum, ({ xs }) => Effect.succeed(xs.reduce((all, x) => all + x, 0)))
    ] as const
    const live = Worker.layer({ queues: [Queue.make(queue)], concurrency, profile: profileOf(profile) }).pipe(
      Layer.provide([...handlers]),
      Layer.provide(Tasks.layer),
      Layer.provide(services(urls, results))
    )
    await ManagedRuntime.make(live).context()
  },
  produce: async (urls, { profile, results }) => {
    const redis = await createClient({ url: urls.redis }).connect()
    const runtime = ManagedRuntime.make(
      Layer.provideMerge(Client.layerWith({ profile: profileOf(profile) }), services(urls, results))
    )
    const client = await runtime.runPromise(Client)
    return {
      send: (manner, name, operations, stored) => {
        const task = name === "bench.noop" ? noop : count
        const options = { ignoreResult: !stored }
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
      },
      trip: () => runtime.runPromise(Effect.flatMap(client.send(noop, {}), (sent) => Effect.asVoid(sent.get))),
      canvas: (canvas, size) =>
        runtime.runPromise(
          Effect.flatMap(Canvas.delay(canvas === "chord" ? chord(size) : steps(size)), (sent) => sent.get)
        )
    }
  }
}
