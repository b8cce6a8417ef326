import { Connection } from "@apium/hub/Connection"
import * as HubError from "@apium/hub/HubError"
import * as MemoryTransport from "@apium/hub/memory/MemoryTransport"
import * as Queue from "@apium/hub/Queue"
import * as Canvas from "@apium/worker/client/Canvas"
import * as RpcBackend from "@apium/worker/client/backends/RpcBackend"
import { Client } from "@apium/worker/client/Client"
import type * as Publisher from "@apium/worker/client/Publisher"
import * as Task from "@apium/worker/task/Task"
import { TaskContext } from "@apium/worker/task/TaskContext"
import { TaskFailed } from "@apium/worker/task/TaskError"
import { Tasks } from "@apium/worker/task/Tasks"
import * as Worker from "@apium/worker/Worker"
import { assert, describe, layer } from "@effect/vitest"
import { Effect, Layer, Option, Schema, Stream } from "effect"

const add = Task.make("proj.add", { params: { x: Schema.Number, y: Schema.Number }, result: Schema.Number })
const fail = Task.make("proj.fail", { params: {} })
const progress = Task.make("proj.progress", { params: {}, result: Schema.String })

const handlers = Layer.mergeAll(
  Tasks.handle(add, ({ x, y }) => Effect.succeed(x + y)),
  Tasks.handle(fail, () => Effect.die(new RangeError("no good"))),
  Tasks.handle(progress, () =>
    Effect.flatMap(TaskContext, ({ updateState }) => Effect.as(updateState("PROGRESS", { done: 1 }), "done"))
  )
)

/** A client and a worker that share a broker, and nothing else. */
const World = Layer.mergeAll(
  Worker.layer({ queues: [Queue.make("celery")], concurrency: 2 }).pipe(
    Layer.provide(handlers),
    Layer.provide(Tasks.layer),
    Layer.provide(Layer.fresh(RpcBackend.layer))
  ),
  Client.layer.pipe(Layer.provide(Layer.fresh(RpcBackend.layer)))
).pipe(Layer.provideMerge(Layer.suspend(() => Broker)))

const Broker = Connection.layer.pipe(Layer.provideMerge(MemoryTransport.layer))

describe("results as messages", () => {
  layer(World)((it) => {
    it.effect("come back to who sent the task", () =>
      Effect.gen(function* () {
        const results = yield* Effect.forEach(
          Array.from({ length: 50 }, (_, x) => x),
          (x) => Effect.flatMap(add.delay({ x, y: 1 }), ({ get }) => get),
          { concurrency: "unbounded" }
        )
        assert.deepStrictEqual(
          results,
          results.map((_, x) => x + 1)
        )
      })
    )

    it.effect("tell of a message whose headers make no sense", () =>
      Effect.gen(function* () {
        const retries = "x" as unknown as number
        const spoiled: Publisher.Middleware = ({ task, ...outgoing }, next) =>
          next({ ...outgoing, task: { ...task, headers: { ...task.headers, retries } } })
        const Spoiling = Client.layerWith({ middleware: [spoiled] }).pipe(Layer.provide(Layer.fresh(RpcBackend.layer)))
        const error = yield* Effect.flip(
          Effect.provide(
            Effect.flatMap(add.delay({ x: 1, y: 1 }), ({ get }) => get),
            Spoiling
          )
        )
        assert.instanceOf(error, TaskFailed)
        assert.strictEqual(error.excType, "InvalidTask")
      })
    )

    it.effect("tell of failures, of tasks nobody has, and of states of the task's own", () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip((yield* fail.delay({})).get)
        assert.instanceOf(error, TaskFailed)
        assert.deepStrictEqual([error.excType, error.excMessage], ["RangeError", ["no good"]])
        const client = yield* Client
        const unknown = yield* Effect.flip((yield* client.sendTask("proj.nothing", [], {})).get)
        assert.strictEqual((unknown as TaskFailed).excType, "NotRegistered")
        const states = yield* Stream.runCollect((yield* progress.delay({})).changes)
        assert.deepStrictEqual(
          [...states].map(({ state }) => state),
          ["PROGRESS", "SUCCESS"]
        )
      })
    )

    it.effect("follow a chain, step by step", () =>
      Effect.gen(function* () {
        const sent = yield* Canvas.delay(Canvas.chain(add.s({ x: 1, y: 2 }), add.partial({ y: 4 })))
        assert.strictEqual(yield* sent.get, 7)
        assert.strictEqual(yield* Option.getOrThrow(sent.parent).get, 3)
      })
    )

    it.effect("cannot be counted: a chord is refused before anything is sent", () =>
      Effect.gen(function* () {
        const chord = Canvas.chord([add.s({ x: 1, y: 2 })], add.partial({ y: 4 }) as never)
        const error = yield* Effect.flip(Canvas.delay(chord))
        assert.match(error.message, /a chord: results as messages \(rpc\) cannot be counted: use Redis for results/)
      })
    )
  })
})

describe("the queue of results", () => {
  /** A client alone, on a connection of which a test decides what it can do. */
  const client = (connection: (own: Connection["Service"]) => Connection["Service"]) =>
    Client.layer.pipe(
      Layer.provide(Layer.fresh(RpcBackend.layer)),
      Layer.provide(Layer.effect(Connection, Effect.map(Connection, connection)))
    )

  layer(Broker)((it) => {
    it.effect("is declared again for the next task when it could not be for one", () =>
      Effect.gen(function* () {
        let refused = 0
        const once = client((own) => ({
          ...own,
          declare: (topology) =>
            refused++ === 0
              ? HubError.fail(new HubError.ConnectionLost({ cause: "unreachable", text: "no broker" }))
              : own.declare(topology)
        }))
        yield* Effect.gen(function* () {
          assert.match((yield* Effect.flip(add.delay({ x: 1, y: 1 }))).message, /no broker/)
          yield* add.delay({ x: 1, y: 1 })
        }).pipe(Effect.provide(once))
      })
    )

    it.effect("goes when nobody consumes it any more, and does not come again", () =>
      Effect.gen(function* () {
        const names = new Set<string>()
        const watched = client((own) => ({
          ...own,
          declare: (topology) => {
            for (const { name } of topology.queues ?? []) if (name !== "celery") names.add(name)
            return own.declare(topology)
          }
        }))
        yield* Effect.provide(add.delay({ x: 1, y: 1 }), watched)
        const connection = yield* Connection
        assert.strictEqual(names.size, 1)
        const [name] = [...names]
        const missing = yield* Effect.flip(
          connection.use((channel) => channel.queueDeclare(Queue.make(name!), { passive: true }))
        )
        assert.match(missing.message, /NOT_FOUND/)
      })
    )
  })
})
