import * as Result from "@apium/protocol/celery/ResultMessage"
import { ResultBackend } from "@apium/worker/client/ResultBackend"
import * as AsyncResult from "@apium/worker/client/AsyncResult"
import * as Retry from "@apium/worker/task/Retry"
import * as Task from "@apium/worker/task/Task"
import { TaskContext } from "@apium/worker/task/TaskContext"
import { TaskFailed } from "@apium/worker/task/TaskError"
import { Tasks } from "@apium/worker/task/Tasks"
import { assert, describe, vi } from "@effect/vitest"
import { Deferred, Effect, Fiber, Option, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import { settle, start, test } from "../support/World.ts"

class OutOfStock extends Schema.TaggedError<OutOfStock>()("OutOfStock", { sku: Schema.String, at: Schema.Date }) {
  override get message() {
    return `no more of ${this.sku}`
  }
}

const buy = Task.make("shop.buy", {
  params: { sku: Schema.String },
  result: Schema.DateFromString,
  error: OutOfStock
})

/** A handle's options: a result that is stored. */
const stored = { ignored: false, revoke: () => Effect.void }

const message = (
  taskId: string,
  status: string,
  result: Result.ResultMessage["result"] = null
): Result.ResultMessage => ({
  taskId,
  status,
  result,
  traceback: null,
  children: [],
  dateDone: null
})

describe("get", () => {
  test(
    "is the result as the definition has it, however late or early it is asked for",
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      yield* start(
        {},
        Tasks.handle(buy, () => Effect.as(Deferred.await(gate), new Date(86_400_000)))
      )
      const result = yield* buy.delay({ sku: "a" })
      const early = yield* Effect.forkChild(result.get)
      const twice = yield* Effect.forkChild(result.get)
      yield* settle
      assert.isFalse(yield* result.ready)
      assert.strictEqual(yield* result.state, "PENDING")
      yield* Deferred.succeed(gate, undefined)
      for (const value of [yield* Fiber.join(early), yield* Fiber.join(twice), yield* result.get, yield* result.get]) {
        assert.deepStrictEqual(value, new Date(86_400_000))
      }
      assert.isTrue(yield* result.ready)
      assert.strictEqual(yield* result.state, "SUCCESS")
      // Nobody who asks by another handle waits for ever (WIRE 6, fact 40).
      const backend = yield* ResultBackend
      const other = AsyncResult.make(backend, result.id, buy, stored)
      assert.deepStrictEqual(yield* other.get, new Date(86_400_000))
    })
  )

  test(
    "two handles for one id that is still pending both resolve",
    Effect.gen(function* () {
      const backend = yield* ResultBackend
      const codecs = { result: Schema.Number, error: undefined }
      const handles = Array.from({ length: 2 }, () => AsyncResult.make(backend, "one", codecs, stored))
      const fibers = yield* Effect.forEach(handles, (handle) => Effect.forkChild(handle.get))
      yield* settle
      yield* backend.store(message("one", "STARTED"))
      yield* settle
      yield* backend.store(message("one", "SUCCESS", 5))
      assert.deepStrictEqual(yield* Effect.forEach(fibers, (fiber) => Fiber.join(fiber)), [5, 5])
    })
  )

  test(
    "a declared error comes back as itself, and Python sees its name and text",
    Effect.gen(function* () {
      const error = new OutOfStock({ sku: "b", at: new Date(5) })
      yield* start(
        {},
        Tasks.handle(buy, () => Effect.fail(error))
      )
      const result = yield* buy.delay({ sku: "b" })
      const caught = yield* Effect.flip(result.get)
      assert.instanceOf(caught, OutOfStock)
      assert.deepStrictEqual([caught.sku, caught.at, caught.message], ["b", new Date(5), "no more of b"])
      const backend = yield* ResultBackend
      const kept = Option.getOrThrow(yield* backend.get(result.id))
      const failure = Result.decodeFailure(kept.result)
      assert.isDefined(failure)
      assert.strictEqual(failure.excType, "OutOfStock")
      assert.strictEqual(failure.excMessage[0], "no more of b")
      assert.include(kept.traceback ?? "", "no more of b")
    })
  )

  test(
    "an error that is a plain value comes back as that value",
    Effect.gen(function* () {
      const codes = Task.make("shop.codes", { params: {}, error: Schema.Literals(["full", "closed"]) })
      yield* start(
        {},
        Tasks.handle(codes, () => Effect.fail("closed" as const))
      )
      assert.strictEqual(yield* Effect.flip((yield* codes.delay({})).get), "closed")
    })
  )

  test(
    "anything else is TaskFailed with Python's fields",
    Effect.gen(function* () {
      yield* start(
        {},
        Tasks.handle(buy, ({ sku }) => Effect.die(sku === "x" ? new RangeError("boom") : { odd: true }))
      )
      const result = yield* buy.delay({ sku: "x" })
      const error = yield* Effect.flip(result.get)
      assert.instanceOf(error, TaskFailed)
      assert.deepStrictEqual(
        [error.taskId, error.state, error.excType, error.excMessage, error.excModule],
        [result.id, "FAILURE", "RangeError", ["boom"], "apium"]
      )
      assert.include(Option.getOrThrow(error.traceback), "RangeError: boom")
      assert.include(error.message, "RangeError: boom")
      const odd = yield* Effect.flip((yield* buy.delay({ sku: "y" })).get)
      assert.instanceOf(odd, TaskFailed)
    })
  )

  test(
    "a Python exception that happens to have two arguments is not taken for the declared error",
    Effect.gen(function* () {
      const backend = yield* ResultBackend
      const result = AsyncResult.make(backend, "py", buy, stored)
      yield* backend.store(
        message(
          "py",
          "FAILURE",
          Result.encodeFailure({ excType: "ValueError", excMessage: ["bad", 1], excModule: "builtins" })
        )
      )
      const error = yield* Effect.flip(result.get)
      assert.instanceOf(error, TaskFailed)
      assert.deepStrictEqual([error.excType, error.excMessage], ["ValueError", ["bad", 1]])
    })
  )

  test(
    "a failure or a result of a shape nobody expects is TaskFailed, and never a defect",
    Effect.gen(function* () {
      const backend = yield* ResultBackend
      const shapes: ReadonlyArray<Result.ResultMessage["result"]> = [null, 5, "text", [], {}, { exc_type: 7 }, [["x"]]]
      for (const [index, shape] of shapes.entries()) {
        for (const status of ["FAILURE", "REVOKED", "SUCCESS"]) {
          const id = `${status}${index}`
          yield* backend.store(message(id, status, shape))
          const error = yield* Effect.flip(AsyncResult.make(backend, id, buy, stored).get)
          assert.instanceOf(error, TaskFailed, `${status} ${JSON.stringify(shape)}`)
          assert.strictEqual(error.state, status)
        }
      }
    })
  )

  test(
    "a task without a result gives nothing, and an ignored one gives it at once",
    Effect.gen(function* () {
      const quiet = Task.make("shop.quiet", { params: {} })
      yield* start(
        {},
        Tasks.handle(quiet, () => Effect.void)
      )
      assert.isUndefined(yield* (yield* quiet.delay({})).get)
      const ignored = yield* buy.applyAsync({ sku: "" }, { ignoreResult: true })
      assert.isUndefined(yield* ignored.get)
      assert.strictEqual(yield* ignored.state, "PENDING")
    })
  )
})

describe("changes", () => {
  test(
    "shows STARTED, RETRY, states of the task's own and the end, and then ends",
    Effect.gen(function* () {
      const steps = Task.make("shop.steps", {
        params: {},
        result: Schema.Number,
        trackStarted: true,
        retry: Retry.fixed({ maxRetries: 1, delay: "1 second" })
      })
      yield* start(
        {},
        Tasks.handle(steps, () =>
          Effect.gen(function* () {
            const { retries, updateState } = yield* TaskContext
            if (retries === 0) return yield* Effect.die(new Error("once"))
            yield* Effect.orDie(updateState("PROGRESS", { done: 50 }))
            return 7
          })
        )
      )
      const result = yield* steps.applyAsync({}, { countdown: "1 second" })
      const watching = yield* Effect.forkChild(Stream.runCollect(result.changes))
      yield* settle
      yield* TestClock.adjust("1 second")
      yield* settle
      yield* TestClock.adjust("1 second")
      const changes = yield* Fiber.join(watching)
      assert.deepStrictEqual(
        changes.map(({ state }) => state),
        ["STARTED", "RETRY", "STARTED", "PROGRESS", "SUCCESS"]
      )
      assert.deepStrictEqual(changes[0]!.meta, { pid: 0, hostname: "celery@localhost" })
      assert.deepStrictEqual([changes[3]!.meta, changes[4]!.meta], [{ done: 50 }, 7])
      // Who comes late sees the end.
      assert.deepStrictEqual(
        (yield* Stream.runCollect(result.changes)).map(({ state }) => state),
        ["SUCCESS"]
      )
    })
  )

  test(
    "a reader that is slow sees every state, and the last one",
    Effect.gen(function* () {
      const backend = yield* ResultBackend
      const result = AsyncResult.make(backend, "slow", buy, stored)
      const first = yield* Deferred.make<void>()
      const go = yield* Deferred.make<void>()
      const watching = yield* Effect.forkChild(
        Stream.runCollect(
          Stream.tap(result.changes, () => Effect.andThen(Deferred.succeed(first, undefined), Deferred.await(go)))
        )
      )
      yield* settle
      yield* backend.store(message("slow", "PROGRESS", 0))
      yield* Deferred.await(first)
      for (let done = 1; done < 500; done++) yield* backend.store(message("slow", "PROGRESS", done))
      yield* backend.store(message("slow", "SUCCESS"))
      yield* Deferred.succeed(go, undefined)
      const changes = yield* Fiber.join(watching)
      assert.strictEqual(changes.length, 501)
      assert.strictEqual(changes.at(-1)?.state, "SUCCESS")
    })
  )
})

describe("forget", () => {
  test(
    "deletes what is kept",
    Effect.gen(function* () {
      yield* start(
        {},
        Tasks.handle(buy, () => Effect.succeed(new Date(0)))
      )
      const result = yield* buy.delay({ sku: "a" })
      yield* result.get
      yield* result.forget
      assert.strictEqual(yield* result.state, "PENDING")
      yield* result.forget
    })
  )
})

describe("many", () => {
  test(
    "10,000 results that are awaited and interrupted leave no watcher behind",
    Effect.gen(function* () {
      const backend = yield* ResultBackend
      const watched = new Set<unknown>()
      const ours = (key: unknown) => typeof key === "string" && key.startsWith("leak-")
      // Who watches what is the backend's own affair: its map is seen from below.
      const { set, delete: remove } = Object.getOwnPropertyDescriptors(Map.prototype) as unknown as Record<
        "set" | "delete",
        { readonly value: (this: void, ...args: ReadonlyArray<unknown>) => unknown }
      >
      const spies = [
        vi.spyOn(Map.prototype, "set").mockImplementation(function (this: Map<unknown, unknown>, key, value) {
          if (ours(key)) watched.add(key)
          Reflect.apply(set.value, this, [key, value])
          return this
        }),
        vi.spyOn(Map.prototype, "delete").mockImplementation(function (this: Map<unknown, unknown>, key) {
          if (ours(key)) watched.delete(key)
          return Reflect.apply(remove.value, this, [key]) as boolean
        })
      ]
      yield* Effect.gen(function* () {
        const results = Array.from({ length: 10_000 }, (_, index) =>
          AsyncResult.make(backend, `leak-${index}`, buy, stored)
        )
        const getting = yield* Effect.forEach(results, (result) => Effect.forkChild(result.get))
        const changing = yield* Effect.forEach(results.slice(0, 1000), (result) =>
          Effect.forkChild(Stream.runDrain(result.changes))
        )
        yield* settle
        assert.strictEqual(watched.size, 10_000)
        yield* Fiber.interruptAll([...getting, ...changing])
        assert.strictEqual(watched.size, 0)
      }).pipe(
        Effect.ensuring(
          Effect.sync(() => {
            for (const spy of spies) spy.mockRestore()
          })
        )
      )
    })
  )
})
