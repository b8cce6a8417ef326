import { Connection } from "@apium/hub/Connection"
import type { Properties } from "@apium/hub/Message"
import * as Queue from "@apium/hub/Queue"
import * as Wire from "@apium/protocol/celery/Signature"
import * as TaskMessage from "@apium/protocol/celery/TaskMessage"
import { Client } from "@apium/worker/client/Client"
import { ResultBackend } from "@apium/worker/client/ResultBackend"
import * as Signature from "@apium/worker/client/Signature"
import * as Profile from "@apium/worker/Profile"
import * as Task from "@apium/worker/task/Task"
import { TaskContext } from "@apium/worker/task/TaskContext"
import { Tasks } from "@apium/worker/task/Tasks"
import { assert, describe } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { TestClock } from "effect/testing"
import {
  bodyOf,
  ended,
  headers,
  inject,
  json,
  settle,
  start,
  stored,
  takeAll,
  test,
  waiting
} from "../support/World.ts"

const params = { x: Schema.Number, y: Schema.Number }
const add = Task.make("proj.add", { params, result: Schema.Number })
const AddLive = Tasks.handle(add, ({ x, y }) => Effect.succeed(x + y))

/** Python's, on a queue nobody here consumes. */
const python = (task: string, options: Record<string, unknown> = {}, rest: Partial<Wire.Signature> = {}) =>
  Wire.make(task, { ...rest, options: { queue: "python", ...options } })

interface Message extends Record<string, unknown> {
  readonly embed: Record<string, unknown>
  readonly properties: Properties
}

/** Sends `add(2, 3)` with this embed, waits for its end, and reads what it sent to `python`. */
const sent = (embed: Partial<TaskMessage.Embed>, call = "[2, 3]") =>
  Effect.gen(function* () {
    const [, , encoded] = TaskMessage.encodeBody([], {}, { ...TaskMessage.emptyEmbed, ...embed })
    yield* (yield* Connection).declare({ queues: [Queue.make("python")] })
    yield* inject(json(`[${call}, {}, ${JSON.stringify(encoded)}]`, headers("proj.add", "p1", { root_id: "r1" })))
    yield* ended("p1")
    yield* settle
    const deliveries = yield* takeAll("python")
    return yield* Effect.forEach(deliveries, (delivery) =>
      Effect.map(bodyOf(delivery), (body) => {
        const [args, kwargs, embed] = body as [unknown, unknown, Record<string, unknown>]
        const { headers, properties } = delivery.message
        const shown: Message = { ...headers, args, kwargs, embed, properties }
        return shown
      })
    )
  })

const brief = (messages: ReadonlyArray<Record<string, unknown>>) => messages.map(({ task, args }) => [task, args])

describe("callbacks", () => {
  test(
    "are called with the result, as children of the task, in its workflow",
    Effect.gen(function* () {
      yield* start({}, AddLive)
      const [only, ...others] = yield* sent({ callbacks: [python("py.log", { task_id: "c1" }, { args: [9] })] })
      assert.deepStrictEqual(others, [])
      assert.deepInclude(only, { task: "py.log", id: "c1", parent_id: "p1", root_id: "r1", args: [5, 9], lang: "js" })
      assert.strictEqual(only!.argsrepr, "(5, 9)")
      assert.match(String(only!.origin), /^celery@/)
      const result = yield* stored("p1")
      assert.deepStrictEqual(result?.children, [{ id: "c1", parent: null, children: null }])
    })
  )

  test(
    "that are immutable are called as they are",
    Effect.gen(function* () {
      yield* start({}, AddLive)
      const messages = yield* sent({
        callbacks: [
          python("py.one", {}, { args: [1], immutable: true }),
          python("py.two"),
          python("py.none", {}, { immutable: true })
        ]
      })
      assert.deepStrictEqual(brief(messages), [
        ["py.one", [1]],
        ["py.two", [5]],
        ["py.none", []]
      ])
      assert.strictEqual((yield* stored("p1"))?.children?.length, 3)
    })
  )

  test(
    "of a task that failed are not called",
    Effect.gen(function* () {
      yield* start({}, AddLive)
      assert.deepStrictEqual(yield* sent({ callbacks: [python("py.log")] }, "[2]"), [])
    })
  )

  test(
    "keep the options of their signatures",
    Effect.gen(function* () {
      yield* TestClock.setTime(1_700_000_000_000)
      yield* start({ profile: { ...Profile.durable, expiry: "broker" } }, AddLive)
      const [only] = yield* sent({
        callbacks: [
          python("py.log", {
            shadow: "log",
            priority: 3,
            expires: 60,
            time_limit: 20,
            soft_time_limit: 10,
            headers: { "x-tenant": "acme" },
            reply_to: "r",
            group_id: "g",
            group_index: 4,
            ignore_result: true,
            stamped_headers: ["who"],
            who: "me",
            link: [Wire.encode(python("py.more"))],
            link_error: Wire.encode(python("py.oops")),
            chain: [Wire.encode(python("py.last"))],
            chord: Wire.encode(python("py.body")),
            no_such_option: { of: "ours" }
          })
        ]
      })
      assert.deepInclude(only, {
        shadow: "log",
        expires: "2023-11-14T22:14:20+00:00",
        timelimit: [20, 10],
        "x-tenant": "acme",
        group: "g",
        group_index: 4,
        ignore_result: true,
        stamped_headers: ["who"]
      })
      assert.deepStrictEqual(only!.stamps, { who: "me" })
      assert.deepInclude(only!.properties, { priority: 3, expiration: "60000", replyTo: "r" })
      const names = (list: unknown) => (list as ReadonlyArray<{ task: string }>).map(({ task }) => task)
      assert.deepStrictEqual(names(only!.embed.callbacks), ["py.more"])
      assert.deepStrictEqual(names(only!.embed.errbacks), ["py.oops"])
      assert.deepStrictEqual(names(only!.embed.chain), ["py.last"])
      assert.deepStrictEqual(names([only!.embed.chord]), ["py.body"])
    })
  )

  test(
    "wait for their countdown or their eta",
    Effect.gen(function* () {
      yield* TestClock.setTime(1_700_000_000_000)
      yield* start({}, AddLive)
      const eta = { eta: "2023-11-14T22:13:30+00:00" }
      assert.deepStrictEqual(
        yield* sent({ callbacks: [python("py.log", { countdown: 10 }), python("py.log", eta)] }),
        []
      )
      yield* TestClock.adjust("10 seconds")
      const late = yield* takeAll("python")
      assert.deepStrictEqual(
        late.map(({ message }) => message.headers.eta),
        ["2023-11-14T22:13:30+00:00", "2023-11-14T22:13:30+00:00"]
      )
    })
  )

  test(
    "go where their task's definition says, unless their options do, and to an exchange if they name one",
    Effect.gen(function* () {
      const local = Task.make("proj.local", { params: {}, queue: "python", priority: 7 })
      yield* start(
        {},
        AddLive,
        Tasks.handle(local, () => Effect.void)
      )
      const routed = { exchange: "", routing_key: "python", queue: undefined }
      const messages = yield* sent({ callbacks: [Wire.make("proj.local"), python("py.routed", routed)] })
      assert.deepStrictEqual(
        messages.map(({ task, properties }) => [task, properties.priority]),
        [
          ["proj.local", 7],
          ["py.routed", 0]
        ]
      )
    })
  )
})

describe("a chain", () => {
  test(
    "goes on with its next step, which is the last in the message, and takes the others along",
    Effect.gen(function* () {
      yield* start({}, AddLive)
      const chain = [python("py.last"), python("py.then"), python("py.next", { task_id: "n1" })]
      const [next, ...others] = yield* sent({ chain })
      assert.deepStrictEqual(others, [])
      assert.deepInclude(next, { task: "py.next", args: [5], parent_id: "p1", root_id: "r1" })
      const rest = next!.embed.chain as ReadonlyArray<{ task: string }>
      assert.deepStrictEqual(
        rest.map(({ task }) => task),
        ["py.last", "py.then"]
      )
      assert.deepStrictEqual((yield* stored("p1"))?.children, [{ id: "n1", parent: null, children: null }])
    })
  )

  test(
    "runs to its end through the worker, and each step knows its parent",
    Effect.gen(function* () {
      const parents: Array<unknown> = []
      yield* start(
        {},
        Tasks.handle(add, ({ x, y }) =>
          Effect.gen(function* () {
            const { id, parentId, rootId } = yield* TaskContext
            parents.push([id, parentId, rootId])
            return x + y
          })
        )
      )
      const step = (id: string) => Wire.make("proj.add", { args: [10], options: { task_id: id } })
      yield* sent({ chain: [step("c"), step("b")] })
      assert.strictEqual((yield* ended("c")).result, 25)
      const shown = parents.map((of) => JSON.stringify(of))
      assert.lengthOf(shown, 3)
      assert.include(shown[1], `"b"`)
      assert.include(shown[1], `"p1"`)
      assert.include(shown[2], `"b"`)
      assert.isTrue(shown.every((text) => text.includes(`"r1"`)))
    })
  )
})

describe("canvas among the callbacks", () => {
  test(
    "a chain is its first step with the others on board; its links are the last one's, its errbacks everybody's",
    Effect.gen(function* () {
      yield* start({}, AddLive)
      const chain = Wire.chain([python("py.a", {}, { args: [1] }), python("py.b"), python("py.c")], {
        task_id: "c1",
        chain: [Wire.encode(python("py.own"))],
        link: [Wire.encode(python("py.linked"))],
        link_error: [Wire.encode(python("py.oops"))]
      })
      const [first, ...others] = yield* sent({ chain: [python("py.after"), chain] })
      assert.deepStrictEqual(others, [])
      assert.deepInclude(first, { task: "py.a", args: [5, 1] })
      const names = (list: unknown) => (list as ReadonlyArray<{ task: string }>).map(({ task }) => task)
      const rest = first!.embed.chain as ReadonlyArray<Record<string, Record<string, unknown>>>
      assert.deepStrictEqual(names(rest), ["py.after", "py.own", "py.c", "py.b"])
      assert.strictEqual(rest[2]!.options!.task_id, "c1")
      assert.deepStrictEqual(names(rest[2]!.options!.link), ["py.linked"])
      assert.deepStrictEqual(names(rest[3]!.options!.link_error), ["py.oops"])
      assert.deepStrictEqual(names(first!.embed.errbacks), ["py.oops"])
      assert.strictEqual(first!.embed.callbacks, null)
    })
  )

  test(
    "a group is all of its members, of one group id and in their order; its result is a group, and so is that of a group in it",
    Effect.gen(function* () {
      yield* start({}, AddLive)
      const inner = Wire.group([
        python("py.b", { task_id: "b" }),
        python("py.c", { task_id: "c" }, { immutable: true })
      ])
      const group = Wire.group([python("py.a", { task_id: "a" }, { args: [1] }), inner], { task_id: "g1" })
      const messages = yield* sent({ callbacks: [group] })
      assert.deepStrictEqual(
        messages.map(({ task, args, group, group_index }) => [task, args, group, group_index]),
        [
          ["py.a", [5, 1], "g1", 0],
          ["py.b", [5], "g1", 1],
          ["py.c", [], "g1", 2]
        ]
      )
      const single = (id: string) => ({ id, parent: null, children: null })
      assert.deepStrictEqual((yield* stored("p1"))?.children, [
        {
          id: "g1",
          parent: null,
          children: [single("a"), { id: "g1", parent: null, children: ["b", "c"].map(single) }]
        }
      ])
    })
  )

  test(
    "a chord is its header, each with the body, and the backend knows how many they are",
    Effect.gen(function* () {
      yield* start({}, AddLive)
      const chord = Wire.chord(
        [python("py.a", { task_id: "a" }), python("py.b")],
        python("py.body", { task_id: "end" })
      )
      const messages = yield* sent({ callbacks: [chord] })
      assert.deepStrictEqual(
        messages.map(({ task, args, group_index }) => [task, args, group_index]),
        [
          ["py.a", [5], 0],
          ["py.b", [5], 1]
        ]
      )
      const [{ embed, group }] = messages as [Message, Message]
      assert.deepInclude(embed.chord, { task: "py.body" })
      const { chords } = yield* ResultBackend
      const part = { groupId: String(group), groupIndex: 0, state: "SUCCESS", result: 1 }
      const fired: Array<unknown> = []
      const fire = (parts: ReadonlyArray<{ readonly taskId: string }>) =>
        Effect.sync(() => void fired.push(...parts.map(({ taskId }) => taskId)))
      assert.isFalse(yield* chords.count({ ...part, taskId: "a" }, fire))
      assert.isTrue(yield* chords.count({ ...part, taskId: "b", groupIndex: 1 }, fire))
      assert.deepStrictEqual(fired, ["a", "b"])
      assert.strictEqual((yield* stored("p1"))?.children?.[0]?.id, "end")
    })
  )

  test(
    "a group that something follows is a chord",
    Effect.gen(function* () {
      yield* start({}, AddLive)
      const messages = yield* sent({ chain: [python("py.after"), Wire.group([python("py.a"), python("py.b")])] })
      assert.deepStrictEqual(brief(messages), [
        ["py.a", [5]],
        ["py.b", [5]]
      ])
      for (const { embed } of messages) assert.deepInclude(embed.chord, { task: "py.after" })
    })
  )

  const refused: ReadonlyArray<readonly [string, Partial<TaskMessage.Embed>, RegExp]> = [
    [
      "an option that makes no sense",
      { callbacks: [python("py.ok"), python("py.log", { countdown: "soon" })] },
      /py\.log cannot be sent: options\.countdown should be a number/
    ],
    [
      "an eta that is no time",
      { callbacks: [python("py.log", { eta: "tomorrow" })] },
      /options\.eta should be an ISO 8601 time/
    ],
    [
      "a queue that is no name",
      { callbacks: [python("py.log", { queue: { name: "q" } })] },
      /options\.queue should be a string/
    ],
    [
      "a serializer nobody has",
      { callbacks: [python("py.log", { serializer: "pickle" })] },
      /py\.log could not be sent/
    ]
  ]
  for (const [what, embed, text] of refused) {
    test(
      `${what} fails the task, which says so, and sends nothing`,
      Effect.gen(function* () {
        yield* start({}, AddLive)
        assert.deepStrictEqual(yield* sent(embed), [])
        const result = (yield* stored("p1"))!
        assert.strictEqual(result.status, "FAILURE")
        const failure = result.result as { exc_type: string; exc_message: ReadonlyArray<string> }
        assert.strictEqual(failure.exc_type, "CallbackNotSent")
        assert.match(failure.exc_message[0]!, text)
        assert.strictEqual(yield* waiting("celery"), 0)
      })
    )
  }
})

describe("errbacks", () => {
  test(
    "are called with the id of the task that failed",
    Effect.gen(function* () {
      yield* start({}, AddLive)
      const messages = yield* sent({ errbacks: [python("py.oops"), python("py.also", {}, { args: [1] })] }, "[2]")
      assert.deepStrictEqual(brief(messages), [
        ["py.oops", ["p1"]],
        ["py.also", ["p1", 1]]
      ])
      for (const message of messages) assert.deepInclude(message, { parent_id: "p1", root_id: "r1" })
    })
  )

  test(
    "of a task that succeeded are not called",
    Effect.gen(function* () {
      yield* start({}, AddLive)
      assert.deepStrictEqual(yield* sent({ errbacks: [python("py.oops")] }), [])
    })
  )
})

describe("a client's links", () => {
  const store = Task.make("proj.store", {
    params: { value: Schema.Number, at: Schema.Date, note: Schema.optionalKey(Schema.String) },
    result: Schema.String
  })
  const oops = Task.make("proj.oops", { params: { id: Schema.String } })

  test(
    "call a typed task with the result and the arguments it was given, encoded by its schema",
    Effect.gen(function* () {
      const log: Array<unknown> = []
      yield* start(
        {},
        AddLive,
        Tasks.handle(store, ({ value, at, note }) => Effect.sync(() => `${value} ${at.getTime()} ${note ?? ""}`)),
        Tasks.handle(oops, ({ id }) => Effect.sync(() => void log.push(id)))
      )
      const link = Signature.partial(store, { at: new Date(7) }, { taskId: "stored" })
      const immutable = Signature.si(store, { value: 1, at: new Date(8), note: "as it is" }, { taskId: "fixed" })
      const linkError = Signature.partial(oops, {})
      const sent = yield* add.applyAsync({ x: 2, y: 3 }, { link: [link, immutable], linkError })
      assert.deepStrictEqual(yield* sent.children, [])
      yield* sent.get
      assert.strictEqual((yield* ended("stored")).result, "5 7 ")
      assert.strictEqual((yield* ended("fixed")).result, "1 8 as it is")
      assert.deepStrictEqual(
        (yield* sent.children).map(({ id }) => id),
        ["stored", "fixed"]
      )
      const client = yield* Client
      const failing = yield* client.sendTask("proj.add", [1], {}, { linkError })
      yield* ended(failing.id)
      yield* settle
      assert.deepStrictEqual(log, [failing.id])
    })
  )

  test(
    "may call a task of Python's by its name, and raw tasks with what they are given",
    Effect.gen(function* () {
      const raw = Task.raw("proj.raw", { queue: "python" })
      yield* start({}, AddLive)
      yield* (yield* Connection).declare({ queues: [Queue.make("python")] })
      const link = [
        Signature.named("py.log", [1], { a: 2 }, { queue: "python", timeLimit: "2 seconds" }),
        Signature.s(raw, { args: [3], kwargs: { b: 4 } })
      ]
      yield* (yield* add.applyAsync({ x: 2, y: 3 }, { link })).get
      yield* settle
      const bodies = yield* Effect.forEach(yield* takeAll("python"), bodyOf)
      const none = { callbacks: null, chain: null, chord: null, errbacks: null }
      assert.deepStrictEqual(bodies, [
        [[5, 1], { a: 2 }, none],
        [[5, 3], { b: 4 }, none]
      ])
    })
  )

  test(
    "with arguments that do not fit, or a time that is none, are refused before anything is sent",
    Effect.gen(function* () {
      const bad = { at: new Date(Number.NaN) }
      assert.strictEqual(
        (yield* Effect.flip(Signature.partial(add, { x: "2" as unknown as number }).wire))._tag,
        "SchemaError"
      )
      const error = yield* Effect.flip(Signature.partial(add, {}, { eta: bad.at }).wire)
      assert.strictEqual(error._tag, "HubError")
    })
  )

  test(
    "and limits travel with the message",
    Effect.gen(function* () {
      const sent = yield* add.applyAsync({ x: 2, y: 3 }, { timeLimit: "1 minute", softTimeLimit: "500 millis" })
      const [delivery] = yield* takeAll("celery")
      assert.deepStrictEqual(delivery?.message.headers.timelimit, [60, 0.5])
      assert.strictEqual(delivery?.message.headers.id, sent.id)
    })
  )
})

describe("a redelivered task whose success is stored", () => {
  const again = (options: { readonly deduplicateSuccessfulTasks?: boolean }) =>
    Effect.gen(function* () {
      let runs = 0
      const connection = yield* Connection
      const backend = yield* ResultBackend
      const embed = { ...TaskMessage.emptyEmbed, callbacks: [python("py.log", { task_id: "c1" })] }
      yield* connection.declare({ queues: [Queue.make("python")] })
      yield* inject(json(JSON.stringify(TaskMessage.encodeBody([2, 3], {}, embed)), headers("proj.add", "p1")))
      const done = { status: "SUCCESS", traceback: null, children: [], dateDone: null }
      yield* backend.store({ ...done, taskId: "p1", result: 5 })
      // Somebody took it and died.
      yield* connection
        .use((channel) => Effect.flatMap(channel.get("celery"), Effect.fromOption))
        .pipe(
          Effect.orDie,
          Effect.flatMap((delivery) => delivery.reject({ requeue: true })),
          Effect.ignore
        )
      yield* start(
        options,
        Tasks.handle(add, () => Effect.sync(() => ++runs * 100))
      )
      yield* settle
      assert.strictEqual(yield* waiting("celery"), 0)
      const bodies = yield* Effect.forEach(yield* takeAll("python"), bodyOf)
      return [runs, bodies.map((body) => (body as ReadonlyArray<unknown>)[0]), (yield* stored("p1"))?.result]
    })

  test(
    "is not run again if the worker was told so, and its callbacks are sent all the same, with the stored result",
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* again({ deduplicateSuccessfulTasks: true }), [0, [[5]], 5])
    })
  )

  test(
    "is run again by default",
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* again({}), [1, [[100]], 5])
    })
  )
})
