/** Whatever a canvas is made of, and however a part of it ends: what somebody waits for comes. */
import * as HubError from "@apium/hub/HubError"
import * as Queue from "@apium/hub/Queue"
import * as Canvas from "@apium/worker/client/Canvas"
import { Client } from "@apium/worker/client/Client"
import { ResultBackend } from "@apium/worker/client/ResultBackend"
import * as Signature from "@apium/worker/client/Signature"
import * as Wire from "@apium/protocol/celery/Signature"
import * as Task from "@apium/worker/task/Task"
import { TaskContext } from "@apium/worker/task/TaskContext"
import type { TaskFailed } from "@apium/worker/task/TaskError"
import { Tasks } from "@apium/worker/task/Tasks"
import { assert, describe } from "@effect/vitest"
import { Deferred, Effect, Exit, Option, Schema } from "effect"
import { ended, headers, inject, json, settle, start, stored, takeAll, test, waiting } from "../support/World.ts"

const add = Task.make("proj.add", { params: { x: Schema.Number, y: Schema.Number }, result: Schema.Number })
const total = Task.make("proj.total", { params: { of: Schema.Array(Schema.Number) }, result: Schema.Number })
const show = Task.make("proj.show", { params: { of: Schema.Unknown }, result: Schema.String })
const mark = Task.make("proj.mark", { params: { text: Schema.String, n: Schema.Number }, result: Schema.String })
const broken = Task.make("proj.broken", { params: {}, result: Schema.Number })
const tell = Task.make("proj.tell", { params: { of: Schema.Unknown } })
const quiet = Task.make("proj.quiet", { params: { n: Schema.Number }, result: Schema.Number, ignoreResult: true })
const slow = Task.make("proj.slow", { params: { n: Schema.Number }, result: Schema.Number, queue: "slow" })
const between = Task.make("proj.between", {
  params: { a: Schema.optionalKey(Schema.Number), b: Schema.Number },
  result: Schema.Number
})

const spread = Task.make("proj.spread", { params: { kind: Schema.String }, result: Schema.Unknown })

const stuck = Task.make("proj.stuck", { params: {}, result: Schema.Number })

const told: Array<unknown> = []

const two = Canvas.group([total.partial({}), total.partial({})])
const ones = [add.s({ x: 0, y: 1 }), add.s({ x: 0, y: 1 })]
const replacements: Readonly<Record<string, Signature.Signature<Signature.Complete, unknown, never, boolean>>> = {
  chord: Canvas.chord(ones, two),
  chain: Canvas.chain(Canvas.group(ones), two),
  ids: Canvas.chord(ones, Signature.set(total.partial({}), { taskId: "mine" }))
}

const go = start(
  { concurrency: 4 },
  Tasks.handle(add, ({ x, y }) => Effect.succeed(x + y)),
  Tasks.handle(total, ({ of }) => Effect.succeed(of.reduce((sum, n) => sum + n, 0))),
  Tasks.handle(show, ({ of }) => Effect.succeed(JSON.stringify(of))),
  Tasks.handle(mark, ({ text, n }) => Effect.succeed(`${text}${n}`)),
  Tasks.handle(broken, () => Effect.die(new RangeError("no good"))),
  Tasks.handle(tell, ({ of }) => Effect.sync(() => void told.push(of))),
  Tasks.handle(quiet, ({ n }) => Effect.succeed(n)),
  Tasks.handle(slow, ({ n }) => Effect.succeed(n)),
  Tasks.handle(stuck, () => Effect.never),
  Tasks.handle(spread, ({ kind }) => Canvas.replace(replacements[kind]!)),
  Tasks.handle(between, ({ a = 0, b }) => Effect.succeed(a * 100 + b))
)

/** Nothing here waits for time: what has not come when all is still never comes. */
const soon = <A, E, R>(get: Effect.Effect<A, E, R>) =>
  Effect.raceFirst(get, Effect.andThen(Effect.repeat(settle, { times: 40 }), Effect.die("it never comes")))

describe("what waits for it comes, when", () => {
  test(
    "a step of a chain was revoked",
    Effect.gen(function* () {
      yield* go
      const expired = add.s({ x: 1, y: 1 }, { expires: new Date(-1000) })
      const sent = yield* Canvas.delay(Canvas.chain(expired, add.partial({ y: 1 }), add.partial({ y: 2 })))
      const error = (yield* soon(Effect.flip(sent.get))) as TaskFailed
      assert.deepStrictEqual([error.excType, error.excMessage], ["TaskRevokedError", ["expired"]])
    })
  )

  test(
    "a chain in a chord was revoked at its first step",
    Effect.gen(function* () {
      yield* go
      const expired = add.s({ x: 1, y: 1 }, { expires: new Date(-1000) })
      const sent = yield* Canvas.delay(
        Canvas.chord([Canvas.chain(expired, add.partial({ y: 1 })), add.s({ x: 1, y: 1 })], total.partial({}))
      )
      assert.strictEqual(((yield* soon(Effect.flip(sent.get))) as TaskFailed).excType, "ChordError")
    })
  )

  test(
    "a chord in a chord ends with a chain",
    Effect.gen(function* () {
      yield* go
      const inner = Canvas.chord(
        [add.s({ x: 1, y: 1 }), add.s({ x: 2, y: 2 })],
        Canvas.chain(total.partial({}), add.partial({ y: 100 }))
      )
      const sent = yield* Canvas.delay(Canvas.chord([inner, add.s({ x: 0, y: 1 })], total.partial({})))
      assert.strictEqual(yield* soon(sent.get), 107)
    })
  )

  test(
    "a chord in a chord ends with a group",
    Effect.gen(function* () {
      yield* go
      const inner = Canvas.chord(
        [add.s({ x: 1, y: 1 }), add.s({ x: 2, y: 2 })],
        Canvas.group([total.partial({}), total.partial({})])
      )
      const sent = yield* Canvas.delay(Canvas.chord([inner, add.s({ x: 0, y: 1 })], show.partial({})))
      assert.strictEqual(yield* soon(sent.get), "[[6,6],1]")
    })
  )

  test(
    "a running step of a chain was terminated",
    Effect.gen(function* () {
      yield* go
      const sent = yield* Canvas.delay(Canvas.chain(stuck.s({}), add.partial({ y: 1 })))
      yield* settle
      yield* Option.getOrThrow(sent.parent).revoke({ terminate: true })
      assert.strictEqual(((yield* soon(Effect.flip(sent.get))) as TaskFailed).excType, "TaskRevokedError")
    })
  )

  test(
    "a part of a chord was revoked, and could not be counted at first",
    Effect.gen(function* () {
      const backend = yield* ResultBackend
      let counted = 0
      const away = HubError.fail(new HubError.ConnectionLost({ cause: "unreachable", text: "no Redis" }))
      yield* go.pipe(
        Effect.provideService(ResultBackend, {
          ...backend,
          chords: {
            ...backend.chords,
            count: (part, fire) => (counted++ === 0 ? away : backend.chords.count(part, fire))
          }
        })
      )
      const expired = add.s({ x: 1, y: 1 }, { expires: new Date(-1000) })
      const sent = yield* Canvas.delay(Canvas.chord([expired], total.partial({})))
      assert.strictEqual(((yield* soon(Effect.flip(sent.get))) as TaskFailed).excType, "ChordError")
      assert.strictEqual(counted, 2)
    })
  )

  test(
    "all parts of a chord are empty",
    Effect.gen(function* () {
      yield* go
      const none = Canvas.chord([Canvas.group([]), Canvas.group([])], show.partial({}))
      assert.strictEqual(yield* soon((yield* Canvas.delay(none)).get), "[[],[]]")
      const after = Canvas.chord([Canvas.chain(add.s({ x: 1, y: 1 }), Canvas.group([]))], show.partial({}))
      assert.strictEqual(yield* soon((yield* Canvas.delay(after)).get), "[[]]")
    })
  )

  test(
    "the body of a chord cannot be sent",
    Effect.gen(function* () {
      yield* go
      const body = Wire.make("proj.total", { options: { queue: 5 } })
      const sent = yield* Canvas.delay(Signature.fromWire(Wire.chord([Wire.make("proj.add", { args: [1, 2] })], body)))
      const error = (yield* soon(Effect.flip(sent.get))) as TaskFailed
      assert.strictEqual(error.excType, "ChordError")
      assert.match(String(error.excMessage[0]), /options.queue should be a string/)
    })
  )

  test(
    "the body of a chord was sent twice, and one message of it runs, again when it comes again",
    Effect.gen(function* () {
      yield* go
      told.length = 0
      const body = (firing: string) =>
        json(JSON.stringify([[firing], {}, {}]), headers("proj.tell", "b1", { apium_fired: `g1 ${firing}` }))
      for (const firing of ["first", "second", "first"]) yield* inject(body(firing))
      yield* settle
      assert.deepStrictEqual(told, ["first", "first"])
      assert.strictEqual(yield* waiting("celery"), 0)
      assert.strictEqual((yield* ended("b1")).status, "SUCCESS")
    })
  )

  test(
    "the second message of a chord's body has expired, or comes while the first has failed: neither is told of",
    Effect.gen(function* () {
      const through = yield* Deferred.make<void>()
      yield* start(
        { concurrency: 2 },
        Tasks.handle(Task.make("proj.watched", { params: {}, trackStarted: true }), () => Effect.die(new Error("no"))),
        Tasks.handle(slow, ({ n }) => Effect.as(Deferred.await(through), n))
      )
      const body = (task: string, id: string, firing: string, more = {}) =>
        json(JSON.stringify([task === "proj.slow" ? [1] : [], {}, {}]), {
          // The id of a group may be anything.
          ...headers(task, id, { apium_fired: `my group ${firing}` }),
          ...more
        })
      yield* inject(body("proj.watched", "w1", "first"))
      yield* settle
      yield* inject(body("proj.watched", "w1", "second"))
      yield* inject(body("proj.slow", "s1", "first"))
      yield* settle
      yield* inject(body("proj.slow", "s1", "second", { expires: "1970-01-01T00:00:00+00:00" }))
      yield* settle
      assert.strictEqual((yield* ended("w1")).status, "FAILURE")
      assert.isUndefined(yield* stored("s1"))
      assert.strictEqual(yield* waiting("celery"), 0)
      yield* Deferred.succeed(through, undefined)
      assert.strictEqual((yield* ended("s1")).status, "SUCCESS")
    })
  )

  test(
    "an errback of a part of a chord cannot be sent",
    Effect.gen(function* () {
      yield* go
      const part = Wire.make("proj.broken", {
        options: { link_error: [Wire.encode(Wire.make("proj.tell", { options: { queue: 5 } }))] }
      })
      const sent = yield* Canvas.delay(Signature.fromWire(Wire.chord([part], Wire.make("proj.total"))))
      assert.strictEqual(((yield* soon(Effect.flip(sent.get))) as TaskFailed).excType, "ChordError")
    })
  )

  test(
    "its task was replaced by a chord whose body is a group, or has an id of its own",
    Effect.gen(function* () {
      yield* go
      assert.deepStrictEqual(yield* soon((yield* spread.delay({ kind: "chord" })).get), [2, 2])
      assert.deepStrictEqual(yield* soon((yield* spread.delay({ kind: "chain" })).get), [2, 2])
      assert.strictEqual(yield* soon((yield* spread.delay({ kind: "ids" })).get), 2)
      const sent = yield* Canvas.delay(
        Canvas.chord(
          [spread.s({ kind: "chord" }), Canvas.chain(spread.s({ kind: "ids" }), show.partial({}))],
          show.partial({})
        )
      )
      assert.strictEqual(yield* soon(sent.get), '[[2,2],"2"]')
    })
  )

  test(
    "it is joined, and a result of it cannot be read",
    Effect.gen(function* () {
      const backend = yield* ResultBackend
      const unreadable = () =>
        HubError.fail(new HubError.DecodeFailed({ what: "the result of a task", text: "it is no JSON" }))
      yield* go.pipe(
        Effect.provideService(ResultBackend, {
          ...backend,
          get: (id) => (id === "garbled" ? unreadable() : backend.get(id))
        })
      )
      const body = Wire.encode(Wire.make("proj.total", { options: { task_id: "end" } }))
      const client = yield* Client
      yield* client.sendTask("celery.chord_unlock", ["g", body], { result: [[["garbled", null], null]] })
      const { result, status } = yield* soon(ended("end"))
      assert.strictEqual(status, "FAILURE")
      assert.deepInclude(result, { exc_type: "ChordError" })
    })
  )

  test(
    "nobody stores it",
    Effect.gen(function* () {
      yield* go
      const one = yield* Canvas.applyAsync(add.s({ x: 1, y: 1 }), { ignoreResult: true })
      assert.isUndefined(yield* soon(one.get))
      const last = yield* Canvas.delay(
        Canvas.chain(add.s({ x: 1, y: 1 }), add.partial({ y: 1 }, { ignoreResult: true }))
      )
      assert.isUndefined(yield* soon(last.get))
      const all = yield* Canvas.applyAsync(Canvas.group([add.s({ x: 1, y: 1 }), add.s({ x: 2, y: 1 })]), {
        ignoreResult: true
      })
      assert.deepStrictEqual<ReadonlyArray<unknown>>(yield* soon(all.get), [undefined, undefined])
      // Only its first step: Celery's chain gives it what is said of the whole.
      const first = yield* Canvas.applyAsync(Canvas.chain(add.s({ x: 1, y: 1 }), add.partial({ y: 1 })), {
        ignoreResult: true
      })
      assert.strictEqual(yield* soon(first.get), 3)
    })
  )
})

describe("a task that stores no result", () => {
  test(
    "stores none as a step, and counts as a part of a chord",
    Effect.gen(function* () {
      yield* go
      const sent = yield* Canvas.delay(Canvas.chord([quiet.s({ n: 3 }), quiet.s({ n: 4 })], total.partial({})))
      assert.strictEqual(yield* soon(sent.get), 7)
      const [part] = (Option.getOrThrow(sent.parent) as never as { children: ReadonlyArray<{ id: string }> }).children
      assert.isUndefined(yield* stored(part!.id))
    })
  )
})

describe("the errbacks of a chord", () => {
  test(
    "are called when its body is a group, with the ids of its members",
    Effect.gen(function* () {
      yield* go
      told.length = 0
      const sent = yield* Canvas.applyAsync(
        Canvas.chord([broken.s({})], Canvas.group([total.partial({}), total.partial({})])),
        { linkError: tell.partial({}) }
      )
      yield* soon(Effect.flip(sent.get))
      yield* settle
      assert.deepStrictEqual(
        told,
        sent.children.map(({ id }) => id)
      )
    })
  )

  test(
    "are called when its body is a chord",
    Effect.gen(function* () {
      yield* go
      told.length = 0
      const body = Canvas.chord([total.partial({}), total.partial({})], total.partial({}))
      const sent = yield* Canvas.applyAsync(Canvas.chord([broken.s({})], body), { linkError: tell.partial({}) })
      yield* soon(Effect.flip(sent.get))
      yield* settle
      assert.deepStrictEqual(told, [sent.id])
    })
  )
})

describe("the errbacks of a chord whose body is a chain that Python froze", () => {
  test(
    "are called with the chain's id, and are children of what failed",
    Effect.gen(function* () {
      const parents: Array<string | null> = []
      const watched = Task.make("proj.watched", { params: { of: Schema.Unknown } })
      yield* go
      yield* start(
        { queues: [Queue.make("watched")] },
        Tasks.handle(watched, ({ of }) =>
          Effect.map(TaskContext, ({ parentId }) => void parents.push(of as string, Option.getOrNull(parentId)))
        )
      )
      const { chords } = yield* ResultBackend
      yield* chords.size("header", 1)
      // As it leaves Python: its errbacks are put on its steps when a worker runs it.
      const steps = ["a", "b"].map((id) => Wire.make("proj.total", { options: { task_id: id } }))
      const body = Wire.chain(steps, {
        link_error: [Wire.encode(Wire.make("proj.watched", { options: { queue: "watched" } }))]
      })
      const embed = JSON.stringify({ callbacks: null, errbacks: null, chain: null, chord: Wire.encode(body) })
      const part = headers("proj.broken", "part", { group: "header", group_index: 0 })
      yield* inject(json(`[[], {}, ${embed}]`, part))
      assert.strictEqual((yield* soon(ended("b"))).status, "FAILURE")
      yield* settle
      assert.deepStrictEqual(parents, ["b", "b"])
    })
  )
})

describe("a group in a group", () => {
  test(
    "has a list of its own, as its type says",
    Effect.gen(function* () {
      yield* go
      const inner = Canvas.group([add.s({ x: 1, y: 1 }), add.s({ x: 2, y: 1 })])
      const sent = yield* Canvas.delay(Canvas.group([inner, mark.s({ text: "m", n: 3 })]))
      const values: readonly [readonly [number, number], string] = yield* soon(sent.get)
      assert.deepStrictEqual(values, [[2, 3], "m3"])
      const piped = yield* Canvas.delay(
        Canvas.chain(Canvas.group([inner, mark.s({ text: "m", n: 3 })]), show.partial({}))
      )
      assert.strictEqual(yield* soon(piped.get), '[[2,3],"m3"]')
    })
  )

  test(
    "keeps its options and links",
    Effect.gen(function* () {
      yield* go
      told.length = 0
      const inner = Signature.set(Canvas.group([add.s({ x: 1, y: 1 })]), { queue: "elsewhere" })
      yield* Canvas.delay(Canvas.group([inner, add.s({ x: 1, y: 2 })]))
      yield* settle
      const [message] = yield* takeAll("elsewhere")
      assert.strictEqual(message?.message.headers.task, "proj.add")
      const linked = Signature.set(Canvas.group([add.s({ x: 1, y: 1 }), add.s({ x: 2, y: 2 })]), {
        link: tell.si({ of: "first" })
      })
      yield* soon((yield* Canvas.delay(Canvas.group([add.s({ x: 0, y: 0 }), linked]))).get)
      yield* settle
      assert.deepStrictEqual(told, ["first"])
    })
  )
})

describe("what is said of the whole", () => {
  test(
    "is said of each member of a group, and of each part of a chord, before what it says itself",
    Effect.gen(function* () {
      const members = [slow.s({ n: 1 }), add.s({ x: 1, y: 1 }, { queue: "mine" })]
      yield* Canvas.applyAsync(Canvas.group(members), { queue: "theirs" })
      yield* Canvas.applyAsync(Canvas.chord(members, total.partial({})), { queue: "theirs" })
      assert.lengthOf(yield* takeAll("theirs"), 4)
    })
  )
})

describe("a part that is added to a chord", () => {
  test(
    "comes after those of a header with groups in it",
    Effect.gen(function* () {
      const client = yield* Client
      const fork = Task.make("proj.fork", { params: {}, result: Schema.Number })
      yield* start(
        { concurrency: 4 },
        Tasks.handle(add, ({ x, y }) => Effect.succeed(x + y)),
        Tasks.handle(show, ({ of }) => Effect.succeed(JSON.stringify(of))),
        Tasks.handle(fork, () =>
          Effect.as(Effect.provideService(Canvas.addToChord(add.s({ x: 40, y: 2 })), Client, client), 1)
        )
      )
      const sent = yield* Canvas.delay(Canvas.chord([Canvas.group(ones), fork.s({})], show.partial({})))
      assert.strictEqual(yield* soon(sent.get), "[[1,1],1,42]")
    })
  )

  test(
    "and that the broker refuses is waited for no more",
    Effect.gen(function* () {
      const client = yield* Client
      const fork = Task.make("proj.fork", { params: {}, result: Schema.String })
      yield* start(
        { concurrency: 4 },
        Tasks.handle(show, ({ of }) => Effect.succeed(JSON.stringify(of))),
        Tasks.handle(fork, () =>
          Canvas.addToChord(add.s({ x: 40, y: 2 }, { exchange: "nonesuch", routingKey: "any" })).pipe(
            Effect.provideService(Client, client),
            Effect.match({ onFailure: ({ message }) => message, onSuccess: () => "it was sent" })
          )
        )
      )
      const sent = yield* Canvas.delay(Canvas.chord([fork.s({}), fork.s({})], show.partial({})))
      assert.match(yield* soon(sent.get), /^\["[^"]*nonesuch[^"]*","[^"]*nonesuch[^"]*"\]$/)
    })
  )

  test(
    "and that is a group, or no canvas at all, is refused before anything of it is sent",
    Effect.gen(function* () {
      const client = yield* Client
      const fork = Task.make("proj.fork", { params: {}, result: Schema.Array(Schema.String) })
      // Of a type that says nothing of what it is.
      const no = [Wire.group([Wire.make("proj.never")]), Wire.make("celery.chord", { kwargs: { header: 1 } })]
      yield* start(
        { concurrency: 4 },
        Tasks.handle(show, ({ of }) => Effect.succeed(JSON.stringify(of))),
        Tasks.handle(fork, () =>
          Effect.forEach(no, (signature) =>
            Canvas.addToChord(Signature.fromWire(signature)).pipe(
              Effect.provideService(Client, client),
              Effect.match({ onFailure: ({ message }) => message, onSuccess: () => "it was sent" })
            )
          )
        )
      )
      const sent = yield* Canvas.delay(Canvas.chord([fork.s({})], show.partial({})))
      assert.match(yield* soon(sent.get), /add each of its members.*kwargs.header should be a signature/)
    })
  )
})

describe("map and starmap", () => {
  test(
    "go where the task goes that they call",
    Effect.gen(function* () {
      yield* Canvas.delay(Canvas.starmap(slow, [{ n: 1 }]))
      yield* Canvas.delay(Canvas.map(slow, [{ n: 1 }]))
      yield* Canvas.delay(Canvas.chunks(slow, [{ n: 1 }, { n: 2 }], 1))
      assert.lengthOf(yield* takeAll("slow"), 4)
    })
  )

  test(
    "refuse arguments they cannot pass by position",
    Effect.gen(function* () {
      const gap = yield* Effect.flip(Canvas.delay(Canvas.starmap(between, [{ a: 1, b: 2 }, { b: 1 }])))
      assert.match(gap.message, /b is given, and a before it is not/)
      const two = yield* Effect.flip(Canvas.delay(Canvas.map(add, [{ x: 1, y: 2 }])))
      assert.match(two.message, /map passes one argument/)
      const raw = yield* Effect.flip(Canvas.delay(Canvas.starmap(Task.raw("py.any"), [{ args: [], kwargs: { a: 1 } }])))
      assert.match(raw.message, /by position/)
    })
  )
})

describe("a long one", () => {
  test(
    "chain of 10,000 steps is sent, and is one of handles",
    Effect.gen(function* () {
      const steps = Array.from({ length: 9_999 }, () => add.partial({ y: 1 }))
      const began = performance.now()
      const sent = yield* Canvas.delay(Canvas.chain(add.s({ x: 0, y: 1 }), ...steps))
      let depth = 0
      for (let at = sent.parent; Option.isSome(at); at = at.value.parent as typeof at) depth++
      assert.strictEqual(depth, 9_999)
      console.log(`10,000 steps sent in ${Math.round(performance.now() - began)} ms`)
    })
  )

  test(
    "group and chord of 10,000 members are sent",
    Effect.gen(function* () {
      const members = Array.from({ length: 10_000 }, (_, x) => add.s({ x, y: 1 }))
      const began = performance.now()
      const sent = yield* Canvas.delay(Canvas.chord(members, total.partial({})))
      console.log(`10,000 parts sent in ${Math.round(performance.now() - began)} ms`)
      assert.lengthOf(yield* takeAll("celery"), 10_000)
      assert.isString(sent.id)
    })
  )

  test(
    "nest of 60 chords in chords is sent",
    Effect.gen(function* () {
      let signature: Wire.Signature = Wire.make("proj.add", { args: [1, 1] })
      for (let n = 0; n < 60; n++)
        signature = Wire.chord([signature, Wire.make("proj.add", { args: [1, 1] })], Wire.make("proj.total"))
      const began = performance.now()
      const sent = yield* Canvas.delay(Signature.fromWire(signature))
      console.log(`60 chords in chords sent in ${Math.round(performance.now() - began)} ms`)
      assert.isString(sent.id)
    })
  )

  test(
    "link to a chain of 10,000 leaves its task a result",
    Effect.gen(function* () {
      yield* go
      const link = Wire.chain(Array.from({ length: 10_000 }, () => Wire.make("proj.nobody")))
      const sent = yield* add.applyAsync({ x: 1, y: 1 }, { link: Signature.fromWire(link) })
      assert.strictEqual(yield* soon(sent.get), 2)
    })
  )
})

test(
  "an empty chain is refused",
  Effect.gen(function* () {
    const exit = yield* Effect.exit(Canvas.delay(Signature.fromWire(Wire.chain([]))))
    assert.isTrue(Exit.hasFails(exit))
  })
)
