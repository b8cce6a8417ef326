import { Connection } from "@apium/hub/Connection"
import * as Message from "@apium/hub/Message"
import * as HubQueue from "@apium/hub/Queue"
import * as TaskMessage from "@apium/protocol/celery/TaskMessage"
import { Client } from "@apium/worker/client/Client"
import * as Task from "@apium/worker/task/Task"
import { TaskContext } from "@apium/worker/task/TaskContext"
import { TaskFailed } from "@apium/worker/task/TaskError"
import { Tasks } from "@apium/worker/task/Tasks"
import { assert, describe } from "@effect/vitest"
import { Deferred, Effect, Schema } from "effect"
import { TestClock } from "effect/testing"
import { ended, headers, inject, json, next, settle, start, stored, takeAll, test, waiting } from "../support/World.ts"

const add = Task.make("proj.add", {
  params: { x: Schema.Number, y: Schema.Number, scale: Schema.optionalKey(Schema.Number) },
  result: Schema.Number
})

const AddLive = Tasks.handle(add, ({ x, y, scale }) => Effect.succeed((x + y) * (scale ?? 1)))

/** The worker is still there, and works. */
const goesOn = Effect.gen(function* () {
  const result = yield* add.delay({ x: 20, y: 22 })
  assert.strictEqual(yield* result.get, 42)
  assert.strictEqual(yield* waiting("celery"), 0)
})

const good = headers("proj.add", "ID")
const body = "[[1, 2], {}, null]"

interface Poison {
  readonly name: string
  readonly message: (id: string) => Message.Message
  /** What its sender is told; left out: there is no id to tell it by. */
  readonly excType?: string
}

const withId = (id: string, more: Readonly<Record<string, unknown>> = {}) => ({ ...good, id, root_id: id, ...more })

const shape = (name: string, text: string): Poison => ({
  name: `a body that is ${name}`,
  message: (id) => json(text, withId(id)),
  excType: "InvalidTask"
})

/** The nine that kill Python's worker (WIRE 6, fact 38), and more of the kind. */
const poisons: ReadonlyArray<Poison> = [
  shape("a string", `"text"`),
  shape("null", "null"),
  shape("a number", "5"),
  shape("an object", `{"x": 1}`),
  shape("one element", "[[]]"),
  shape("four elements", "[[], {}, {}, 1]"),
  shape("an empty array", "[]"),
  { name: "no id", message: () => json(body, { ...good, id: null }) },
  {
    name: "a timelimit that is no pair",
    message: (id) => json(body, withId(id, { timelimit: 5 })),
    excType: "InvalidTask"
  },
  shape("arguments that are no array", `[{"a": 1}, {}, null]`),
  shape("keywords that are no object", "[[], [], null]"),
  shape("an embed that is none", "[[], {}, 7]"),
  shape("callbacks that are no signatures", `[[], {}, {"callbacks": [1]}]`),
  { name: "an empty id", message: () => json(body, { ...good, id: "" }) },
  { name: "an id that is a number", message: () => json(body, { ...good, id: 7 }) },
  { name: "negative retries", message: (id) => json(body, withId(id, { retries: -1 })), excType: "InvalidTask" },
  { name: "stamps that are none", message: (id) => json(body, withId(id, { stamps: 4 })), excType: "InvalidTask" },
  { name: "an eta that is no time", message: (id) => json(body, withId(id, { eta: "soon" })), excType: "InvalidTask" },
  {
    name: "an expires that is no time",
    message: (id) => json(body, withId(id, { expires: "never" })),
    excType: "InvalidTask"
  },
  { name: "a body that is not JSON", message: (id) => json("[[1, 2", withId(id)), excType: "DecodeError" },
  {
    name: "a body that is not UTF-8",
    message: (id) => Message.make(Uint8Array.of(0xff, 0xfe, 0x00), { contentType: "application/json" }, withId(id)),
    excType: "DecodeError"
  },
  {
    name: "a body of no bytes",
    message: (id) => Message.make(new Uint8Array(), { contentType: "application/json" }, withId(id)),
    excType: "DecodeError"
  },
  {
    name: "a compression nobody knows",
    message: (id) => json(body, withId(id, { compression: "application/x-none" })),
    excType: "ContentDisallowed"
  },
  {
    name: "a body that is not compressed as it says",
    message: (id) => json(body, withId(id, { compression: "application/x-gzip" })),
    excType: "DecodeError"
  },
  {
    name: "pickle",
    message: (id) =>
      Message.make(
        Uint8Array.of(0x80, 4, 0x2e),
        { contentType: "application/x-python-serialize", contentEncoding: "binary" },
        withId(id)
      ),
    excType: "ContentDisallowed"
  },
  { name: "no task at all", message: () => json(`{"hello": "world"}`) },
  { name: "no task and no JSON", message: () => json("not json at all") },
  { name: "protocol 1 without an id", message: () => json(`{"task": "proj.add", "args": [1, 2]}`) },
  {
    name: "protocol 1 with arguments that are none",
    message: (id) => json(`{"task": "proj.add", "id": "${id}", "args": 5}`),
    excType: "InvalidTask"
  }
]

describe("a message nobody can run goes to the dead queue with its reason, and the worker goes on", () => {
  for (const [index, poison] of poisons.entries()) {
    test(
      poison.name,
      Effect.gen(function* () {
        const id = `poison-${index}`
        yield* start({}, AddLive)
        yield* inject(poison.message(id))
        // Inflating takes real time.
        const { message } = yield* next("celery.dead")
        assert.deepStrictEqual(yield* takeAll("celery.dead"), [])
        assert.strictEqual(message.headers["x-apium-reason"], "undecodable")
        assert.strictEqual(message.headers["x-apium-queue"], "celery")
        assert.isAbove(String(message.headers["x-apium-error"]).length, 10)
        assert.deepStrictEqual(message.body, poison.message(id).body)
        if (poison.excType === undefined) {
          assert.isUndefined(yield* stored(id))
        } else {
          const result = yield* ended(id)
          assert.strictEqual(result.status, "FAILURE")
          assert.strictEqual((result.result as { readonly exc_type: string }).exc_type, poison.excType)
        }
        yield* goesOn
      })
    )
  }

  test(
    "also when the dead queue is not ours to declare",
    Effect.gen(function* () {
      const connection = yield* Connection
      yield* connection.declare({ queues: [HubQueue.make("celery.dead", { durable: false })] })
      yield* start({}, AddLive)
      yield* inject(json("5", withId("nowhere")))
      assert.strictEqual((yield* ended("nowhere")).status, "FAILURE")
      yield* goesOn
    })
  )
})

describe("a task that is not registered", () => {
  test(
    "fails at its caller as NotRegistered, and can be had back",
    Effect.gen(function* () {
      const connection = yield* Connection
      yield* start({ queues: [HubQueue.make("own")] }, AddLive)
      // Its body is not even looked at.
      yield* connection.publish(json("not json", headers("no.such", "n1")), { exchange: "", routingKey: "own" })
      yield* settle
      const [dead] = yield* takeAll("own.dead")
      assert.strictEqual(dead?.message.headers.id, "n1")
      assert.strictEqual(dead?.message.headers["x-apium-reason"], "unregistered")
      assert.deepStrictEqual((yield* ended("n1")).result, {
        exc_type: "NotRegistered",
        exc_message: ["no.such"],
        exc_module: "celery.exceptions"
      })
      yield* connection.publish(json(`{"task": "no.such", "id": "n2"}`), { exchange: "", routingKey: "own" })
      assert.strictEqual((yield* ended("n2")).status, "FAILURE")
    })
  )
})

describe("protocol 1", () => {
  test(
    "runs, and its retries are protocol 2",
    Effect.gen(function* () {
      const seen = yield* Deferred.make<unknown>()
      const old = Task.raw("proj.old")
      yield* start(
        {},
        Tasks.handle(old, ({ args, kwargs }) =>
          Effect.gen(function* () {
            const { id, retries, rootId } = yield* TaskContext
            yield* Deferred.succeed(seen, { args, kwargs, id, retries, rootId })
            return "done"
          })
        )
      )
      yield* inject(
        json(
          `{"task": "proj.old", "id": "v1", "args": [1, 36893488147419103232], "kwargs": {"a": null}, "retries": 2, "utc": true}`
        )
      )
      assert.strictEqual((yield* ended("v1")).result, "done")
      assert.deepStrictEqual(yield* Deferred.await(seen), {
        args: [1, 2n ** 65n],
        kwargs: { a: null },
        id: "v1",
        retries: 2,
        rootId: "v1"
      })
    })
  )

  test(
    "headers of 2 over a body of 1 run, too",
    Effect.gen(function* () {
      yield* start({}, AddLive)
      yield* inject(json(`{"args": [40], "kwargs": {"y": 2}}`, headers("proj.add", "hybrid")))
      assert.strictEqual((yield* ended("hybrid")).result, 42)
    })
  )
})

describe("expires", () => {
  const expiry = (millis: number) => ({ expires: TaskMessage.formatEta(millis) })

  test(
    "a task that came too late is REVOKED as expired, and never run",
    Effect.gen(function* () {
      yield* TestClock.setTime(10_000)
      yield* start({}, AddLive)
      yield* inject(json(body, headers("proj.add", "late", expiry(10_000))))
      yield* inject(json(body, headers("proj.add", "just", expiry(10_001))))
      const late = yield* ended("late")
      assert.strictEqual(late.status, "REVOKED")
      assert.deepStrictEqual(late.result, {
        exc_type: "TaskRevokedError",
        exc_message: ["expired"],
        exc_module: "celery.exceptions"
      })
      assert.strictEqual((yield* ended("just")).status, "SUCCESS")
      assert.strictEqual(yield* waiting("celery"), 0)
    })
  )

  test(
    "so is one whose time ran out while it was reserved",
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      const slow = Task.make("proj.slow", { params: {} })
      let ran = 0
      yield* start(
        {},
        AddLive,
        Tasks.handle(slow, () =>
          Effect.andThen(
            Effect.sync(() => void ran++),
            Deferred.await(gate)
          )
        )
      )
      yield* slow.delay({})
      const client = yield* Client
      const reserved = yield* client.send(slow, {}, { expires: new Date(5000) })
      yield* settle
      yield* TestClock.adjust("5 seconds")
      yield* Deferred.succeed(gate, undefined)
      const error = yield* Effect.flip(reserved.get)
      assert.instanceOf(error, TaskFailed)
      assert.strictEqual(error.state, "REVOKED")
      assert.strictEqual(ran, 1)
    })
  )
})

describe("eta", () => {
  const at = (millis: number) => ({ eta: TaskMessage.formatEta(millis) })

  test(
    "one that has passed is run at once",
    Effect.gen(function* () {
      yield* TestClock.setTime(100_000)
      yield* start({}, AddLive)
      yield* inject(json(body, headers("proj.add", "past", at(100_000))))
      yield* settle
      assert.strictEqual((yield* stored("past"))?.status, "SUCCESS")
    })
  )

  test(
    "one that is to come waits at the broker, not in the worker, and is run when it is due and never early",
    Effect.gen(function* () {
      yield* start({ concurrency: 1, prefetchMultiplier: 1 }, AddLive)
      // Twenty times what the worker may hold.
      for (let index = 0; index < 20; index++) {
        yield* inject(json(body, headers("proj.add", `eta-${index}`, at(60_000))))
      }
      yield* settle
      assert.strictEqual(yield* waiting("celery"), 0)
      yield* goesOn
      yield* TestClock.setTime(59_999)
      yield* settle
      assert.isUndefined(yield* stored("eta-0"))
      yield* TestClock.setTime(60_000)
      yield* settle
      for (let index = 0; index < 20; index++) {
        assert.strictEqual((yield* ended(`eta-${index}`)).status, "SUCCESS")
      }
    })
  )

  test(
    "one that is due within a second is held, and never run early either",
    Effect.gen(function* () {
      yield* TestClock.setTime(10_000)
      yield* start({}, AddLive)
      yield* inject(json(body, headers("proj.add", "soon", { eta: "1970-01-01T00:00:10.500001+00:00" })))
      yield* settle
      yield* TestClock.setTime(10_500)
      yield* settle
      assert.isUndefined(yield* stored("soon"))
      yield* TestClock.setTime(10_501)
      yield* settle
      assert.strictEqual((yield* stored("soon"))?.status, "SUCCESS")
    })
  )
})

describe("arguments", () => {
  test(
    "what does not fit is a failed task with Python's text",
    Effect.gen(function* () {
      const client = yield* Client
      yield* start({}, AddLive)
      for (const [args, kwargs, text] of [
        [[1], {}, "add() missing 1 required positional argument: 'y'"],
        [[1, 2, 3, 4], {}, "add() takes from 2 to 3 positional arguments but 4 were given"],
        [[1, 2], { x: 1 }, "add() got multiple values for argument 'x'"],
        [[1, 2], { ["__proto__"]: 1 }, "add() got an unexpected keyword argument '__proto__'"]
      ] as const) {
        const error = yield* Effect.flip((yield* client.sendTask("proj.add", args, kwargs)).get)
        assert.instanceOf(error, TaskFailed)
        assert.deepStrictEqual([error.excType, error.excModule, error.excMessage], ["TypeError", "builtins", [text]])
      }
      const refused = yield* Effect.flip((yield* client.sendTask("proj.add", ["1", 2], {})).get)
      assert.instanceOf(refused, TaskFailed)
      assert.match(String(refused.excMessage[0]), /^add\(\) was given arguments it does not take: /)
      yield* goesOn
    })
  )

  test(
    "whatever way Python passes them the handler gets the same payload, __proto__ and constructor included",
    Effect.gen(function* () {
      const odd = Task.make("proj.odd", {
        params: { ["__proto__"]: Schema.Number, constructor: Schema.Number },
        result: Schema.String
      })
      const client = yield* Client
      yield* start(
        {},
        Tasks.handle(odd, (payload) =>
          Effect.sync(() =>
            JSON.stringify([Object.getOwnPropertyDescriptor(payload, "__proto__")?.value, payload.constructor])
          )
        )
      )
      for (const [args, kwargs] of [
        [[1, 2], {}],
        [[1], { constructor: 2 }],
        [[], { constructor: 2, ["__proto__"]: 1 }]
      ] as const) {
        assert.strictEqual(yield* (yield* client.sendTask("proj.odd", args, kwargs)).get, "[1,2]")
      }
    })
  )

  test(
    "a result the definition refuses is a failed task",
    Effect.gen(function* () {
      const lying = Task.make("proj.lying", { params: {}, result: Schema.Number })
      yield* start(
        {},
        Tasks.handle(lying, () => Effect.succeed("text" as unknown as number))
      )
      const error = yield* Effect.flip((yield* lying.delay({})).get)
      assert.instanceOf(error, TaskFailed)
      assert.match(String(error.excMessage[0]), /^lying\(\) gave a result that its definition refuses: /)
    })
  )

  test(
    "a handler that throws instead of failing is a failed task",
    Effect.gen(function* () {
      const throwing = Task.make("proj.throwing", { params: {} })
      yield* start(
        {},
        Tasks.handle(throwing, (): Effect.Effect<void> => {
          throw new TypeError("thrown")
        })
      )
      const error = yield* Effect.flip((yield* throwing.delay({})).get)
      assert.instanceOf(error, TaskFailed)
      assert.deepStrictEqual([error.excType, error.excModule, error.excMessage], ["TypeError", "builtins", ["thrown"]])
    })
  )
})
