import * as Retry from "@apium/worker/task/Retry"
import * as Task from "@apium/worker/task/Task"
import { TaskContext } from "@apium/worker/task/TaskContext"
import { Ignore, Reject, TaskFailed } from "@apium/worker/task/TaskError"
import { Tasks } from "@apium/worker/task/Tasks"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Option, Schema } from "effect"
import { TestClock } from "effect/testing"

const add = Task.make("proj.add", {
  params: { x: Schema.Number, y: Schema.Number, scale: Schema.optionalKey(Schema.Number) },
  result: Schema.Number
})
const AddLive = Tasks.handle(add, ({ x, y, scale }) => Effect.succeed((x + y) * (scale ?? 1)))

const test = <A, E>(
  name: string,
  effect: Effect.Effect<A, E, Tasks>,
  ...handlers: ReadonlyArray<Layer.Layer<never, never, Tasks>>
) =>
  it.effect(name, () =>
    Effect.provide(effect, Layer.mergeAll(Layer.empty, ...handlers).pipe(Layer.provideMerge(Tasks.layer)))
  )

describe("applying a task", () => {
  test(
    "runs its handler here and now, and gives what it gave",
    Effect.gen(function* () {
      const result = yield* Task.apply(add, { x: 2, y: 3, scale: 10 }, { taskId: "mine" })
      assert.deepStrictEqual([result.id, result.state, result.traceback], ["mine", "SUCCESS", Option.none()])
      const sum: number = yield* result.get
      assert.strictEqual(sum, 50)
    }),
    AddLive
  )

  const precise = Task.make("proj.precise", {
    params: { at: Schema.Date, bytes: Schema.Uint8Array, many: Schema.BigInt },
    result: Schema.Struct({ at: Schema.Date, many: Schema.BigInt })
  })
  let sent: unknown
  test(
    "carries its arguments and its result as the wire does: equal, and not the same",
    Effect.gen(function* () {
      const payload = { at: new Date(1000), bytes: Uint8Array.of(1, 2), many: 2n ** 80n }
      const { get } = yield* Task.apply(precise, payload)
      const { at, many } = yield* get
      assert.deepStrictEqual(sent, payload)
      assert.notStrictEqual((sent as typeof payload).at, payload.at)
      assert.deepStrictEqual([at, many], [new Date(1000), 2n ** 80n])
    }),
    Tasks.handle(precise, (payload) => {
      sent = payload
      return Effect.succeed({ at: payload.at, many: payload.many })
    })
  )

  test(
    "is an error where the payload is none of the task's, as sending is",
    Effect.gen(function* () {
      const error = yield* Effect.flip(Task.apply(add, { x: "2" as unknown as number, y: 3 }))
      assert.strictEqual(error._tag, "SchemaError")
    }),
    AddLive
  )

  test(
    "is an error with an id that no message can carry",
    Effect.gen(function* () {
      const error = yield* Effect.flip(Task.apply(add, { x: 2, y: 3 }, { taskId: "" }))
      assert.strictEqual(error._tag === "HubError" ? error.reason._tag : error._tag, "EncodeFailed")
    }),
    AddLive
  )

  test(
    "is NotRegistered without a handler",
    Effect.gen(function* () {
      const result = yield* Task.apply(add, { x: 2, y: 3 })
      const error = yield* Effect.flip(result.get)
      assert.strictEqual(result.state, "FAILURE")
      assert.deepStrictEqual([error.excType, error.excMessage], ["NotRegistered", ["proj.add"]])
    })
  )

  class Sold extends Schema.TaggedError<Sold>()("Sold", { left: Schema.Number }) {}
  const buy = Task.make("shop.buy", { params: {}, error: Sold })
  test(
    "fails with the task's own error, typed, and shows where",
    Effect.gen(function* () {
      const result = yield* Task.apply(buy, {})
      const error = yield* Effect.flip(result.get)
      assert.instanceOf(error, Sold)
      assert.strictEqual(error.left, 3)
      assert.match(
        Option.getOrElse(result.traceback, () => ""),
        /Sold/
      )
    }),
    Tasks.handle(buy, () => Effect.fail(new Sold({ left: 3 })))
  )

  const ending = Task.make("proj.ending", { params: { how: Schema.String } })
  test(
    "has a state for what was ignored or rejected",
    Effect.gen(function* () {
      for (const [how, state, text] of [
        ["ignore", "IGNORED", "the task asked to be ignored"],
        ["reject", "REJECTED", "not mine"]
      ] as const) {
        const result = yield* Task.apply(ending, { how })
        const error = yield* Effect.flip(result.get)
        assert.instanceOf(error, TaskFailed)
        assert.deepStrictEqual([result.state, error.state, error.excMessage], [state, state, [text]])
      }
    }),
    Tasks.handle(ending, ({ how }) =>
      Effect.fail(how === "ignore" ? new Ignore() : new Reject({ requeue: true, reason: "not mine" }))
    )
  )
})

describe("a retry of an applied task", () => {
  const counted = (runs: Array<number>) =>
    Effect.tap(TaskContext, ({ retries }) => Effect.sync(() => void runs.push(retries)))

  const flaky = Task.make("proj.flaky", {
    params: {},
    result: Schema.Number,
    retry: Retry.exponential({ maxRetries: 3, base: "1 hour", cap: "1 day" })
  })
  const runs: Array<number> = []
  test(
    "is run at once, and knows the how manieth it is",
    Effect.gen(function* () {
      assert.strictEqual(yield* (yield* Task.apply(flaky, {})).get, 2)
      assert.deepStrictEqual(runs, [0, 1, 2])
    }),
    Tasks.handle(flaky, () =>
      Effect.flatMap(counted(runs), ({ retries }) =>
        retries < 2 ? Effect.die(new Error("no")) : Effect.succeed(retries)
      )
    )
  )

  const hopeless: Array<number> = []
  test(
    "ends with the policy's maximum, as the failure it was",
    Effect.gen(function* () {
      const result = yield* Task.apply(flaky, {}, { retries: 1 })
      const error = yield* Effect.flip(result.get)
      assert.deepStrictEqual([result.state, error.excType, error.excMessage], ["FAILURE", "Error", ["no"]])
      assert.deepStrictEqual(hopeless, [1, 2, 3])
    }),
    Tasks.handle(flaky, () => Effect.andThen(counted(hopeless), Effect.die(new Error("no"))))
  )

  const asking = Task.make("proj.asking", { params: {} })
  const asked: Array<number> = []
  test(
    "that the handler asks for is one, too: three of them without a policy, then MaxRetriesExceededError",
    Effect.gen(function* () {
      const error = yield* Effect.flip((yield* Task.apply(asking, {})).get)
      assert.strictEqual(error.excType, "MaxRetriesExceededError")
      assert.deepStrictEqual(asked, [0, 1, 2, 3])
    }),
    Tasks.handle(asking, () => Effect.andThen(counted(asked), Retry.again({ countdown: "1 hour" })))
  )

  const forever = Task.make("proj.forever", { params: {}, retry: Retry.fixed({ maxRetries: "forever", delay: 0 }) })
  test(
    "without an end can be interrupted",
    Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(Task.apply(forever, {}))
      yield* Effect.yieldNow
      yield* Fiber.interrupt(fiber)
    }),
    Tasks.handle(forever, () => Effect.die("never"))
  )
})

describe("the limits of an applied task", () => {
  const slow = Task.make("proj.slow", { params: {}, softTimeLimit: "10 seconds" })
  const Slow = Tasks.handle(slow, () => Effect.never)

  for (const [name, options, excType] of [
    ["soft", {}, "SoftTimeLimitExceeded"],
    ["hard", { timeLimit: "5 seconds" }, "TimeLimitExceeded"]
  ] as const) {
    test(
      `hold under the test's clock: the ${name} one`,
      Effect.gen(function* () {
        const applied = yield* Effect.forkChild(Task.apply(slow, {}, options))
        yield* TestClock.adjust("10 seconds")
        const error = yield* Effect.flip((yield* Fiber.join(applied)).get)
        assert.strictEqual(error.excType, excType)
      }),
      Slow
    )
  }
})

describe("a handler that applies another task", () => {
  const outer = Task.make("proj.outer", { params: {} })
  const inner = Task.make("proj.inner", { params: {} })
  const tree: Array<readonly [rootId: string, parentId: string | undefined]> = []
  const note = Effect.map(
    TaskContext,
    ({ rootId, parentId }) => void tree.push([rootId, Option.getOrUndefined(parentId)])
  )
  test(
    "is its parent",
    Effect.gen(function* () {
      yield* Task.apply(outer, {}, { taskId: "root" })
      assert.deepStrictEqual(tree, [
        ["root", undefined],
        ["root", "root"]
      ])
    }),
    Tasks.handle(outer, () => Effect.andThen(note, Effect.asVoid(Task.apply(inner, {})))),
    Tasks.handle(inner, () => note)
  )
})
