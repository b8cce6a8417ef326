/** Stamps from `Canvas.stamp` to a handler, to a result and to who revokes by them. What each task gets of them: `stamps.golden.test.ts`. */
import { HubError } from "@apium/hub/HubError"
import * as Wire from "@apium/protocol/celery/Signature"
import type { KombuJson } from "@apium/protocol/kombu/Json"
import * as Canvas from "@apium/worker/client/Canvas"
import * as MemoryBackend from "@apium/worker/client/backends/MemoryBackend"
import { Client } from "@apium/worker/client/Client"
import { freezeUnsafe, leavesOf } from "@apium/worker/client/Freeze"
import * as Signature from "@apium/worker/client/Signature"
import * as Control from "@apium/worker/control/Control"
import * as Retry from "@apium/worker/task/Retry"
import * as Task from "@apium/worker/task/Task"
import { TaskContext } from "@apium/worker/task/TaskContext"
import { Tasks } from "@apium/worker/task/Tasks"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Schema } from "effect"
import { TestClock } from "effect/testing"
import { ended, headers, inject, json, settle, start, test, World } from "../support/World.ts"

const shows = Task.make("t.shows", { params: { of: Schema.Unknown } })
const retried = Task.make("t.retried", { params: {}, retry: Retry.fixed({ maxRetries: 1, delay: "1 second" }) })
const replaced = Task.make("t.replaced", { params: {} })
const sum = Task.make("t.sum", { params: { of: Schema.Array(Schema.Unknown) } })
const fails = Task.make("t.fails", { params: {} })
const each = Task.make("t.each", { params: { n: Schema.Number }, result: Schema.Number })

const seen: Array<readonly [task: string, stamps: unknown, names: ReadonlyArray<string>]> = []
const note = Effect.flatMap(TaskContext, ({ name, stampedHeaders, stamps }) =>
  Effect.sync(() => void seen.push([name, { ...stamps }, stampedHeaders.toSorted()]))
)
const ran = (task: string, stamps: Readonly<Record<string, KombuJson>>) =>
  [task, stamps, Object.keys(stamps).toSorted()] as const

const handlers = [
  Tasks.handle(shows, () => note),
  Tasks.handle(retried, () =>
    Effect.andThen(
      note,
      Effect.flatMap(TaskContext, ({ retries }) => (retries === 0 ? Effect.die(new Error("again")) : Effect.void))
    )
  ),
  Tasks.handle(replaced, () =>
    Effect.andThen(
      note,
      Canvas.replace(Canvas.stamp(Canvas.chain(shows.si({ of: 1 }), shows.si({ of: 2 })), { n: "own" }))
    )
  ),
  Tasks.handle(sum, () => note),
  Tasks.handle(fails, () => Effect.andThen(note, Effect.die(new Error("no")))),
  Tasks.handle(each, ({ n }) => Effect.succeed(n + 1))
]

const go = Effect.andThen(
  Effect.sync(() => void seen.splice(0)),
  start({ concurrency: 1 }, ...handlers)
)

describe("a stamp", () => {
  test(
    "is seen by every step of a chain, its callbacks and errbacks, and by a chord's parts and body",
    Effect.gen(function* () {
      yield* go
      const linked = Signature.set(fails.si({}), { linkError: shows.si({ of: 0 }) })
      const tree = Canvas.chain(
        shows.si({ of: 1 }, { link: linked }),
        Canvas.group([shows.si({ of: 2 })]),
        sum.partial({})
      )
      yield* (yield* Canvas.delay(Canvas.stamp(tree, { monitoring_id: "m-1" }))).get
      yield* settle
      const stamps = { monitoring_id: "m-1" }
      assert.deepStrictEqual(
        seen.toSorted(([a], [b]) => (a < b ? -1 : 1)),
        ["t.fails", "t.shows", "t.shows", "t.shows", "t.sum"].map((task) => ran(task, stamps))
      )
    })
  )

  test(
    "that is drawn by a visitor is another for each task, and each time the canvas is sent",
    Effect.gen(function* () {
      yield* go
      let drawn = 0
      const canvas = Canvas.stamp(Canvas.group([shows.s({ of: 1 }), shows.s({ of: 2 })]), {
        onSignature: () => ({ n: ++drawn })
      })
      yield* (yield* Canvas.delay(canvas)).get
      yield* (yield* Canvas.delay(canvas)).get
      assert.deepStrictEqual(
        seen,
        [1, 2, 3, 4].map((n) => ran("t.shows", { n }))
      )
    })
  )

  test(
    "may come from a visitor that is an instance of a class, with state of its own",
    Effect.gen(function* () {
      yield* go
      class InGroup {
        depth = 0
        onGroupStart() {
          this.depth++
        }
        onGroupEnd() {
          this.depth--
        }
        onSignature() {
          return { depth: this.depth }
        }
        onCallback() {
          return { callback: this.depth }
        }
      }
      const inner = Canvas.group([shows.si({ of: 1 }, { link: shows.si({ of: 2 }) })])
      yield* (yield* Canvas.delay(Canvas.stamp(Canvas.chain(shows.si({ of: 0 }), inner), new InGroup()))).get
      yield* settle
      assert.deepStrictEqual(seen, [
        ran("t.shows", { depth: 0 }),
        ran("t.shows", { depth: 1 }),
        ran("t.shows", { depth: 1, callback: 1 })
      ])
    })
  )

  test(
    "goes on with a retry",
    Effect.gen(function* () {
      yield* go
      const sent = yield* Canvas.delay(Canvas.stamp(retried.s({}), { m: [1, "2"] }))
      yield* settle
      yield* TestClock.adjust("2 seconds")
      yield* sent.get
      assert.deepStrictEqual(
        seen,
        [1, 2].map(() => ran("t.retried", { m: [1, "2"] }))
      )
    })
  )

  test(
    "goes on to what replaces its task, which may have one of the same name, but not to what follows",
    Effect.gen(function* () {
      yield* go
      const tree = Canvas.chain(Canvas.stamp(replaced.si({}), { m: "1", n: "2" }), sum.si({ of: [] }))
      yield* (yield* Canvas.delay(tree)).get
      assert.deepStrictEqual(seen, [
        ran("t.replaced", { m: "1", n: "2" }),
        ran("t.shows", { m: "1", n: "own" }),
        ran("t.shows", { m: "1", n: "own" }),
        ran("t.sum", {})
      ])
    })
  )

  test(
    "of a Python task, and of the steps behind it, is seen and sent on",
    Effect.gen(function* () {
      yield* go
      const stamped = { stamped_headers: ["customer", "seq"], seq: [1, 2], customer: "acme" }
      const next = Wire.make("t.shows", { args: [2], options: { ...stamped, task_id: "second" }, immutable: true })
      yield* inject(
        json(JSON.stringify([[1], {}, { callbacks: null, errbacks: null, chain: [Wire.encode(next)], chord: null }]), {
          ...headers("t.shows", "first"),
          stamped_headers: ["seq", "customer"],
          stamps: { seq: [1, 2], customer: "acme" }
        })
      )
      yield* ended("second")
      const stamps = { customer: "acme", seq: [1, 2] }
      assert.deepStrictEqual(
        seen,
        [1, 2].map(() => ran("t.shows", stamps))
      )
    })
  )

  test(
    "is on each part of what was cut to chunks, and nothing comes out otherwise",
    Effect.gen(function* () {
      yield* go
      const parts = Canvas.chunks(
        each,
        [1, 2, 3].map((n) => ({ n })),
        2
      )
      const wire = yield* Canvas.stamp(parts, { m: "1" }).wire
      assert.deepStrictEqual(
        Wire.tasks(wire).map(({ options, task }) => [task, options]),
        [1, 2].map(() => ["celery.starmap", { m: "1", stamped_headers: ["m"] }])
      )
      assert.deepStrictEqual(yield* (yield* Canvas.delay(Canvas.stamp(parts, { m: "1" }))).get, [[2, 3], [4]])
      const map = Canvas.stamp(Canvas.map(each, [{ n: 1 }]), { m: "1" })
      assert.deepStrictEqual(yield* (yield* Canvas.delay(map)).get, [2])
    })
  )

  test(
    "is how tasks are revoked",
    Effect.gen(function* () {
      yield* go
      const control = yield* Effect.forkChild(Control.revokeByStampedHeaders({ customer: ["acme"] }, { reply: true }))
      yield* settle
      yield* TestClock.adjust("2 seconds")
      assert.lengthOf(yield* Fiber.join(control), 1)
      const of = (customer: KombuJson) =>
        Effect.flatMap(Canvas.delay(Canvas.stamp(shows.s({ of: 1 }), { customer })), ({ get }) => Effect.exit(get))
      const [acme, among, other] = [yield* of("acme"), yield* of(["x", "acme"]), yield* of("other")]
      assert.deepStrictEqual([acme._tag, among._tag, other._tag], ["Failure", "Failure", "Success"])
      assert.strictEqual(seen.length, 1)
    })
  )
})

describe("an extended result", () => {
  const Extended = Client.layer.pipe(
    Layer.provideMerge(MemoryBackend.layerWith({ extended: true })),
    Layer.provideMerge(World)
  )
  it.effect("says the stamps of its task, each by its name, as Celery's does", () =>
    Effect.gen(function* () {
      yield* go
      const sent = yield* Canvas.delay(Canvas.stamp(shows.s({ of: 1 }), { customer: "acme", seq: [1, 2] }))
      const plain = yield* Canvas.delay(shows.s({ of: 1 }))
      const { extra } = yield* ended(sent.id)
      assert.deepStrictEqual(extra, { customer: "acme", seq: [1, 2], stamped_headers: ["customer", "seq"] })
      assert.isUndefined((yield* ended(plain.id)).extra)
    }).pipe(Effect.scoped, Effect.provide(Extended))
  )
})

describe("what makes no sense", () => {
  const wrong: ReadonlyArray<readonly [title: string, stamps: Canvas.Stamps | Canvas.Visitor, why: RegExp]> = [
    ["a stamp with the name of an option", { task_id: "x" }, /task_id is an option of a task/],
    ["a stamp with the name of what says how it is sent", { retry: false }, /retry is an option of a task/],
    ["a stamp without a value", { stampedHeaders: ["m"] }, /stampedHeaders names m, and nobody gives it a value/],
    [
      "a visitor that throws",
      {
        onSignature: () => {
          throw new Error("no id today")
        }
      },
      /no id today/
    ]
  ]
  for (const [title, stamps, why] of wrong) {
    test(
      `${title} is refused before anything is sent`,
      Effect.gen(function* () {
        const error = yield* Effect.flip(Canvas.delay(Canvas.stamp(Canvas.group([shows.s({ of: 1 })]), stamps)))
        assert.instanceOf(error, HubError)
        assert.match(error.message, why)
      })
    )
  }
})

it("what a group or a chain is sent with replaces no stamp of its members", () => {
  const stampsIn = (canvas: Wire.Signature) =>
    leavesOf(freezeUnsafe(canvas).signature).map(({ options: { m, n, stamped_headers: names } }) => [names, m, n])
  const options = { stamped_headers: ["m", "n"], m: "whole", n: "whole" }
  const stamped = Wire.make("t.a", { options: { stamped_headers: ["m"], m: "own" } })
  const plain = Wire.make("t.b")
  assert.deepStrictEqual(stampsIn(Wire.group([stamped, plain], options)), [
    [["m"], "own", "whole"],
    [["m", "n"], "whole", "whole"]
  ])
  assert.deepStrictEqual(stampsIn(Wire.chain([stamped, plain], options)), [
    [["m"], "own", "whole"],
    [undefined, undefined, undefined]
  ])
})
