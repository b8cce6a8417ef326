/** Failures as Python reads them, and Python's as the errors that a task declares. With real Python: `test/interop/errors.test.ts`. */
import type { Failure } from "@apium/protocol/celery/ResultMessage"
import * as ResultMessage from "@apium/protocol/celery/ResultMessage"
import * as Canvas from "@apium/worker/client/Canvas"
import { ResultBackend } from "@apium/worker/client/ResultBackend"
import * as AsyncResult from "@apium/worker/client/AsyncResult"
import * as EventReceiver from "@apium/worker/events/EventReceiver"
import * as Retry from "@apium/worker/task/Retry"
import * as Task from "@apium/worker/task/Task"
import * as TaskError from "@apium/worker/task/TaskError"
import { Tasks } from "@apium/worker/task/Tasks"
import { assert, describe } from "@effect/vitest"
import { Effect, Fiber, Option, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import { settle, start, stored, test } from "../support/World.ts"

class OutOfStock extends Schema.TaggedError<OutOfStock>()("OutOfStock", {
  sku: Schema.String,
  at: Schema.DateFromString,
  left: Schema.optionalKey(Schema.Int)
}) {
  override get message() {
    return `no more of ${this.sku}`
  }
}
class Refused extends Schema.TaggedError<Refused>()("Refused", { message: Schema.String }) {}
class Denied extends Schema.TaggedError<Denied>()("Denied", { message: Schema.String }) {}
class Numbered extends Schema.TaggedError<Numbered>()("Numbered", { code: Schema.Int }) {}
class Odd extends Schema.TaggedError<Odd>()("Odd", { value: Schema.Unknown }) {}

const outOfStock = TaskError.python(OutOfStock, {
  module: "shop.errors",
  type: "OutOfStock",
  args: ["message", "sku", "at", "left"]
})
const refused = TaskError.python(Refused, { module: "builtins", type: "ValueError", args: ["message"] })
const buy = Task.make("shop.buy", {
  params: { how: Schema.String },
  error: Schema.Union([
    outOfStock,
    refused,
    TaskError.python(Odd, { module: "shop.errors", type: "Odd", args: ["value"] })
  ])
})
// @ts-expect-error what an Error has besides its fields does not travel
TaskError.python(Refused, { module: "builtins", type: "ValueError", args: ["stack"] })
const plain = Task.make("shop.plain", { params: { how: Schema.String }, error: Odd })
const sum = Task.make("shop.sum", { params: { of: Schema.Unknown } })
const patient = Task.make("shop.patient", {
  params: {},
  error: refused,
  retry: Retry.fixed({ maxRetries: 1, delay: "1 minute" })
})

const gone = new OutOfStock({ sku: "b", at: new Date(5) })
const at = new Date(5).toISOString()

/** What a failed task left behind, and what `get` fails with. */
const failing = (error: unknown, task: typeof buy | typeof plain = buy) =>
  Effect.gen(function* () {
    yield* start(
      {},
      Tasks.handle(task as typeof plain, () => Effect.fail(error as Odd))
    )
    const sent = yield* (task as typeof buy).delay({ how: "" })
    const caught = yield* Effect.flip(sent.get)
    return { caught, failure: ResultMessage.decodeFailure((yield* stored(sent.id))?.result) }
  })

const raised = <E = NonNullable<(typeof buy)["error"]>["Type"]>(
  excType: string,
  excMessage: Failure["excMessage"],
  excModule: string,
  error: Task.Wire<E> = buy.error as unknown as Task.Wire<E>
) =>
  Effect.gen(function* () {
    const backend = yield* ResultBackend
    yield* backend.store({
      taskId: "py",
      status: "FAILURE",
      result: ResultMessage.encodeFailure({ excType, excMessage, excModule }),
      traceback: "Traceback",
      children: [],
      dateDone: null
    })
    const revoke = () => Effect.void
    return yield* Effect.flip(
      AsyncResult.make(backend, "py", { result: buy.result, error }, { ignored: false, revoke }).get
    )
  })

describe("an error that is a class of Python's", () => {
  test(
    "is stored with its module and name, and the fields that are its arguments",
    Effect.gen(function* () {
      const { caught, failure } = yield* failing(gone)
      assert.deepStrictEqual(failure, {
        excType: "OutOfStock",
        excMessage: ["no more of b", "b", at],
        excModule: "shop.errors"
      })
      assert.instanceOf(caught, OutOfStock)
      assert.deepStrictEqual([caught.sku, caught.at], ["b", new Date(5)])
    })
  )

  test(
    "may be one of Python's own, and each of several has its class",
    Effect.gen(function* () {
      const { caught, failure } = yield* failing(new Refused({ message: "no" }))
      assert.deepStrictEqual(failure, { excType: "ValueError", excMessage: ["no"], excModule: "builtins" })
      assert.instanceOf(caught, Refused)
      assert.strictEqual(caught.message, "no")
    })
  )

  test(
    "that Python raised is the declared error",
    Effect.gen(function* () {
      const caught = yield* raised("OutOfStock", ["none", "c", at, 3], "shop.errors")
      assert.instanceOf(caught, OutOfStock)
      assert.deepStrictEqual([caught.sku, caught.at, caught.left], ["c", new Date(5), 3])
      assert.instanceOf(yield* raised("ValueError", ["bad"], "builtins"), Refused)
    })
  )

  test(
    "and that others of the union are, too, is the first of them whose fields the arguments can be",
    Effect.gen(function* () {
      const shared = { module: "builtins", type: "ValueError" } as const
      const numbered = TaskError.python(Numbered, { ...shared, args: ["code"] })
      const first = Schema.Union([numbered, refused, TaskError.python(Denied, { ...shared, args: ["message"] })])
      const last = Schema.Union([TaskError.python(Denied, { ...shared, args: ["message"] }), refused, numbered])
      const comesAs = (error: Task.Wire<Numbered | Refused | Denied>, args: Failure["excMessage"]) =>
        Effect.map(raised("ValueError", args, "builtins", error), ({ _tag }) => _tag)
      assert.deepStrictEqual(
        [yield* comesAs(first, [7]), yield* comesAs(first, ["no"]), yield* comesAs(first, [null])],
        ["Numbered", "Refused", "TaskFailed"]
      )
      assert.deepStrictEqual([yield* comesAs(last, [7]), yield* comesAs(last, ["no"])], ["Numbered", "Denied"])
    })
  )

  test(
    "is found in what newer Celery makes of an exception that cannot be pickled",
    Effect.gen(function* () {
      const wrapped = (...args: Failure["excMessage"]) =>
        raised("UnpickleableExceptionWrapper", args, "celery.utils.serialization")
      const caught = yield* wrapped("shop.errors", "OutOfStock", ["none", "c", at], "OutOfStock('none', 'c')")
      assert.instanceOf(caught, OutOfStock)
      assert.strictEqual(caught.sku, "c")
      const inner = yield* wrapped("shop.errors", "Late", ["why"], "Late('why')")
      assert.instanceOf(inner, TaskError.TaskFailed)
      assert.deepStrictEqual([inner.excModule, inner.excType, inner.excMessage], ["shop.errors", "Late", ["why"]])
      const odd = yield* wrapped("shop.errors", "Late", "why")
      assert.instanceOf(odd, TaskError.TaskFailed)
      assert.strictEqual(odd.excType, "UnpickleableExceptionWrapper")
    })
  )

  test(
    "that Python raised with other arguments, or of another module, is TaskFailed",
    Effect.gen(function* () {
      for (const [type, args, module] of [
        ["OutOfStock", ["none"], "shop.errors"],
        ["OutOfStock", ["none", "c", at, 3, "more"], "shop.errors"],
        ["OutOfStock", ["none", "c", at], "other.errors"],
        ["ValueError", [1], "builtins"],
        ["ValueError", ["a", "b"], "builtins"]
      ] as const) {
        const caught = yield* raised(type, args, module)
        assert.instanceOf(caught, TaskError.TaskFailed)
        assert.deepStrictEqual(
          [caught.excType, caught.excMessage, caught.excModule, Option.getOrNull(caught.traceback)],
          [type, args, module, "Traceback"]
        )
      }
    })
  )

  test(
    "is the exception that a retry stores, the last failure, what events tell, and what its chord fails with",
    Effect.gen(function* () {
      yield* start(
        { events: true },
        Tasks.handle(patient, () => Effect.fail(new Refused({ message: "not now" }))),
        Tasks.handle(sum, () => Effect.void)
      )
      const events = yield* Effect.forkChild(
        EventReceiver.stream().pipe(
          Stream.filter(({ type }) => type === "task-retried" || type === "task-failed"),
          Stream.map((event) => [event.type, event.fields.exception]),
          Stream.take(2),
          Stream.runCollect
        )
      )
      yield* settle
      const sent = yield* patient.delay({})
      yield* settle
      const failure = { exc_type: "ValueError", exc_message: ["not now"], exc_module: "builtins" }
      const first = yield* stored(sent.id)
      assert.deepStrictEqual([first?.status, first?.result], ["RETRY", failure])
      yield* TestClock.adjust("2 minutes")
      assert.instanceOf(yield* Effect.flip(sent.get), Refused)
      assert.deepStrictEqual((yield* stored(sent.id))?.result, failure)
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(yield* Fiber.join(events), [
        ["task-retried", "ValueError('not now')"],
        ["task-failed", "ValueError('not now')"]
      ])
      const chord = yield* Canvas.delay(Canvas.chord([patient.s({})], sum.partial({})))
      yield* settle
      yield* TestClock.adjust("2 minutes")
      const dependency = yield* Effect.flip(chord.get)
      assert.match(String(Reflect.get(dependency, "excMessage")), /raised ValueError\('not now'\)$/)
    })
  )
})

describe("a failure is stored", () => {
  const loop: Record<string, unknown> = {}
  loop.loop = loop

  test(
    "when a field is nothing that JSON knows: in words",
    Effect.gen(function* () {
      const { caught, failure } = yield* failing(new Odd({ value: loop }))
      assert.deepStrictEqual(
        [failure?.excType, failure?.excModule, failure?.excMessage.length],
        ["Odd", "shop.errors", 1]
      )
      assert.isString(failure?.excMessage[0])
      // A text is a value of `Schema.Unknown`, too.
      assert.instanceOf(caught, Odd)
    })
  )

  test(
    "when a field of an error without a class is nothing that JSON knows: in words, behind the message",
    Effect.gen(function* () {
      const { caught, failure } = yield* failing(new Odd({ value: () => loop }), plain)
      assert.deepStrictEqual([failure?.excType, failure?.excModule, failure?.excMessage[0]], ["Odd", "apium", ""])
      assert.instanceOf(caught, TaskError.TaskFailed)
      assert.strictEqual(caught.state, "FAILURE")
    })
  )

  const thrown: ReadonlyArray<readonly [title: string, value: unknown, failure: Failure]> = [
    ["a text", "plain", { excType: "Exception", excMessage: ["plain"], excModule: "builtins" }],
    ["undefined", undefined, { excType: "Exception", excMessage: ["undefined"], excModule: "builtins" }],
    ["an object", { code: 5 }, { excType: "Error", excMessage: ["{'code': 5}"], excModule: "apium" }],
    ["an error without a message", new RangeError(), { excType: "RangeError", excMessage: [], excModule: "apium" }],
    [
      "an error of 200 kB, cut between characters",
      new Error(`x${"🎉".repeat(50_000)}`),
      { excType: "Error", excMessage: [`x${"🎉".repeat(8191)}`], excModule: "apium" }
    ]
  ]
  for (const [title, value, expected] of thrown) {
    test(
      `when what was thrown is ${title}`,
      Effect.gen(function* () {
        yield* start(
          {},
          Tasks.handle(plain, () => Effect.die(value))
        )
        const sent = yield* plain.delay({ how: "" })
        const caught = yield* Effect.flip(sent.get)
        assert.instanceOf(caught, TaskError.TaskFailed)
        assert.deepStrictEqual(ResultMessage.decodeFailure((yield* stored(sent.id))?.result), expected)
      })
    )
  }

  test(
    "with the whole chain of causes in its traceback",
    Effect.gen(function* () {
      yield* start(
        {},
        Tasks.handle(plain, () =>
          Effect.die(new Error("outer", { cause: new TypeError("middle", { cause: new RangeError("inner") }) }))
        )
      )
      const sent = yield* plain.delay({ how: "" })
      yield* Effect.flip(sent.get)
      const traceback = (yield* stored(sent.id))?.traceback ?? ""
      for (const text of ["Error: outer", "TypeError: middle", "RangeError: inner"]) assert.include(traceback, text)
    })
  )
})
