/** A worker of ours, a Python client that puts rubbish into its queue, and how to see that neither minds. */
import * as Compression from "@apium/hub/Compression"
import { Connection } from "@apium/hub/Connection"
import * as DeadLetter from "@apium/hub/DeadLetter"
import type { Message } from "@apium/hub/Message"
import * as Queue from "@apium/hub/Queue"
import { Client } from "@apium/worker/client/Client"
import { ResultBackend } from "@apium/worker/client/ResultBackend"
import { Tasks } from "@apium/worker/task/Tasks"
import * as Worker from "@apium/worker/Worker"
import { assert, layer } from "@effect/vitest"
import { Context, Effect, Layer, Logger, Option, Schedule } from "effect"
import { print, spread, timed, until } from "../../support/Figures.ts"
import { RabbitMq } from "../../support/RabbitMq.ts"
import { Redis } from "../../support/Redis.ts"
import { get } from "./asked.ts"
import * as deployments from "./deployments.ts"
import * as PythonClient from "./PythonClient.ts"
import { add, handlers } from "./tasks.ts"

export const queue = "hostile"

export class World extends Context.Service<
  World,
  {
    readonly onRedis: boolean
    readonly python: PythonClient.PythonClient
    /** Of the queue: how much is in it, and in the hands of the worker. */
    readonly waiting: Effect.Effect<number, unknown>
    /** What the worker has logged: so many octets. */
    readonly logged: () => number
    /** Milliseconds from a message to the answer to the next task. */
    readonly answers: Array<number>
    readonly books: { asked: number; passed: number }
  }
>()("test/interop/Hostile") {}

type Needed = World | Client | ResultBackend | Connection

/** Puts a message, and a task behind it: it is answered, and the log says little. How soon is printed: on an idle machine, within 20 ms. */
export const unharmed = <A, E, R>(put: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const { answers, logged } = yield* World
    const before = logged()
    yield* put
    const took = yield* timed(
      Effect.map(get(add.applyAsync({ x: 1, y: 1 }, { queue })), (value) => assert.strictEqual(value, 2))
    )
    answers.push(took)
    assert.isBelow(logged() - before, 20_000)
  })

/** Nothing of all that stays in anybody's hands. */
export const settled = Effect.flatMap(World, ({ waiting }) => until(Effect.map(waiting, (left) => left === 0)))

/** What is in the dead-letter queue, and is not then; nothing, if nothing is there. */
export const dead: Effect.Effect<Option.Option<Message>, unknown, Connection> = Effect.flatMap(
  Connection,
  (connection) =>
    connection.use((channel) =>
      Effect.gen(function* () {
        const found = yield* channel.get(DeadLetter.queueOf(queue))
        return yield* Option.match(found, {
          onNone: () => Effect.succeed(Option.none<Message>()),
          onSome: (delivery) => Effect.as(delivery.ack, Option.some(delivery.message))
        })
      })
    )
)

/** What comes into the dead-letter queue: the task behind it may be answered before. */
export const died = Effect.repeat(dead, { until: Option.isSome, schedule: Schedule.spaced("5 millis") }).pipe(
  Effect.map(Option.getOrThrow)
)

/** What whoever sent it learns of it. */
export const told = (taskId: string) => Effect.flatMap(ResultBackend, ({ wait }) => wait(taskId))

export const counted = <A, E, R>(check: Effect.Effect<A, E, R>) =>
  Effect.flatMap(World, ({ books }) => {
    books.asked++
    return Effect.tap(check, () => Effect.sync(() => void books.passed++))
  })

const make = ({ backend, broker, connection, results }: deployments.Deployment, onRedis: boolean) =>
  Layer.unwrap(
    Effect.gen(function* () {
      let octets = 0
      const log = Logger.make(({ cause, message }) => void (octets += `${String(message)}${String(cause)}`.length))
      const Running = Worker.layer({ queues: [Queue.make(queue)], concurrency: 8 }).pipe(
        Layer.provide(handlers),
        Layer.provide(Tasks.layer),
        Layer.provide(Client.layer),
        Layer.provide(Layer.fresh(results)),
        Layer.provide(connection()),
        // No 128 MiB: what is inflated here is a bomb.
        Layer.provide(
          Layer.succeed(Compression.Compressions, Compression.registry([Compression.zlib], 16 * 1024 * 1024))
        ),
        Layer.provide(Logger.layer([log]))
      )
      const redis = yield* Redis
      const list = Effect.zipWith(
        redis.command("LLEN", queue),
        redis.command("ZCARD", "unacked_index"),
        (ready, unacked) => Number(ready) + Number(unacked)
      )
      const rabbit = yield* Effect.serviceOption(RabbitMq)
      const states = Effect.map(
        Option.match(rabbit, { onNone: () => Effect.succeed([]), onSome: ({ queues }) => queues }),
        (all) => {
          const state = all.find(({ name }) => name === queue)
          return state === undefined ? 0 : state.ready + state.unacked
        }
      )
      const answers: Array<number> = []
      const books = { asked: 0, passed: 0 }
      const name = onRedis ? "Redis" : "RabbitMQ"
      const Asking = Layer.effect(
        World,
        Effect.gen(function* () {
          const python = yield* PythonClient.start({ BROKER: broker, BACKEND: backend })
          yield* Effect.addFinalizer(() =>
            print(
              `malformed messages on ${name}: ${books.passed} of ${books.asked} checks passed, the next task answered after p50/p95/max=${spread(answers)} ms`
            )
          )
          return { onRedis, python, waiting: onRedis ? list : states, logged: () => octets, answers, books }
        })
      )
      const Declared = Layer.effectDiscard(
        Effect.flatMap(Connection, (one) => one.declare({ queues: [Queue.make(DeadLetter.queueOf(queue))] }))
      )
      const Asks = Client.layer.pipe(Layer.provideMerge(results))
      return Layer.mergeAll(Running, Asking, Layer.provideMerge(Layer.merge(Asks, Declared), connection()))
    })
  )

type It = Parameters<Parameters<ReturnType<typeof layer<Needed | Redis | RabbitMq, unknown>>>[1] & object>[0]

/** The same checks on both brokers; what only one of them can carry asks `onRedis`. */
export const onEach = (
  checks: (it: It) => void,
  which: ReadonlyArray<"RabbitMQ" | "Redis"> = ["RabbitMQ", "Redis"]
): void => {
  for (const name of which) {
    const onRedis = name === "Redis"
    const deployment = onRedis ? deployments.redis : deployments.rabbitMq
    const servers = Layer.merge(RabbitMq.shared, Redis.shared)
    const Whole = Layer.unwrap(Effect.map(deployment, (one) => make(one, onRedis))).pipe(Layer.provideMerge(servers))
    layer(Whole, { excludeTestServices: true })(`a worker that is sent what is no task, on ${name}`, (it) =>
      checks(it as It)
    )
  }
}
