/** A shop whose errors have classes in both languages: what `errors.test.ts` sends, runs and catches. */
import * as Retry from "@apium/worker/task/Retry"
import * as Task from "@apium/worker/task/Task"
import { TaskContext } from "@apium/worker/task/TaskContext"
import * as TaskError from "@apium/worker/task/TaskError"
import { Tasks } from "@apium/worker/task/Tasks"
import { Effect, Layer, Schema } from "effect"

/** A project's own exceptions, as a module that both of its sides import. */
export const shop = `
import sys, types
shop = types.ModuleType("shop.errors")
sys.modules.update({"shop": types.ModuleType("shop"), "shop.errors": shop})
exec('''
class OutOfStock(Exception):
    def __init__(self, sku, left):
        super().__init__(sku, left)
        self.sku, self.left = sku, left
class Order:
    class Refused(Exception):
        pass
class Nothing(Exception):
    pass
class Picky(Exception):
    def __init__(self, sku, left):
        super().__init__(sku + " is short")
''', shop.__dict__)
`

export class OutOfStock extends Schema.TaggedError<OutOfStock>()("OutOfStock", {
  sku: Schema.String,
  left: Schema.Int
}) {}
export class Invalid extends Schema.TaggedError<Invalid>()("Invalid", { message: Schema.String }) {}
export class Missing extends Schema.TaggedError<Missing>()("Missing", { key: Schema.String }) {}
export class Refused extends Schema.TaggedError<Refused>()("Refused", {
  reason: Schema.String,
  codes: Schema.Array(Schema.Int),
  note: Schema.optionalKey(Schema.String)
}) {}
export class Nothing extends Schema.TaggedError<Nothing>()("Nothing", {}) {}
class Odd extends Schema.TaggedError<Odd>()("Odd", { value: Schema.Unknown }) {}
class Ours extends Schema.TaggedError<Ours>()("Ours", { message: Schema.String, n: Schema.Int }) {}

export const module = "shop.errors"
const error = Schema.Union([
  TaskError.python(OutOfStock, { module, type: "OutOfStock", args: ["sku", "left"] }),
  TaskError.python(Invalid, { module: "builtins", type: "ValueError", args: ["message"] }),
  TaskError.python(Missing, { module: "builtins", type: "KeyError", args: ["key"] }),
  TaskError.python(Refused, { module, type: "Order.Refused", args: ["reason", "codes", "note"] }),
  TaskError.python(Nothing, { module, type: "Nothing", args: [] }),
  TaskError.python(Odd, { module, type: "Nothing", args: ["value"] }),
  Ours
])
type Declared = typeof error.Type

const params = { how: Schema.String }
/** The same two in both languages. */
export const fail = (queue: string) => Task.make("errors.fail", { params, error, queue })
export const stamped = (queue: string) => Task.make("errors.stamped", { params: { of: Schema.Unknown }, queue })
const retried = Task.make("errors.retried", {
  params: {},
  error,
  retry: Retry.fixed({ maxRetries: 1, delay: "1 second" })
})

export const long = "ü世🎉".repeat(25_000)
const loop: Record<string, unknown> = {}
loop.loop = loop

const ways: Readonly<Record<string, () => Effect.Effect<never, Declared>>> = {
  class: () => Effect.fail(new OutOfStock({ sku: "mug", left: 3 })),
  ValueError: () => Effect.fail(new Invalid({ message: "no good" })),
  KeyError: () => Effect.fail(new Missing({ key: "mug" })),
  inner: () => Effect.fail(new Refused({ reason: "late", codes: [1, 2] })),
  nothing: () => Effect.fail(new Nothing({})),
  odd: () => Effect.fail(new Odd({ value: loop })),
  ours: () => Effect.fail(new Ours({ message: "ours", n: 1 })),
  long: () => Effect.fail(new Invalid({ message: long })),
  defect: () => Effect.die(new RangeError("too far", { cause: new Error("the cause") })),
  silent: () => Effect.die(new RangeError()),
  text: () => Effect.die("just a text"),
  object: () => Effect.die({ code: 5 })
}

/** Of the runs of `stamped`. */
export const seen: Array<{ readonly of: unknown; readonly stamps: Readonly<Record<string, unknown>> }> = []

export const handlers = Layer.mergeAll(
  Tasks.handle(fail("errors-ts"), ({ how }) => ways[how]!()),
  Tasks.handle(retried, () => ways.ValueError!()),
  Tasks.handle(stamped("errors-ts"), ({ of }) =>
    Effect.map(TaskContext, ({ stamps }) => void seen.push({ of, stamps: { ...stamps } }))
  )
)

/** The same in Python. */
export const worker = `
import os
from celery import Celery
${shop}
app = Celery("errors", broker=os.environ["BROKER"], backend=os.environ["BACKEND"])
app.conf.update(task_default_queue="errors-py", worker_hijack_root_logger=False)

class Elsewhere(Exception):
    pass

@app.task(name="errors.fail")
def fail(how):
    if how == "class":
        raise shop.OutOfStock("mug", 3)
    if how == "picky":
        raise shop.Picky("mug", 3)
    if how == "inner":
        raise shop.Order.Refused("late", [1, 2], "why")
    if how == "nothing":
        raise shop.Nothing()
    if how == "ValueError":
        raise ValueError("no good")
    if how == "KeyError":
        return {}["mug"]
    if how == "long":
        raise ValueError("ü世🎉" * 25000)
    if how == "other":
        raise ValueError("no good", 1)
    if how == "elsewhere":
        raise Elsewhere("who?")
    if how == "object":
        raise shop.OutOfStock(object(), b"x")
    if how == "cause":
        try:
            1 / 0
        except ZeroDivisionError as error:
            raise Elsewhere("outer") from error

@app.task(name="errors.stamped", bind=True)
def stamped(self, of=None):
    return None
`
