import { Connection } from "@apium/hub/Connection"
import { ConnectionLost, HubError } from "@apium/hub/HubError"
import * as MemoryTransport from "@apium/hub/memory/MemoryTransport"
import * as HubQueue from "@apium/hub/Queue"
import { Decimal, type KombuJson, LocalDate, LocalTime, PyDateTime, Uuid } from "@apium/protocol/kombu/Json"
import { Client, MemoryBackend, type Task, Tasks, Worker } from "@apium/worker"
import type { Outcome } from "@apium/worker/execution/Outcome"
import { type Job, Pool } from "@apium/worker/execution/Pool"
import * as ThreadPool from "@apium/worker/execution/pools/ThreadPool"
import { layerThreadPool } from "@apium/worker/node"
import * as workerThreads from "@apium/worker/node/workerThreads"
import { assert, describe, it, layer, vi } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Queue, Scope, Stream } from "effect"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import * as Threads from "node:worker_threads"
import * as tasks from "./fixtures/tasks.ts"

// A thread loads all of Effect from its sources: a fifth of a second of processor time, and these tests start sixty.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })

/** What a runtime cannot do, and why. */
const limits = {
  node: {},
  bun: { memory: "Bun ignores resourceLimits: threads share the memory of the process" },
  deno: { memory: "with resourceLimits a thread of Deno dies without an event; without them the process dies with it" }
} as const
const runtime = "Deno" in globalThis ? "deno" : "Bun" in globalThis ? "bun" : "node"

const fixture = (name: string) => new URL(`./fixtures/${name}.ts`, import.meta.url)
const module = fixture("handlers")

/** The name of a file that is not there, in a folder of the test's own. */
const scratch = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(path.join(tmpdir(), "apium-"))),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
  ),
  (folder) => path.join(folder, "file")
)

/** The same, and the fixtures know it. Not by the URL of the module: in Bun that has no query. */
const shared = Effect.tap(scratch, (file) =>
  Effect.acquireRelease(
    Effect.sync(() => (process.env["APIUM_TEST_FILE"] = file)),
    () => Effect.sync(() => delete process.env["APIUM_TEST_FILE"])
  )
)

interface Said {
  readonly state: string
  readonly meta: KombuJson
}

/** Straight to the pool, without a worker. What the handler says comes out of `said`. */
const start = Effect.fnUntraced(function* (
  { name }: Pick<Task.AnyTask, "name">,
  kwargs: Readonly<Record<string, KombuJson>> = {},
  updateState?: Job["updateState"]
) {
  const pool = yield* Pool
  const said = yield* Queue.unbounded<Said>()
  const job: Job = {
    registered: { task: { name, options: {} }, perform: () => Effect.die("ran in the main thread") },
    call: { args: [], kwargs },
    info: {
      id: "id",
      name,
      retries: 0,
      rootId: "id",
      parentId: null,
    timeLimit: [null, null],
      headers: {},
      delivery: { exchange: "", routingKey: "celery", queue: "celery", redelivered: false, priority: 0 }
    },
    updateState: updateState ?? ((state, meta) => Effect.asVoid(Queue.offer(said, { state, meta })))
  }
  return { fiber: yield* Effect.forkChild(pool.run(job)), said: Queue.take(said) }
})

const run = (...job: Parameters<typeof start>) => Effect.flatMap(start(...job), ({ fiber }) => Fiber.join(fiber))

const success = (value: KombuJson) => ({ _tag: "Success", value }) as const

const where = Effect.map(run(tasks.where), (outcome) => (outcome._tag === "Success" ? outcome.value : outcome))

/** The text of a WorkerLostError. */
const lostText = (outcome: Outcome) => {
  assert(outcome._tag === "Failure", JSON.stringify(outcome))
  const { excType, excMessage } = outcome.failure
  assert.strictEqual(excType, "WorkerLostError")
  return JSON.stringify(excMessage)
}

const workerLost = (...job: Parameters<typeof start>) => Effect.map(run(...job), lostText)

/** As many jobs as there are threads are in their handlers at once, and this thread goes on. */
const allSpinning = Effect.fnUntraced(function* (size: number) {
  const until = yield* scratch
  const spinning = yield* Effect.replicateEffect(start(tasks.spin, { until }), size)
  const threads = yield* Effect.forEach(spinning, ({ said }) => Effect.map(said, ({ meta }) => meta))
  writeFileSync(until, "")
  assert.deepStrictEqual(yield* Effect.forEach(spinning, ({ fiber }) => Fiber.join(fiber)), threads.map(success))
  assert.strictEqual(new Set(threads).size, size)
})

const Registered = Layer.mergeAll(
  Layer.empty,
  ...Object.values(tasks)
    .filter((task): task is Exclude<typeof task, typeof tasks.Refused> => typeof task === "object")
    .map((task) => Tasks.handle(task as Task.Task<string, {}, never>, () => Effect.die("ran in the main thread")))
)

const WithWorker = Worker.layer({
  queues: [HubQueue.make("celery")],
  concurrency: 2,
  pool: layerThreadPool({ module, size: 2 })
}).pipe(
  Layer.provide(Layer.provideMerge(Registered, Tasks.layer)),
  Layer.provideMerge(Client.layer),
  Layer.provideMerge([MemoryBackend.layer, Connection.layer.pipe(Layer.provide(MemoryTransport.layer))])
)

layer(WithWorker, { excludeTestServices: true })("a worker with threads", (it) => {
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
      assert.strictEqual(error.excType, "TypeError")
      assert.match(error.message, /cannot leave its thread: JSON cannot carry a Map at \$\.value/)
    })
  )

  it.effect("a handler that fails is retried as its policy says, which its thread decides", () =>
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
        ["FAILURE", "WorkerLostError", "billiard.exceptions", ["The thread exited with code 1"]]
      )
      assert.strictEqual(yield* (yield* tasks.add.delay({ x: 1, y: 1 })).get, 2)
    })
  )

  it.effect("a task that no thread handles is NotRegistered", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip((yield* tasks.missing.delay({})).get)
      assert(error._tag === "TaskFailed")
      assert.deepStrictEqual([error.excType, error.excMessage], ["NotRegistered", ["threads.missing"]])
    })
  )
})

layer(layerThreadPool({ module, size: 2 }), { excludeTestServices: true })("a pool of two threads", (it) => {
  it.effect("runs two handlers that compute at once, and not in this thread", () => allSpinning(2))

  it.effect("runs more jobs than it has threads, one after the other", () =>
    Effect.gen(function* () {
      const sums = yield* Effect.forEach([1, 2, 3, 4, 5], (x) => run(tasks.add, { x, y: 1 }), {
        concurrency: "unbounded"
      })
      assert.deepStrictEqual(sums, [2, 3, 4, 5, 6].map(success))
    })
  )

  it.effect("a state that cannot be stored fails in the handler, typed", () =>
    Effect.gen(function* () {
      const error = new HubError({ reason: new ConnectionLost({ cause: "closed", text: "gone" }) })
      assert.deepStrictEqual(yield* run(tasks.store, {}, () => Effect.fail(error)), success("ConnectionLost"))
      assert.deepStrictEqual(yield* run(tasks.store, {}, () => Effect.void), success("stored"))
      const outcome = yield* run(tasks.store, {}, () => Effect.die(new Error("a bug in the backend")))
      assert(outcome._tag === "Failure")
      assert.deepStrictEqual(outcome.failure.excMessage, ["a bug in the backend"])
    })
  )

  it.effect("a throw that no fiber sees costs its thread and its task, and the pool has its full size again", () =>
    Effect.gen(function* () {
      assert.match(yield* workerLost(tasks.crash), /thrown where no fiber sees it/)
      yield* allSpinning(2)
    })
  )
})

describe("interrupting a run", () => {
  it.live("interrupts the handler, and keeps the thread", () =>
    Effect.gen(function* () {
      const before = yield* where
      const { fiber, said } = yield* start(tasks.wait)
      assert.deepStrictEqual(yield* said, { state: "BEGUN", meta: before })
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(yield* said, { state: "STOPPED", meta: before })
      assert.strictEqual(yield* where, before)
    }).pipe(Effect.provide(layerThreadPool({ module, size: 1 })))
  )

  it.live("terminates a thread that does not answer, and replaces it", () =>
    Effect.gen(function* () {
      const before = yield* where
      const { fiber, said } = yield* start(tasks.hog)
      yield* said
      yield* Fiber.interrupt(fiber)
      assert.notStrictEqual(yield* where, before)
    }).pipe(Effect.provide(layerThreadPool({ module, size: 1, grace: "20 millis" })))
  )

  it.live("takes back a job that no thread has yet", () =>
    Effect.gen(function* () {
      const first = yield* start(tasks.wait)
      yield* first.said
      const second = yield* start(tasks.exit)
      yield* Effect.yieldNow
      yield* Fiber.interrupt(second.fiber)
      yield* Fiber.interrupt(first.fiber)
      yield* first.said
      assert.deepStrictEqual(yield* run(tasks.add, { x: 1, y: 1 }), success(2))
    }).pipe(Effect.provide(layerThreadPool({ module, size: 1 })))
  )
})

describe("a thread that cannot be started", () => {
  for (const { name, reason } of [
    { name: "throws", reason: /this module does not load.*throws\.ts/s },
    { name: "unbuildable", reason: /Refused/ },
    { name: "nothing", reason: /The default export of .*nothing\.ts is not a layer of handlers/ },
    { name: "absent", reason: /absent\.ts/ }
  ]) {
    it.live(`fails the layer with the reason: ${name}`, () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(Layer.build(layerThreadPool({ module: fixture(name), size: 2 })))
        assert.strictEqual(error._tag, "WorkerError")
        assert.match(error.message, reason)
      })
    )
  }

  it.live("fails the layer when it takes too long", () =>
    Effect.gen(function* () {
      const pool = layerThreadPool({ module: fixture("endless"), size: 1, startTimeout: "50 millis" })
      assert.match((yield* Effect.flip(Layer.build(pool))).message, /not ready within 50ms/)
    })
  )

  it.live("later on: jobs fail with the reason and do not hang, and run again when it can", () =>
    Effect.gen(function* () {
      const unless = yield* shared
      const pool = yield* Layer.build(layerThreadPool({ module: fixture("fragile"), size: 1 }))
      yield* Effect.gen(function* () {
        writeFileSync(unless, "")
        yield* workerLost(tasks.exit)
        assert.match(yield* workerLost(tasks.where), /No thread could be started.*this module no longer loads/s)
        rmSync(unless)
        assert.deepStrictEqual(yield* run(tasks.add, { x: 1, y: 1 }), success(2))
      }).pipe(Effect.provideContext(pool))
    })
  )
})

describe("a thread's memory", () => {
  it.live.skipIf("memory" in limits[runtime])("a thread that takes too much dies alone", () =>
    Effect.gen(function* () {
      assert.match(yield* workerLost(tasks.gorge), /memory limit/)
      assert.deepStrictEqual(yield* run(tasks.add, { x: 1, y: 1 }), success(2))
    }).pipe(Effect.provide(layerThreadPool({ module, size: 1, resourceLimits: { maxOldGenerationSizeMb: 64 } })))
  )
})

describe("closing", () => {
  const entry = new URL("../../src/node/thread.ts", import.meta.url)

  /** A pool whose threads are counted. */
  const counted = Effect.sync(() => {
    let alive = 0
    const spawn = () => {
      const thread = new Threads.Worker(entry, { workerData: { module: module.href } })
      alive++
      thread.on("exit", () => alive--)
      return thread
    }
    const pool = ThreadPool.layer({ size: 3, grace: "1 hour" }).pipe(Layer.provide(workerThreads.layer(spawn)))
    return { pool, alive: () => alive }
  })

  it.live("leaves no thread", () =>
    Effect.gen(function* () {
      const { pool, alive } = yield* counted
      yield* Effect.provide(
        Effect.sync(() => assert.strictEqual(alive(), 3)),
        pool
      )
      assert.strictEqual(alive(), 0)
    })
  )

  it.live("waits for no job: a busy thread is terminated, and its job is lost", () =>
    Effect.gen(function* () {
      const { pool, alive } = yield* counted
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(pool, scope)
      const busy = yield* Effect.provideContext(start(tasks.hog), context)
      yield* busy.said
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(alive(), 0)
      assert.match(lostText(yield* Fiber.join(busy.fiber)), /terminated/)
      assert.match(yield* Effect.provideContext(workerLost(tasks.where), context), /was closed/)
    })
  )

  it.live("releases what the handlers' layer holds", () =>
    Effect.gen(function* () {
      const file = yield* shared
      yield* Effect.provide(run(tasks.where), layerThreadPool({ module: fixture("tidy"), size: 2 }))
      assert.strictEqual(readFileSync(file, "utf8"), "released\nreleased\n")
    })
  )
})
