import { Connection } from "@apium/hub/Connection"
import * as MemoryTransport from "@apium/hub/memory/MemoryTransport"
import * as HubQueue from "@apium/hub/Queue"
import { Decimal, LocalDate, LocalTime, PyDateTime, Uuid } from "@apium/protocol/kombu/Json"
import { Client, Control, MemoryBackend, type Task, Tasks, Worker } from "@apium/worker"
import { layerProcessPool, layerThreadPool } from "@apium/worker/node"
import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import * as tasks from "./fixtures/tasks.ts"
import { module } from "./support/Jobs.ts"

const Registered = Layer.mergeAll(
  Layer.empty,
  ...Object.values(tasks)
    .filter((task): task is Exclude<typeof task, typeof tasks.Refused> => typeof task === "object")
    .map((task) => Tasks.handle(task as Task.Task<string, {}, never>, () => Effect.die("ran in the main thread")))
)

for (const [place, pool] of [
  ["thread", layerThreadPool({ module, size: 2 })],
  ["process", layerProcessPool({ module, size: 2 })]
] as const) {
  const WithWorker = Worker.layer({ queues: [HubQueue.make("celery")], concurrency: 2, pool }).pipe(
    Layer.provide(Layer.provideMerge(Registered, Tasks.layer)),
    Layer.provideMerge(Client.layer),
    Layer.provideMerge([MemoryBackend.layer, Connection.layer.pipe(Layer.provide(MemoryTransport.layer))])
  )
  layer(WithWorker, { excludeTestServices: true })(`a worker with a pool of its own (${place})`, (it) => {
    it.effect("gives the result", () =>
      Effect.gen(function* () {
        assert.strictEqual(yield* (yield* tasks.add.delay({ x: 2, y: 3 })).get, 5)
      })
    )

    it.effect("carries every value of the wire there and back, with its class", () =>
      Effect.gen(function* () {
        const args = [
          new Date("2026-01-02T03:04:05.678Z"),
          new Uint8Array([0, 255, 128]),
          new TextEncoder().encode("text"),
          2n ** 70n,
          new Decimal("10.20"),
          new PyDateTime("2026-01-02T03:04:05.678901"),
          new LocalDate("2026-01-02"),
          new LocalTime("03:04:05"),
          new Uuid("8f0e2fd2-6c5c-4c3a-9a3e-3f0c2d5a7b10"),
          Number.POSITIVE_INFINITY,
          [{ deep: [1n << 64n] }]
        ]
        const kwargs = { when: new Date(0), nothing: null, __proto__x: "y" }
        assert.deepStrictEqual(yield* (yield* tasks.echo.delay({ args, kwargs })).get, {
          args,
          kwargs,
          classes: args.map((arg) => Object(arg).constructor.name as string)
        })
      })
    )

    it.effect("a declared error comes back typed", () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip((yield* tasks.refuse.delay({})).get)
        assert.instanceOf(error, tasks.Refused)
        assert.strictEqual(error.why, "out of stock")
      })
    )

    it.effect("a result that JSON cannot carry is a failure with the reason", () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip((yield* tasks.unspeakable.delay({ args: [], kwargs: {} })).get)
        assert(error._tag === "TaskFailed")
        assert.strictEqual(error.excType, "EncodeError")
        assert.match(error.message, /a result that no message can carry: JSON cannot carry a Map at \$/)
      })
    )

    it.effect("a handler that fails is retried as its policy says, which its child decides", () =>
      Effect.gen(function* () {
        assert.strictEqual(yield* (yield* tasks.flaky.delay({})).get, 2)
      })
    )

    it.effect("the states a handler stores are seen by the sender", () =>
      Effect.gen(function* () {
        const result = yield* tasks.progress.delay({})
        const changes = yield* Stream.runCollect(result.changes)
        assert.deepStrictEqual(
          changes.filter(({ state }) => state === "PROGRESS").map(({ meta }) => meta),
          [{ step: 1 }, { step: 2 }, { step: 3 }]
        )
        assert.strictEqual(changes.at(-1)?.state, "SUCCESS")
      })
    )

    it.effect("process.exit in a handler is a WorkerLostError to the sender, and the next task runs", () =>
      Effect.gen(function* () {
        const lost = yield* tasks.exit.delay({})
        const error = yield* Effect.flip(lost.get)
        assert(error._tag === "TaskFailed")
        assert.deepStrictEqual(
          [error.state, error.excType, error.excModule, error.excMessage],
          ["FAILURE", "WorkerLostError", "billiard.exceptions", [`The ${place} exited with code 3`]]
        )
        assert.strictEqual(yield* (yield* tasks.add.delay({ x: 1, y: 1 })).get, 2)
      })
    )

    it.effect("grows and shrinks by remote control: children come and go, and tasks run", () =>
      Effect.gen(function* () {
        const to = { reply: true, limit: 1, timeout: "1 minute" } as const
        const children = Effect.map(Control.inspect.stats(to), ([only]) =>
          Control.isFailed(only!.reply) ? undefined : (only!.reply.pool["processes"] as ReadonlyArray<number>).length
        )
        const become = (count: number) =>
          Effect.repeat(Effect.delay(children, "10 millis"), { until: (found) => found === count })
        const [grown] = yield* Control.poolGrow(1, to)
        assert.deepStrictEqual(grown!.reply, { ok: "pool will grow" })
        yield* become(3)
        const [shrunk] = yield* Control.poolShrink(2, to)
        assert.deepStrictEqual(shrunk!.reply, { ok: "pool will shrink" })
        yield* become(1)
        assert.strictEqual(yield* (yield* tasks.add.delay({ x: 2, y: 2 })).get, 4)
        yield* Control.poolGrow(1, to)
        yield* become(2)
      })
    )

    it.effect("a task that no child handles is NotRegistered", () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip((yield* tasks.missing.delay({})).get)
        assert(error._tag === "TaskFailed")
        assert.deepStrictEqual([error.excType, error.excMessage], ["NotRegistered", ["children.missing"]])
      })
    )
  })
}
