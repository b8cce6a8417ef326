import type { ResultMessage } from "@apium/protocol/celery/ResultMessage"
import * as MemoryBackend from "@apium/worker/client/backends/MemoryBackend"
import { ResultBackend } from "@apium/worker/client/ResultBackend"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Option, Scheduler } from "effect"
import { TestClock } from "effect/testing"

const message = (taskId: string, status = "SUCCESS", result: ResultMessage["result"] = null): ResultMessage => ({
  taskId,
  status,
  result,
  traceback: null,
  children: [],
  dateDone: null
})

const test = (
  name: string,
  options: MemoryBackend.Options,
  body: (backend: ResultBackend["Service"]) => Effect.Effect<void, unknown>
) => it.effect(name, () => Effect.provide(Effect.flatMap(ResultBackend, body), MemoryBackend.layerWith(options)))

const status = (backend: ResultBackend["Service"], id: string) =>
  Effect.map(backend.get(id), (found) => Option.getOrUndefined(Option.map(found, (message) => message.status)))

describe("what is kept", () => {
  test("is the newest state, and a SUCCESS for good", {}, (backend) =>
    Effect.gen(function* () {
      for (const state of ["STARTED", "RETRY", "FAILURE", "STARTED", "SUCCESS"]) {
        yield* backend.store(message("a", state))
        assert.strictEqual(yield* status(backend, "a"), state)
      }
      for (const state of ["FAILURE", "STARTED", "REVOKED", "SUCCESS"]) yield* backend.store(message("a", state, 5))
      assert.strictEqual(yield* status(backend, "a"), "SUCCESS")
      assert.isNull(Option.getOrThrow(yield* backend.get("a")).result)
    })
  )

  test("goes after its time, a day by default", {}, (backend) =>
    Effect.gen(function* () {
      yield* backend.store(message("a"))
      yield* TestClock.adjust("86399999 millis")
      assert.strictEqual(yield* status(backend, "a"), "SUCCESS")
      yield* TestClock.adjust("1 millis")
      assert.isUndefined(yield* status(backend, "a"))
    })
  )

  test("lives anew with each state", { expires: "10 seconds" }, (backend) =>
    Effect.gen(function* () {
      yield* backend.store(message("a", "STARTED"))
      yield* TestClock.adjust("9 seconds")
      yield* backend.store(message("a", "PROGRESS"))
      yield* TestClock.adjust("9 seconds")
      assert.strictEqual(yield* status(backend, "a"), "PROGRESS")
      yield* TestClock.adjust("1 seconds")
      assert.isUndefined(yield* status(backend, "a"))
    })
  )

  test("an id may be used again when its SUCCESS has gone", { expires: "10 seconds" }, (backend) =>
    Effect.gen(function* () {
      yield* backend.store(message("b"))
      yield* TestClock.adjust("1 seconds")
      yield* backend.store(message("a"))
      // Swept by nobody yet: `b` was the oldest, and `a` is younger.
      yield* TestClock.adjust("10 seconds")
      const waiting = yield* Effect.forkChild(backend.wait("a"))
      yield* Effect.yieldNow
      yield* backend.store(message("a", "SUCCESS", 2))
      assert.strictEqual((yield* Fiber.join(waiting)).result, 2)
    })
  )

  test("what has gone is not waited for as if it were there", { expires: "1 second" }, (backend) =>
    Effect.gen(function* () {
      yield* backend.store(message("a", "SUCCESS", 1))
      yield* TestClock.adjust("1 second")
      const waiting = yield* Effect.forkChild(backend.wait("a"))
      yield* Effect.yieldNow
      assert.isUndefined(waiting.pollUnsafe())
      yield* backend.store(message("a", "SUCCESS", 2))
      assert.strictEqual((yield* Fiber.join(waiting)).result, 2)
    })
  )
})

describe("capacity", () => {
  test("beyond it the oldest tenth goes, and the newest stays", { capacity: 100 }, (backend) =>
    Effect.gen(function* () {
      for (let index = 0; index < 100; index++) yield* backend.store(message(`t${index}`))
      // A SUCCESS that comes again makes nothing newer.
      yield* backend.store(message("t0", "SUCCESS"))
      assert.strictEqual(yield* status(backend, "t0"), "SUCCESS")
      yield* backend.store(message("t100"))
      const left = yield* Effect.filter(
        Array.from({ length: 101 }, (_, index) => `t${index}`),
        (id) => Effect.map(status(backend, id), (found) => found !== undefined)
      )
      assert.strictEqual(left.length, 90)
      assert.strictEqual(left[0], "t11")
      assert.strictEqual(left.at(-1), "t100")
    })
  )

  for (const capacity of [1, 2, 3, 5, 9]) {
    test(`the newest result is always there, with room for ${capacity}`, { capacity }, (backend) =>
      Effect.gen(function* () {
        for (let index = 0; index < 50; index++) {
          yield* backend.store(message(`t${index}`))
          assert.strictEqual(yield* status(backend, `t${index}`), "SUCCESS")
        }
        const kept = yield* Effect.filter(
          Array.from({ length: 50 }, (_, index) => `t${index}`),
          (id) => Effect.map(status(backend, id), (found) => found !== undefined)
        )
        assert.isTrue(kept.length <= capacity)
      })
    )
  }

  test("a million states of one task are one result", { capacity: 10 }, (backend) =>
    Effect.gen(function* () {
      yield* backend.store(message("other"))
      for (let index = 0; index < 1000; index++) yield* backend.store(message("a", "PROGRESS", index))
      assert.strictEqual(yield* status(backend, "other"), "SUCCESS")
    })
  )
})

describe("who waits", () => {
  test("gets a result that comes while his fiber yields, wherever that is", {}, (backend) =>
    Effect.gen(function* () {
      for (let budget = 3; budget < 30; budget++) {
        for (let later = 0; later < 5; later++) {
          const id = `${budget}-${later}`
          const waiting = yield* backend
            .wait(id)
            .pipe(Effect.provideService(Scheduler.MaxOpsBeforeYield, budget), Effect.forkScoped)
          yield* Effect.repeat(Effect.yieldNow, { times: later })
          yield* backend.store(message(id))
          yield* Effect.repeat(Effect.yieldNow, { times: 20 })
          assert.isDefined(waiting.pollUnsafe(), `a yield after ${budget}, a result ${later} later`)
        }
      }
    }).pipe(Effect.scoped)
  )
})

describe("groups and chords", () => {
  test("go after the time of a result, and live anew with each change", { expires: "10 seconds" }, (backend) =>
    Effect.gen(function* () {
      const { chords, groups } = backend
      const count = (index: number) =>
        chords.count(
          { groupId: "c", groupIndex: index, taskId: `t${index}`, state: "SUCCESS", result: index },
          () => Effect.void
        )
      yield* groups.save({ id: "g", parent: null, children: [] })
      yield* chords.size("c", 3)
      yield* TestClock.adjust("9 seconds")
      assert.isTrue(Option.isSome(yield* groups.restore("g")))
      yield* count(0)
      yield* TestClock.adjust("9 seconds")
      assert.isTrue(Option.isNone(yield* groups.restore("g")))
      yield* count(1)
      assert.isTrue(yield* count(2))
      // Of the next of this name nothing is known.
      yield* TestClock.adjust("10 seconds")
      yield* chords.size("c", 2)
      assert.isFalse(yield* count(0))
      yield* TestClock.adjust("10 seconds")
      assert.isFalse(yield* count(1))
    })
  )
})
