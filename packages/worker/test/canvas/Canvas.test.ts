import { Client } from "@apium/worker/client/Client"
import * as Canvas from "@apium/worker/client/Canvas"
import { ResultBackend } from "@apium/worker/client/ResultBackend"
import * as Signature from "@apium/worker/client/Signature"
import * as Task from "@apium/worker/task/Task"
import { TaskFailed } from "@apium/worker/task/TaskError"
import { Tasks } from "@apium/worker/task/Tasks"
import { assert, describe } from "@effect/vitest"
import { Effect, Option, Schema, Stream } from "effect"
import { ended, settle, start, test } from "../support/World.ts"

const add = Task.make("proj.add", { params: { x: Schema.Number, y: Schema.Number }, result: Schema.Number })
const total = Task.make("proj.total", { params: { of: Schema.Array(Schema.Number) }, result: Schema.Number })
const text = Task.make("proj.text", { params: { n: Schema.Number, unit: Schema.String }, result: Schema.String })
const flat = Task.make("proj.flat", {
  params: { of: Schema.Array(Schema.Union([Schema.Number, Schema.Array(Schema.Number)])) },
  result: Schema.String
})
class TooLarge extends Schema.TaggedError<TooLarge>()("TooLarge", { n: Schema.Number }) {}
const small = Task.make("proj.small", { params: { n: Schema.Number }, result: Schema.Number, error: TooLarge })
const tell = Task.make("proj.tell", { params: { id: Schema.String } })
const later = Task.make("proj.later", { params: { n: Schema.Number }, result: Schema.Number })
const listed = Task.make("proj.listed", { params: { n: Schema.Number }, result: Schema.Array(Schema.Number) })
const fork = Task.make("proj.fork", { params: { n: Schema.Number }, result: Schema.Number })

const told: Array<string> = []

const handlers = [
  Tasks.handle(add, ({ x, y }) => Effect.succeed(x + y)),
  Tasks.handle(total, ({ of }) => Effect.succeed(of.reduce((sum, n) => sum + n, 0))),
  Tasks.handle(text, ({ n, unit }) => Effect.succeed(`${n} ${unit}`)),
  Tasks.handle(flat, ({ of }) => Effect.succeed(JSON.stringify(of))),
  Tasks.handle(small, ({ n }) => (n > 10 ? Effect.fail(new TooLarge({ n })) : Effect.succeed(n))),
  Tasks.handle(tell, ({ id }) => Effect.sync(() => void told.push(id))),
  Tasks.handle(later, ({ n }) => Canvas.replace(Canvas.chain(add.s({ x: n, y: 1 }), add.partial({ y: 1 })))),
  Tasks.handle(listed, ({ n }) => Canvas.replace(Canvas.group([add.s({ x: n, y: 1 }), add.s({ x: n, y: 2 })])))
]

const go = start({ concurrency: 4 }, ...handlers)

describe("a chain", () => {
  test(
    "passes each result on to the next, and knows its parents",
    Effect.gen(function* () {
      yield* go
      const sent = yield* Canvas.delay(
        Canvas.chain(add.s({ x: 1, y: 2 }), add.partial({ y: 4 }), text.partial({ unit: "m" }))
      )
      const value: string = yield* sent.get
      assert.strictEqual(value, "7 m")
      const second = Option.getOrThrow(sent.parent)
      const first = Option.getOrThrow(second.parent)
      assert.deepStrictEqual([yield* second.get, yield* first.get, Option.isNone(first.parent)], [7, 3, true])
    })
  )

  test(
    "whose step waits for another parameter than its first is not sent",
    Effect.gen(function* () {
      const refused = Effect.flip(Canvas.delay(Canvas.chain(add.s({ x: 1, y: 2 }), add.partial({ x: 4 }))))
      assert.strictEqual(
        (yield* refused).message,
        "Cannot encode a partial of proj.add: what comes before it becomes its first parameter, x, and the one left is y"
      )
      assert.strictEqual((yield* add.partial({ x: 4, y: 5 }).wire).task, "proj.add")
    })
  )

  test(
    "whose step fails ends with that step's own error, typed, and calls its errbacks once",
    Effect.gen(function* () {
      yield* go
      told.length = 0
      const chain = Canvas.chain(small.s({ n: 11 }), add.partial({ y: 1 }))
      const sent = yield* Canvas.applyAsync(chain, { linkError: tell.partial({}) })
      const error = yield* Effect.flip(sent.get)
      assert.instanceOf(error, TooLarge)
      yield* settle
      assert.deepStrictEqual(told, [Option.getOrThrow(sent.parent).id])
    })
  )

  test(
    "may begin with an immutable signature, and with one of Python's",
    Effect.gen(function* () {
      yield* go
      const sent = yield* Canvas.delay(Canvas.chain(Signature.named("proj.add", [1, 1]), add.si({ x: 5, y: 5 })))
      assert.strictEqual(yield* sent.get, 10)
    })
  )
})

describe("a group", () => {
  test(
    "has the list of its results, in its order",
    Effect.gen(function* () {
      yield* go
      const sent = yield* Canvas.delay(Canvas.group([add.s({ x: 1, y: 2 }), text.s({ n: 3, unit: "s" })]))
      const values: readonly [number, string] = yield* sent.get
      assert.deepStrictEqual(values, [3, "3 s"])
      assert.deepStrictEqual([yield* sent.ready, yield* sent.successful, yield* sent.completedCount], [true, true, 2])
      const seen = yield* Stream.runCollect(sent.iterate)
      assert.deepStrictEqual(
        [...seen].toSorted(([a], [b]) => a - b),
        [
          [0, 3],
          [1, "3 s"]
        ]
      )
    })
  )

  test(
    "that was saved is found again by its id, until it is forgotten",
    Effect.gen(function* () {
      yield* go
      const client = yield* Client
      const sent = yield* Canvas.delay(Canvas.group([add.s({ x: 1, y: 2 }), add.s({ x: 3, y: 4 })]))
      assert.isTrue(Option.isNone(yield* client.restoreGroup(sent.id)))
      yield* sent.save
      const found = Option.getOrThrow(yield* client.restoreGroup(sent.id))
      assert.deepStrictEqual(yield* found.get, [3, 7])
      yield* (yield* ResultBackend).groups.forget(sent.id)
      assert.isTrue(Option.isNone(yield* client.restoreGroup(sent.id)))
    })
  )

  test(
    "at the end of a chain gets the result before it in every member",
    Effect.gen(function* () {
      yield* go
      const sent = yield* Canvas.delay(
        Canvas.chain(add.s({ x: 1, y: 1 }), Canvas.group([add.partial({ y: 1 }), add.partial({ y: 2 })]))
      )
      assert.deepStrictEqual(yield* sent.get, [3, 4])
    })
  )

  test(
    "whose chain failed before it began fails in every member",
    Effect.gen(function* () {
      yield* go
      const sent = yield* Canvas.delay(
        Canvas.chain(small.s({ n: 12 }), Canvas.group([add.partial({ y: 1 }), add.partial({ y: 2 })]))
      )
      assert.instanceOf(yield* Effect.flip(sent.get), TooLarge)
      assert.isTrue(yield* sent.failed)
    })
  )
})

describe("a chord", () => {
  test(
    "calls its body once with all results, in the order of its header",
    Effect.gen(function* () {
      yield* go
      const header = Array.from({ length: 20 }, (_, n) => add.s({ x: n, y: 0 }))
      const sent = yield* Canvas.delay(Canvas.chord(header, total.partial({})))
      assert.strictEqual(yield* sent.get, 190)
      const parent = Option.getOrThrow(sent.parent)
      assert.deepStrictEqual(
        yield* parent.get,
        Array.from({ length: 20 }, (_, n) => n)
      )
    })
  )

  test(
    "is what a group becomes that something follows, and what follows that follows its body",
    Effect.gen(function* () {
      yield* go
      const sent = yield* Canvas.delay(
        Canvas.chain(
          Canvas.group([add.s({ x: 1, y: 1 }), add.s({ x: 2, y: 2 })]),
          total.partial({}),
          add.partial({ y: 100 }),
          text.partial({ unit: "kg" })
        )
      )
      assert.strictEqual(yield* sent.get, "106 kg")
    })
  )

  test(
    "with an empty header calls its body at once",
    Effect.gen(function* () {
      yield* go
      assert.strictEqual(yield* (yield* Canvas.delay(Canvas.chord([], total.partial({})))).get, 0)
    })
  )

  test(
    "waits for the last step of a chain in its header, and for the body of a chord there",
    Effect.gen(function* () {
      yield* go
      const inner = Canvas.chord([add.s({ x: 1, y: 1 }), add.s({ x: 2, y: 2 })], total.partial({}))
      const sent = yield* Canvas.delay(
        Canvas.chord(
          [Canvas.chain(add.s({ x: 1, y: 2 }), add.partial({ y: 4 })), inner, add.s({ x: 0, y: 1 })],
          flat.partial({})
        )
      )
      assert.strictEqual(yield* sent.get, "[7,6,1]")
    })
  )

  test(
    "gives its body a list for a part that ends with a group",
    Effect.gen(function* () {
      yield* go
      const sent = yield* Canvas.delay(
        Canvas.chord(
          [
            Canvas.chain(add.s({ x: 1, y: 1 }), Canvas.group([add.partial({ y: 1 }), add.partial({ y: 2 })])),
            add.s({ x: 9, y: 0 })
          ],
          flat.partial({})
        )
      )
      assert.strictEqual(yield* sent.get, "[[3,4],9]")
    })
  )

  test(
    "whose part fails does not call its body, which fails, and calls the body's errbacks",
    Effect.gen(function* () {
      yield* go
      told.length = 0
      const body = Signature.set(total.partial({}), { linkError: tell.partial({}) })
      const sent = yield* Canvas.delay(Canvas.chord([add.s({ x: 1, y: 1 }), small.s({ n: 99 })], body))
      const error = yield* Effect.flip(sent.get)
      assert.instanceOf(error, TaskFailed)
      assert.strictEqual(error.excType, "ChordError")
      assert.match(String(error.excMessage[0]), /^Dependency [0-9a-f-]{36} raised TooLarge\(/)
      yield* settle
      assert.deepStrictEqual(told, [sent.id])
    })
  )

  test(
    "inside of which a chord fails fails as well",
    Effect.gen(function* () {
      yield* go
      const inner = Canvas.chord([small.s({ n: 50 }), add.s({ x: 1, y: 1 })], total.partial({}))
      const sent = yield* Canvas.delay(Canvas.chord([inner, add.s({ x: 2, y: 2 })], total.partial({})))
      assert.strictEqual(((yield* Effect.flip(sent.get)) as TaskFailed).excType, "ChordError")
    })
  )

  test(
    "waits for a part that one of its parts adds",
    Effect.gen(function* () {
      yield* go
      const client = yield* Client
      const adding = Tasks.handle(fork, ({ n }) =>
        Effect.as(Effect.provideService(Canvas.addToChord(add.s({ x: n, y: 1000 })), Client, client), n)
      )
      yield* start({ queues: [] }, adding)
      const sent = yield* Canvas.delay(Canvas.chord([fork.s({ n: 1 }), add.s({ x: 0, y: 10 })], total.partial({})))
      assert.strictEqual(yield* sent.get, 1012)
    })
  )
})

describe("map, starmap and chunks", () => {
  test(
    "call a task once for each item",
    Effect.gen(function* () {
      yield* go
      const items = [1, 2, 3].map((x) => ({ x, y: 10 }))
      assert.deepStrictEqual(yield* (yield* Canvas.delay(Canvas.starmap(add, items))).get, [11, 12, 13])
      assert.deepStrictEqual(yield* (yield* Canvas.delay(Canvas.chunks(add, items, 2))).get, [[11, 12], [13]])
      const lists = [{ of: [1, 2] }, { of: [3] }]
      assert.deepStrictEqual(yield* (yield* Canvas.delay(Canvas.map(total, lists))).get, [3, 3])
    })
  )
})

describe("a task that is replaced", () => {
  test(
    "has the result of what replaces it, and so has what follows it",
    Effect.gen(function* () {
      yield* go
      assert.strictEqual(yield* (yield* later.delay({ n: 5 })).get, 7)
      const sent = yield* Canvas.delay(Canvas.chain(later.s({ n: 5 }), add.partial({ y: 100 })))
      assert.strictEqual(yield* sent.get, 107)
    })
  )

  test(
    "by a group gives the list, and is one part of its chord",
    Effect.gen(function* () {
      yield* go
      assert.deepStrictEqual(yield* (yield* listed.delay({ n: 1 })).get, [2, 3])
      const sent = yield* Canvas.delay(Canvas.chord([later.s({ n: 1 }), add.s({ x: 0, y: 1 })], total.partial({})))
      assert.strictEqual(yield* sent.get, 4)
    })
  )
})

describe("a pipe that does not fit", () => {
  test(
    "does not compile",
    Effect.sync(() => {
      // @ts-expect-error a string for a number
      const wrong = () => Canvas.chain(text.s({ n: 1, unit: "m" }), add.partial({ y: 1 }))
      // @ts-expect-error it has all it needs already: the result would be one argument too many
      const full = () => Canvas.chain(add.s({ x: 1, y: 2 }), add.s({ x: 1, y: 2 }))
      // @ts-expect-error two arguments are left, and the result is one
      const two = () => Canvas.chain(add.s({ x: 1, y: 2 }), add.partial({}))
      // @ts-expect-error the body takes a list of numbers
      const body = () => Canvas.chord([text.s({ n: 1, unit: "m" })], total.partial({}))
      // @ts-expect-error something is missing: nothing comes before it
      const alone = () => Canvas.delay(add.partial({ y: 4 }))
      assert.lengthOf([wrong, full, two, body, alone], 5)
    })
  )
})

test(
  "a canvas inside of a task belongs to the task's tree",
  Effect.gen(function* () {
    const outer = Task.make("proj.outer", { params: {}, result: Schema.String })
    yield* go
    const client = yield* Client
    yield* start(
      { queues: [] },
      Tasks.handle(outer, () =>
        Effect.map(
          Effect.provideService(Effect.orDie(Canvas.delay(Canvas.group([add.s({ x: 1, y: 1 })]))), Client, client),
          ({ children }) => children[0]!.id
        )
      )
    )
    const sent = yield* outer.delay({})
    const child = yield* ended(yield* sent.get)
    assert.strictEqual(child.parentId, sent.id)
  })
)
