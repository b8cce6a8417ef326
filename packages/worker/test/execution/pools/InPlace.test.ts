import type { Outcome } from "@apium/worker/execution/Outcome"
import { type Job, Pool } from "@apium/worker/execution/Pool"
import * as FiberPool from "@apium/worker/execution/pools/FiberPool"
import * as InlinePool from "@apium/worker/execution/pools/InlinePool"
import { Host } from "@apium/hub/Host"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Logger } from "effect"
import { TestClock } from "effect/testing"

const done: Outcome = { _tag: "Success", value: "done" }

const jobOf = (perform: Effect.Effect<Outcome>, hard: number | null = null): Job => ({
  registered: { task: { name: "t.task", options: {} }, perform: () => perform },
  call: { args: [], kwargs: {} },
  info: {
    id: "id",
    name: "t.task",
    retries: 0,
    rootId: "id",
    parentId: null,
    group: null,
    groupIndex: null,
    stamps: {},
    stampedHeaders: [],
    chord: null,
    timeLimit: [hard, null],
    headers: {},
    delivery: { exchange: "", routingKey: "celery", queue: "celery", redelivered: false, priority: 0 }
  },
  updateState: () => Effect.void,
  sendEvent: () => Effect.void
})

/** A pool, and the lines it logs. */
const logged = Effect.fnUntraced(function* (layer: Layer.Layer<Pool>) {
  const lines: Array<unknown> = []
  const logger = Logger.make(({ message }) => void lines.push((message as ReadonlyArray<unknown>)[0]))
  const pool = yield* Effect.provide(Pool, layer)
  const start = (perform: Effect.Effect<Outcome>, hard?: number) =>
    Effect.forkChild(Effect.provide(pool.run(jobOf(perform, hard)), Logger.layer([logger])), { startImmediately: true })
  return { pool, lines, start }
})

const isDone = (fiber: Fiber.Fiber<unknown>): boolean => fiber.pollUnsafe() !== undefined

for (const [name, layer] of [
  ["fiber", FiberPool.layer],
  ["inline", InlinePool.layer]
] as const) {
  describe(`the ${name} pool`, () => {
    it.effect("gives the outcome of a handler that ends within its hard limit", () =>
      Effect.gen(function* () {
        const { start, lines } = yield* logged(layer)
        const fiber = yield* start(Effect.delay(Effect.succeed(done), "9 seconds"), 10)
        yield* TestClock.adjust("9 seconds")
        assert.deepStrictEqual(yield* Fiber.join(fiber), done)
        assert.deepStrictEqual(lines, [])
      })
    )

    it.effect("a handler that runs past its hard limit is interrupted, and TimedOut", () =>
      Effect.gen(function* () {
        const { start, lines } = yield* logged(layer)
        const interrupted = yield* Deferred.make<void>()
        const handler = Effect.onInterrupt(Effect.never, () => Deferred.succeed(interrupted, undefined))
        const fiber = yield* start(handler, 10)
        yield* TestClock.adjust(9_999)
        assert.isFalse(isDone(fiber))
        yield* TestClock.adjust(1)
        assert.deepStrictEqual(yield* Fiber.join(fiber), { _tag: "TimedOut", timeLimit: 10 })
        yield* Deferred.await(interrupted)
        assert.deepStrictEqual(lines, ["A task ran past its time limit, and was abandoned"])
      })
    )

    it.effect("one that cannot be interrupted is TimedOut no later, and the next job runs", () =>
      Effect.gen(function* () {
        const { start } = yield* logged(layer)
        const fiber = yield* start(Effect.uninterruptible(Effect.never), 10)
        yield* TestClock.adjust("10 seconds")
        assert.deepStrictEqual(yield* Fiber.join(fiber), { _tag: "TimedOut", timeLimit: 10 })
        assert.deepStrictEqual(yield* Fiber.join(yield* start(Effect.succeed(done))), done)
      })
    )

    it.effect("interrupting a run interrupts its handler, and waits for its finalizers", () =>
      Effect.gen(function* () {
        const { start, lines } = yield* logged(layer)
        const tidy = yield* Deferred.make<void>()
        const fiber = yield* start(Effect.onInterrupt(Effect.never, () => Deferred.await(tidy)))
        fiber.interruptUnsafe()
        yield* TestClock.adjust("4 seconds")
        assert.isFalse(isDone(fiber))
        yield* Deferred.succeed(tidy, undefined)
        yield* Fiber.await(fiber)
        assert.deepStrictEqual(lines, [])
      })
    )

    it.effect("abandons one with a hard limit that does not end within 5 s of its interruption", () =>
      Effect.gen(function* () {
        const { start, lines } = yield* logged(layer)
        const fiber = yield* start(Effect.uninterruptible(Effect.never), 3600)
        fiber.interruptUnsafe()
        yield* TestClock.adjust(4_999)
        assert.isFalse(isDone(fiber))
        yield* TestClock.adjust(1)
        yield* Fiber.await(fiber)
        assert.deepStrictEqual(lines, ["A task was interrupted and did not end within 5 seconds, and was abandoned"])
      })
    )

    it.effect("waits for one without a limit that does not end when it is interrupted", () =>
      Effect.gen(function* () {
        const { start } = yield* logged(layer)
        const open = yield* Deferred.make<void>()
        const fiber = yield* start(Effect.uninterruptible(Effect.as(Deferred.await(open), done)))
        fiber.interruptUnsafe()
        yield* TestClock.adjust("1 hour")
        assert.isFalse(isDone(fiber))
        yield* Deferred.succeed(open, undefined)
        yield* Fiber.await(fiber)
      })
    )

    it.effect("has no children to kill or to count", () =>
      Effect.gen(function* () {
        const pool = yield* Pool
        yield* pool.resize(7)
        yield* pool.kill(jobOf(Effect.never))
        assert.strictEqual(pool.name, name)
        const { "max-concurrency": concurrency, ...stats } = pool.stats()
        assert.deepStrictEqual(
          [pool.size(), concurrency],
          name === "inline" ? [1, 1] : [Number.POSITIVE_INFINITY, undefined]
        )
        assert.deepStrictEqual(stats, {
          implementation: name,
          processes: [4711],
          "max-tasks-per-child": "N/A",
          "put-guarded-by-semaphore": false,
          timeouts: [0, 0]
        })
      }).pipe(
        Effect.provide(
          Layer.provide(
            layer,
            Layer.effect(
              Host,
              Effect.map(Host, (host) => ({ ...host, pid: 4711 }))
            )
          )
        )
      )
    )
  })
}

describe("how many at once", () => {
  /** Starts three handlers that say so and wait. */
  const three = Effect.fnUntraced(function* (layer: Layer.Layer<Pool>) {
    const { start } = yield* logged(layer)
    const open = yield* Deferred.make<void>()
    const begun: Array<number> = []
    const handler = (id: number) =>
      Effect.suspend(() => {
        begun.push(id)
        return Effect.as(Deferred.await(open), done)
      })
    const fibers = yield* Effect.forEach([1, 2, 3], (id) => start(handler(id)))
    return { begun, open, fibers }
  })

  it.effect("all that are asked for, in fibers", () =>
    Effect.gen(function* () {
      const { begun } = yield* three(FiberPool.layer)
      assert.deepStrictEqual(begun, [1, 2, 3])
    })
  )

  it.effect("one after the other, inline", () =>
    Effect.gen(function* () {
      const { begun, open, fibers } = yield* three(InlinePool.layer)
      assert.deepStrictEqual(begun, [1])
      // One that waits can be taken back.
      yield* Fiber.interrupt(fibers[1]!)
      yield* Deferred.succeed(open, undefined)
      yield* Fiber.join(fibers[2]!)
      assert.deepStrictEqual(begun, [1, 3])
    })
  )
})
