/** What holds for children of any kind. */
import { ConnectionLost, HubError } from "@apium/hub/HubError"
import type { Arguments } from "@apium/hub/Exchange"
import { Pool } from "@apium/worker/execution/Pool"
import type { InvalidPoolOption, Options } from "@apium/worker/execution/pools/ChildPool"
import { assert, describe, it, layer } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Scope } from "effect"
import type { WorkerError } from "effect/workers/WorkerError"
import { readFileSync, rmSync, writeFileSync } from "node:fs"
import * as tasks from "../fixtures/tasks.ts"
import * as Jobs from "./Jobs.ts"
import { times } from "../../../../../test/support/Times.ts"
import { allSpinning, fixture, lost, module, run, scratch, shared, start, success, where } from "./Jobs.ts"

export type PoolLayer = (
  options: Options & { readonly module: URL }
) => Layer.Layer<Pool, InvalidPoolOption | WorkerError>

export const suite = (place: "thread" | "process", poolLayer: PoolLayer): void => {
  const poolOf = (size: number, options: Partial<Options> = {}) => poolLayer({ module, size, ...options })
  const one = (options?: Partial<Options>) => Effect.provide(poolOf(1, options))

  layer(poolOf(2), { excludeTestServices: true })(`a pool of two (${place})`, (it) => {
    it.effect("runs two handlers that compute at once, and not in this thread", () => allSpinning(2))

    it.effect("runs more jobs than it has children, one after the other", () =>
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
        const stored = (updateState: Jobs.JobOptions["updateState"]) => run(tasks.store, {}, { updateState })
        assert.deepStrictEqual(yield* stored(() => Effect.fail(error)), success("ConnectionLost"))
        assert.deepStrictEqual(yield* stored(() => Effect.void), success("stored"))
        const outcome = yield* stored(() => Effect.die(new Error("a bug in the backend")))
        assert(outcome._tag === "Failure")
        assert.deepStrictEqual(outcome.failure.excMessage, ["a bug in the backend"])
      })
    )

    it.effect("sends the events of a handler, and one that no message can carry costs nothing else", () =>
      Effect.gen(function* () {
        const sent: Array<readonly [string, Arguments]> = []
        const sendEvent = (type: string, fields: Arguments) => Effect.sync(() => void sent.push([type, fields]))
        assert.deepStrictEqual(yield* run(tasks.notify, {}, { sendEvent }), success(null))
        assert.deepStrictEqual(sent, [["task-progress", { at: new Date(0), step: 1 }]])
      })
    )

    it.effect("a throw that no fiber sees costs its child and its task, and the pool has its full size again", () =>
      Effect.gen(function* () {
        assert.match(
          yield* lost(tasks.crash),
          place === "thread" ? /thrown where no fiber sees it/ : /exited with code 1/
        )
        yield* allSpinning(2)
      })
    )

    it.effect("process.exit is the end of the job, and the text says with which code", () =>
      Effect.gen(function* () {
        assert.strictEqual(yield* lost(tasks.exit), `The ${place} exited with code 3`)
        yield* allSpinning(2)
      })
    )

    it.effect("says who it is, in Celery's words", () =>
      Effect.gen(function* () {
        const pool = yield* Pool
        const children = yield* allSpinning(2)
        const { processes, ...stats } = pool.stats()
        assert.sameMembers(processes as Array<number>, children as Array<number>)
        assert.deepStrictEqual([pool.name, pool.size()], [place, 2])
        assert.deepStrictEqual(stats, {
          implementation: place,
          "max-concurrency": 2,
          "max-tasks-per-child": "N/A",
          "put-guarded-by-semaphore": false,
          timeouts: [0, 0]
        })
      })
    )
  })

  describe(`interrupting a run (${place})`, () => {
    it.live("interrupts the handler, and keeps the child", () =>
      Effect.gen(function* () {
        const before = yield* where
        const { fiber, said } = yield* start(tasks.wait)
        assert.deepStrictEqual(yield* said, { state: "BEGUN", meta: before })
        yield* Fiber.interrupt(fiber)
        assert.deepStrictEqual(yield* said, { state: "STOPPED", meta: before })
        assert.strictEqual(yield* where, before)
      }).pipe(one({ grace: "1 hour" }))
    )

    it.live("kills a child that does not answer, and replaces it", () =>
      Effect.gen(function* () {
        const before = yield* where
        const { fiber, said } = yield* start(tasks.hog)
        yield* said
        yield* Fiber.interrupt(fiber)
        assert.notStrictEqual(yield* where, before)
      }).pipe(one({ grace: "20 millis" }))
    )

    it.live("takes back a job that no child has yet", () =>
      Effect.gen(function* () {
        const first = yield* start(tasks.wait)
        yield* first.said
        const second = yield* start(tasks.exit)
        yield* Fiber.interrupt(second.fiber)
        yield* Fiber.interrupt(first.fiber)
        yield* first.said
        assert.deepStrictEqual(yield* run(tasks.add, { x: 1, y: 1 }), success(2))
      }).pipe(one({ grace: "1 hour" }))
    )
  })

  describe(`limits (${place})`, () => {
    it.live("the hard limit kills a handler that computes at once, whatever the grace, and the child is replaced", () =>
      Effect.gen(function* () {
        const before = yield* where
        const timeLimit = [0.05, null] as const
        assert.deepStrictEqual(yield* run(tasks.hog, {}, { timeLimit }), { _tag: "TimedOut", timeLimit: 0.05 })
        assert.notStrictEqual(yield* where, before)
      }).pipe(one({ grace: "1 hour" }))
    )

    it.live("the hard limit of a handler that is in its finalizers holds as well", () =>
      Effect.gen(function* () {
        const timeLimit = [0.1, 0.05] as const
        assert.deepStrictEqual(yield* run(tasks.stubborn, {}, { timeLimit }), { _tag: "TimedOut", timeLimit: 0.1 })
      }).pipe(one({ grace: "1 hour" }))
    )

    it.live("the soft limit interrupts a handler, which keeps its child", () =>
      Effect.gen(function* () {
        const before = yield* where
        const outcome = yield* run(tasks.wait, {}, { timeLimit: [3600, 0.05] })
        assert(outcome._tag === "Failure")
        assert.strictEqual(outcome.failure.excType, "SoftTimeLimitExceeded")
        assert.strictEqual(yield* where, before)
      }).pipe(one({ grace: "1 hour" }))
    )

    it.live("a handler that does not obey its soft limit within the grace is killed", () =>
      Effect.gen(function* () {
        const before = yield* where
        const outcome = yield* run(tasks.hog, {}, { timeLimit: [3600, 0.05] })
        assert.deepStrictEqual(outcome, {
          _tag: "Failure",
          failure: { excType: "SoftTimeLimitExceeded", excMessage: [], excModule: "billiard.exceptions" },
          traceback: null
        })
        assert.notStrictEqual(yield* where, before)
      }).pipe(one({ grace: "50 millis" }))
    )
  })

  describe(`killing a job (${place})`, () => {
    it.live("kills the child that runs it, and the job is lost at once", () =>
      Effect.gen(function* () {
        const before = yield* where
        const { fiber, said, kill } = yield* start(tasks.hog)
        yield* said
        yield* kill
        assert.strictEqual(Jobs.lostText(yield* Fiber.join(fiber)), `The task was killed, and its ${place} with it`)
        assert.notStrictEqual(yield* where, before)
      }).pipe(one({ grace: "1 hour" }))
    )

    it.live("cuts short the grace of one that was interrupted", () =>
      Effect.gen(function* () {
        const { fiber, said, kill } = yield* start(tasks.hog)
        yield* said
        fiber.interruptUnsafe()
        yield* kill
        yield* Fiber.await(fiber)
        assert.strictEqual((yield* run(tasks.where))._tag, "Success")
      }).pipe(one({ grace: "1 hour" }))
    )

    it.live("a job that waits leaves the queue, and one that is over is none any more", () =>
      Effect.gen(function* () {
        const before = yield* where
        const first = yield* start(tasks.wait)
        yield* first.said
        const second = yield* start(tasks.exit)
        yield* second.kill
        assert.strictEqual(Jobs.lostText(yield* Fiber.join(second.fiber)), "The task was killed before it began")
        yield* Fiber.interrupt(first.fiber)
        yield* first.kill
        assert.strictEqual(yield* where, before)
      }).pipe(one({ grace: "1 hour" }))
    )
  })

  describe(`recycling (${place})`, () => {
    it.live("a child that ran its tasks closes its handlers' layer and is replaced", () =>
      Effect.gen(function* () {
        const file = yield* shared
        const children = yield* Effect.replicateEffect(where, 5).pipe(
          Effect.provide(poolLayer({ module: fixture("tidy"), size: 1, maxTasksPerChild: 2, grace: "1 hour" }))
        )
        const [a, , b, , c] = children
        assert.deepStrictEqual(children, [a, a, b, b, c])
        assert.strictEqual(new Set(children).size, 3)
        assert.strictEqual(readFileSync(file, "utf8"), "released\nreleased\nreleased\n")
      })
    )

    it.live("under load loses nothing and doubles nothing", () =>
      Effect.gen(function* () {
        const file = yield* scratch
        const many = times(30, 30, 60)
        const lines = Array.from({ length: many }, (_, index) => `${index}`)
        const outcomes = yield* Effect.forEach(lines, (line) => run(tasks.mark, { file, line }), {
          concurrency: "unbounded"
        })
        assert.deepStrictEqual(new Set(outcomes.map(({ _tag }) => _tag)), new Set(["Success"]))
        assert.deepStrictEqual(
          readFileSync(file, "utf8")
            .trimEnd()
            .split("\n")
            .toSorted((a, b) => +a - +b),
          lines
        )
        assert.isAtLeast(new Set(outcomes.map((outcome) => outcome._tag === "Success" && outcome.value)).size, many / 5)
      }).pipe(Effect.provide(poolOf(2, { maxTasksPerChild: 5 })))
    )
  })

  describe(`resizing (${place})`, () => {
    it.live("grows", () =>
      Effect.gen(function* () {
        const pool = yield* Pool
        yield* pool.resize(3)
        assert.strictEqual(pool.size(), 3)
        yield* allSpinning(3)
      }).pipe(one())
    )

    it.live("shrinks: who has nothing to do closes at once, who runs a job ends it first, and none is left over", () =>
      Effect.gen(function* () {
        const file = yield* shared
        yield* Effect.gen(function* () {
          const pool = yield* Pool
          const released = yield* Deferred.make<void>()
          const held = yield* Effect.replicateEffect(
            start(tasks.hold, {}, { updateState: () => Deferred.await(released) }),
            2
          )
          yield* pool.resize(1)
          yield* pool.resize(0)
          assert.strictEqual(pool.size(), 1)
          yield* Deferred.succeed(released, undefined)
          for (const { fiber } of held) assert.strictEqual((yield* Fiber.join(fiber))._tag, "Success")
          const [first, ...rest] = yield* Effect.replicateEffect(where, 10)
          assert.deepStrictEqual(new Set(rest), new Set([first]))
        }).pipe(Effect.provide(poolLayer({ module: fixture("tidy"), size: 3, grace: "1 hour" })))
        assert.strictEqual(readFileSync(file, "utf8"), "released\n".repeat(3))
      })
    )
  })

  describe(`a child that cannot be started (${place})`, () => {
    for (const { name, reason } of [
      { name: "throws", reason: /this module does not load.*throws\.ts/s },
      { name: "unbuildable", reason: /Refused/ },
      { name: "nothing", reason: /The default export of .*nothing\.ts is not a layer of handlers/ },
      { name: "absent", reason: /absent\.ts/ }
    ]) {
      it.live(`fails the layer with the reason: ${name}`, () =>
        Effect.gen(function* () {
          const error = yield* Effect.flip(Layer.build(poolLayer({ module: fixture(name), size: 2 })))
          assert.strictEqual(error._tag, "WorkerError")
          assert.match(error.message, reason)
        })
      )
    }

    it.live("fails the layer when it takes too long", () =>
      Effect.gen(function* () {
        const pool = poolLayer({ module: fixture("endless"), size: 1, startTimeout: "50 millis" })
        assert.match((yield* Effect.flip(Layer.build(pool))).message, /not ready within 50ms/)
      })
    )

    it.live("later on: jobs are lost with the reason and do not hang, and run again when it can", () =>
      Effect.gen(function* () {
        const unless = yield* shared
        const pool = yield* Layer.build(poolLayer({ module: fixture("fragile"), size: 1 }))
        yield* Effect.gen(function* () {
          writeFileSync(unless, "")
          yield* lost(tasks.exit)
          assert.match(yield* lost(tasks.where), new RegExp(`No ${place} could be started.*no longer loads`, "s"))
          rmSync(unless)
          assert.deepStrictEqual(yield* run(tasks.add, { x: 1, y: 1 }), success(2))
        }).pipe(Effect.provideContext(pool))
      })
    )

    for (const option of ["size", "maxTasksPerChild"] as const) {
      it.live(`refuses ${option} that is no whole number of at least 1`, () =>
        Effect.gen(function* () {
          for (const value of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
            const error = yield* Effect.flip(Layer.build(poolOf(1, { [option]: value })))
            assert(error._tag === "InvalidPoolOption")
            assert.strictEqual(
              error.message,
              `The pool's option ${option} is ${value}: make it a whole number, at least 1`
            )
          }
        })
      )
    }
  })

  describe(`closing (${place})`, () => {
    it.live("waits for no job: a busy child is killed, and its job is lost", () =>
      Effect.gen(function* () {
        const scope = yield* Scope.make()
        const context = yield* Layer.buildWithScope(poolOf(2, { grace: "1 hour" }), scope)
        yield* Effect.gen(function* () {
          const pool = yield* Pool
          const busy = yield* start(tasks.hog)
          yield* busy.said
          yield* Scope.close(scope, Exit.void)
          assert.deepStrictEqual(pool.stats()["processes"], [])
          assert.match(Jobs.lostText(yield* Fiber.join(busy.fiber)), /terminated/)
          assert.match(yield* lost(tasks.where), /was closed/)
        }).pipe(Effect.provideContext(context))
      })
    )

    it.live("releases what the handlers' layer holds", () =>
      Effect.gen(function* () {
        const file = yield* shared
        yield* Effect.provide(run(tasks.where), poolLayer({ module: fixture("tidy"), size: 2, grace: "1 hour" }))
        assert.strictEqual(readFileSync(file, "utf8"), "released\nreleased\n")
      })
    )
  })
}
