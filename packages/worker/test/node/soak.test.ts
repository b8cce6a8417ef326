/**
 * 100,000 tasks of every outcome, and more, in one process: the heap is as it was, and nothing is left over. The clock is the real one,
 * for what a timer leaves behind shows with it alone.
 */
import { Connection } from "@apium/hub/Connection"
import * as MemoryTransport from "@apium/hub/memory/MemoryTransport"
import * as MemoryBackend from "@apium/worker/client/backends/MemoryBackend"
import { Client } from "@apium/worker/client/Client"
import * as Retry from "@apium/worker/task/Retry"
import * as Task from "@apium/worker/task/Task"
import * as TaskError from "@apium/worker/task/TaskError"
import { Tasks } from "@apium/worker/task/Tasks"
import * as Worker from "@apium/worker/Worker"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger, Metric, Schema, Scope, Exit } from "effect"
import * as Figures from "../../../../test/support/Figures.ts"
import { celery, takeAll } from "../support/World.ts"
import { runtime } from "./support/Jobs.ts"

const perRound = 10_000
/** The compiler and the caches settle. */
const warmUp = 4
/**
 * One collection differs from the next by 0.3 MiB, which over six rounds is a slope of up to 12 bytes per task: what looks like a leak is
 * looked at for longer. A leak goes on, noise does not.
 */
const fewest = 6
const most = 30

const params = { n: Schema.Number }
const succeed = Task.make("soak.succeed", { params, result: Schema.Number })
const fail = Task.make("soak.fail", { params })
const defect = Task.make("soak.defect", { params })
const retry = Task.make("soak.retry", { params, retry: Retry.fixed({ maxRetries: 1, delay: "1 millis" }) })
const ignore = Task.make("soak.ignore", { params })
const reject = Task.make("soak.reject", { params })
const wait = Task.make("soak.wait", { params })
const slow = Task.make("soak.slow", { params, softTimeLimit: "1 millis" })
const limited = Task.make("soak.limited", { params, rateLimit: "100000/s", concurrency: 2 })
const unknown = Task.make("soak.unknown", { params })

const handlers = [
  Tasks.handle(succeed, ({ n }) => Effect.succeed(n)),
  Tasks.handle(fail, () => Effect.fail(new TaskError.Reject({ requeue: false })).pipe(Effect.orDie)),
  Tasks.handle(defect, () => Effect.die(new Error("broken"))),
  Tasks.handle(retry, () => Effect.die("again")),
  Tasks.handle(ignore, () => Effect.fail(new TaskError.Ignore())),
  Tasks.handle(reject, () => Effect.fail(new TaskError.Reject({ requeue: false }))),
  Tasks.handle(wait, () => Effect.sleep("1 millis")),
  Tasks.handle(slow, () => Effect.never),
  Tasks.handle(limited, () => Effect.yieldNow)
]

/** Every outcome, the costly ones less often. */
const kinds = [succeed, succeed, fail, defect, retry, ignore, reject, limited, succeed, unknown] as const

interface Bound {
  /** Bytes per task. */
  readonly limit: number
  readonly because: string
}

const H1: Bound = { limit: 10, because: "RELIABILITY H1: 1 MB per 100,000 tasks" }

const bounds: Readonly<Record<typeof runtime, Bound>> = {
  node: H1,
  bun: H1,
  deno: {
    limit: Number.POSITIVE_INFINITY,
    because:
      "Effect makes an AsyncResource for each pause of a fiber, and one of Deno 2.9.6 holds the one it was made in"
  }
}

const heap = () => {
  Figures.collect()
  Figures.collect()
  return process.memoryUsage().heapUsed
}

/** How many there are of each kind of what keeps a process alive. */
const activeResources = (): ReadonlyMap<string, number> => {
  const counts = new Map<string, number>()
  for (const kind of process.getActiveResourcesInfo()) counts.set(kind, (counts.get(kind) ?? 0) + 1)
  return counts
}

/** Effect's own count. */
const activeFibers = Metric.gauge("child_fibers_active", { description: "The current count of active child fibers" })

const Live = Client.layer.pipe(
  Layer.provideMerge(
    Layer.mergeAll(
      Connection.layer.pipe(Layer.provideMerge(MemoryTransport.layer)),
      MemoryBackend.layerWith({ capacity: 100 }),
      Tasks.layer
    )
  ),
  Layer.provideMerge(Logger.layer([]))
)

const round = Effect.gen(function* () {
  const client = yield* Client
  for (let sent = 0; sent < perRound; sent += 1000) {
    for (const [index, task] of kinds.entries()) {
      yield* client.sendAll(
        task as typeof succeed,
        Array.from({ length: 100 }, (_, n) => ({ n })),
        // Some of them are too late, and some are not due yet.
        index === 0 ? { expires: "0 millis" } : index === 1 ? { countdown: "2 millis" } : {}
      )
    }
  }
  yield* client.sendAll(slow, [{ n: 1 }, { n: 2 }])
  const last = yield* client.sendAll(
    wait,
    Array.from({ length: 100 }, (_, n) => ({ n }))
  )
  yield* Effect.forEach(last, (result) => result.get, { discard: true })
  // Retries and what was not due come behind the last.
  const drained = Effect.gen(function* () {
    const connection = yield* Connection
    const { messageCount } = yield* connection.use((channel) => channel.queueDeclare(celery, { passive: true }))
    if (messageCount > 0) return yield* Effect.fail("not yet")
  })
  yield* Effect.retry(Effect.delay(drained, "5 millis"), { while: (error) => error === "not yet" })
  yield* takeAll("celery.dead")
})

describe("a worker that ran 100,000 tasks of every outcome", () => {
  it.live(
    "has the heap it began with, and leaves no timer, thread or listener",
    () =>
      Effect.gen(function* () {
        const { limit, because } = bounds[runtime]
        const resources = activeResources()
        const listeners = process.eventNames().map((name) => [name, process.listenerCount(name)])
        const sizes: Array<number> = []
        const fibers = yield* Effect.gen(function* () {
          const scope = yield* Scope.make()
          yield* Effect.forEach(handlers, (handler) => Layer.buildWithScope(handler, scope))
          yield* Layer.buildWithScope(Worker.layer({ queues: [celery], concurrency: 50, events: true }), scope)
          while (sizes.length < warmUp + most) {
            yield* round
            sizes.push(heap())
            if (sizes.length >= warmUp + fewest && Figures.slope(sizes.slice(warmUp), perRound) < limit) break
          }
          const running = yield* Metric.value(activeFibers)
          yield* Scope.close(scope, Exit.void)
          assert.isAbove(running.value, 0)
        }).pipe(
          Effect.provide(Live),
          Effect.andThen(Metric.value(activeFibers)),
          Metric.enableRuntimeMetrics,
          Effect.map(({ value }) => value)
        )
        const bytesPerTask = Figures.slope(sizes.slice(warmUp), perRound)
        const shown = sizes.map((size) => (size / 2 ** 20).toFixed(1)).join(", ")
        console.log(`heap after each 10,000 tasks, MiB: ${shown}; slope ${bytesPerTask.toFixed(2)} bytes per task`)
        assert.isBelow(bytesPerTask, limit, because)
        const left = () => [...activeResources()].filter(([kind, count]) => count > (resources.get(kind) ?? 0))
        // What goes a moment later is not left.
        for (let looks = 0; left().length > 0 && looks < 1000; looks++) yield* Effect.sleep("10 millis")
        assert.deepStrictEqual(left(), [])
        assert.strictEqual(fibers, 0)
        assert.deepStrictEqual(
          process.eventNames().map((name) => [name, process.listenerCount(name)]),
          listeners
        )
      }),
    900_000
  )
})
