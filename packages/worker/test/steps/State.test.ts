/** What a worker remembers beyond its own life, and what neighbours tell it when it starts. */
import * as Blueprint from "@apium/worker/Blueprint"
import * as Control from "@apium/worker/control/Control"
import { Panel } from "@apium/worker/control/Panel"
import * as StateDb from "@apium/worker/control/StateDb"
import * as Task from "@apium/worker/task/Task"
import { Tasks } from "@apium/worker/task/Tasks"
import * as Worker from "@apium/worker/Worker"
import { assert, describe } from "@effect/vitest"
import { Effect, Exit, Layer, Result, Schema, Scope } from "effect"
import { TestClock } from "effect/testing"
import { celery, cut, settle, stored, test } from "../support/World.ts"

const work = Task.make("s.work", { params: { n: Schema.Number }, result: Schema.Number })

/** A place that keeps text, and how often it was written; `broken`: it takes none. */
const place = () => {
  const kept = { text: undefined as string | undefined, saves: 0, broken: false }
  const port: StateDb.Port = {
    place: "here",
    load: Effect.sync(() => (kept.text === undefined ? undefined : Result.getOrThrow(StateDb.decode(kept.text)))),
    save: (saved) =>
      Effect.suspend(() => {
        if (kept.broken) return Effect.fail(new StateDb.StateDbError({ place: "here", text: "is full" }))
        kept.saves++
        kept.text = StateDb.encode(saved)
        return Effect.void
      })
  }
  return { kept, layer: Layer.succeed(StateDb.StateDb, port) }
}

/** A worker for as long as it is not closed. */
const open = Effect.fnUntraced(function* (options: Partial<Worker.Options>, db: Layer.Layer<never> = Layer.empty) {
  const scope = yield* Scope.fork(yield* Effect.scope)
  const live = Worker.layer({ queues: [celery], concurrency: 1, name: "celery@a", ...options })
  yield* Scope.provide(Layer.build(Layer.provide(live, db)), scope)
  yield* settle
  return { close: Scope.close(scope, Exit.void) }
})

const ran: Array<number> = []
const Work = Tasks.handle(work, ({ n }) => Effect.sync(() => (ran.push(n), n)))

const revoked = (node: string) => Effect.map(Control.inspect.revoked({ destination: [node] }), ([only]) => only!.reply)

const clockOf = (node: string) =>
  Effect.map(Control.inspect.clock({ destination: [node] }), ([only]) =>
    Control.isFailed(only!.reply) ? Number.NaN : only!.reply.clock
  )

describe("a worker with a state", () => {
  test(
    "knows in its next life what was revoked in the last, before its first task",
    Effect.gen(function* () {
      ran.length = 0
      yield* Layer.build(Work)
      const { kept, layer } = place()
      const { close } = yield* open({}, layer)
      yield* Control.revoke("t1", { reply: true, destination: ["celery@a"] })
      yield* Control.revokeByStampedHeaders({ tenant: "7" }, { reply: true, destination: ["celery@a"] })
      yield* close
      assert.deepInclude(JSON.parse(kept.text!), { revoked: ["t1"], stamps: [["tenant", "7"]] })
      yield* work.applyAsync({ n: 1 }, { taskId: "t1" })
      yield* work.applyAsync({ n: 2 }, { taskId: "t2" })
      yield* open({}, layer)
      assert.deepStrictEqual(ran, [2])
      assert.strictEqual((yield* stored("t1"))?.status, "REVOKED")
      assert.deepStrictEqual(yield* revoked("celery@a"), ["t1"])
    })
  )

  test(
    "saves two seconds after something was revoked, once for all of it, and nothing while nothing is",
    Effect.gen(function* () {
      const { kept, layer } = place()
      yield* open({}, layer)
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(kept.saves, 0)
      for (const id of ["a", "b", "c"]) yield* Control.revoke(id, { reply: true, destination: ["celery@a"] })
      yield* TestClock.adjust("1 second")
      assert.strictEqual(kept.saves, 0)
      yield* TestClock.adjust("1 second")
      yield* settle
      assert.strictEqual(kept.saves, 1)
      assert.deepInclude(JSON.parse(kept.text!), { revoked: ["a", "b", "c"] })
    })
  )

  test(
    "tries again where it could not be saved, and ends all the same",
    Effect.gen(function* () {
      const { kept, layer } = place()
      kept.broken = true
      const { close } = yield* open({}, layer)
      yield* Control.revoke("a", { reply: true, destination: ["celery@a"] })
      yield* TestClock.adjust("10 seconds")
      assert.isUndefined(kept.text)
      kept.broken = false
      yield* TestClock.adjust("2 seconds")
      yield* settle
      assert.deepInclude(JSON.parse(kept.text!), { revoked: ["a"] })
      kept.broken = true
      yield* close
    })
  )

  test(
    "goes on with its clock",
    Effect.gen(function* () {
      const { kept, layer } = place()
      kept.text = StateDb.encode({ clock: 1000, revoked: [], revokedAt: [], stamps: [] })
      yield* open({}, layer)
      assert.isAbove(yield* clockOf("celery@a"), 1000)
    })
  )
})

describe("the text of a state", () => {
  test(
    "is read back, and whatever else stands there is refused with what to do",
    Effect.sync(() => {
      const saved = { clock: 7, revoked: ["a", "b"], revokedAt: [1, 2], stamps: [["h", "v"]] } as const
      assert.deepStrictEqual(Result.getOrThrow(StateDb.decode(StateDb.encode(saved))), saved)
      for (const text of ["", "\u0000\u0001GDBM", "{}", "[]", "null", `{"kind":"apium worker state","version":1}`]) {
        const found = StateDb.decode(text)
        assert.match(Result.isFailure(found) ? found.failure : "", /say another place, or remove what is there/)
      }
      // As it was written before there were times.
      const old = StateDb.encode(saved).replace(`"revokedAt":[1,2],`, "")
      assert.deepStrictEqual(Result.getOrThrow(StateDb.decode(old)), { ...saved, revokedAt: [] })
      for (const times of ["[1]", "[1,null]", "7"]) {
        assert.isTrue(Result.isFailure(StateDb.decode(StateDb.encode(saved).replace("[1,2]", times))))
      }
      const newer = StateDb.decode(StateDb.encode(saved).replace(`"version":1`, `"version":2`))
      assert.match(Result.isFailure(newer) ? newer.failure : "", /newer Apium/)
    })
  )
})

describe("a worker that mingles", () => {
  const mingle = true

  /** What nodes that are no friends answer to `hello`; `undefined`: an error. */
  const answers: Readonly<Record<string, unknown>> = {
    "celery@clock": { clock: Number.MAX_SAFE_INTEGER, revoked: { x: "then" } },
    "celery@text": { clock: "late", revoked: ["a"] },
    "celery@list": [1, 2],
    "celery@none": null,
    "celery@no": undefined
  }

  test(
    "learns what its neighbours know to be revoked, and they learn from it; both on the later clock",
    Effect.gen(function* () {
      yield* open({ name: "celery@old", mingle })
      for (const id of ["x", "y"]) yield* Control.revoke(id, { reply: true, destination: ["celery@old"] })
      const { kept, layer } = place()
      kept.text = StateDb.encode({ clock: 500, revoked: ["mine"], revokedAt: [0], stamps: [] })
      yield* open({ name: "celery@new", mingle }, layer)
      assert.deepStrictEqual(yield* revoked("celery@new"), ["mine", "x", "y"])
      assert.deepStrictEqual(yield* revoked("celery@old"), ["x", "y", "mine"])
      assert.isAbove(yield* clockOf("celery@old"), 500)
      assert.isAbove(yield* clockOf("celery@new"), 500)
    })
  )

  test(
    "does so again on a new link, for what was revoked meanwhile",
    Effect.gen(function* () {
      yield* open({ name: "celery@a", mingle })
      yield* Effect.andThen(cut, TestClock.adjust("5 seconds"))
      yield* settle
      // A neighbour that knows of one since, and was started without asking anybody.
      const { close } = yield* open({ name: "celery@b", mingle: false })
      yield* Control.revoke("late", { reply: true, destination: ["celery@b"] })
      assert.deepStrictEqual(yield* revoked("celery@a"), [])
      // Both have lost their link: who is back first asks before the other hears.
      const asked = cut.pipe(
        Effect.andThen(TestClock.adjust("5 seconds")),
        Effect.andThen(settle),
        Effect.andThen(revoked("celery@a"))
      )
      assert.deepStrictEqual(
        yield* Effect.repeat(asked, { until: (ids) => !Control.isFailed(ids) && ids.length > 0, times: 20 }),
        ["late"]
      )
      yield* close
    })
  )

  test(
    "tells what was revoked in the last three hours, over its lives",
    Effect.gen(function* () {
      const { layer } = place()
      const { close } = yield* open({ name: "celery@a", mingle }, layer)
      yield* Control.revoke("long ago", { reply: true, destination: ["celery@a"] })
      yield* TestClock.adjust("2 hours")
      yield* Control.revoke("lately", { reply: true, destination: ["celery@a"] })
      yield* close
      yield* TestClock.adjust("1 hour")
      yield* open({ name: "celery@a", mingle }, layer)
      yield* open({ name: "celery@b", mingle })
      assert.deepStrictEqual(yield* revoked("celery@a"), ["long ago", "lately"])
      assert.deepStrictEqual(yield* revoked("celery@b"), ["lately"])
    })
  )

  test(
    "passes over answers that make no sense",
    Effect.gen(function* () {
      for (const [name, answer] of Object.entries(answers)) {
        const odd = Worker.blueprint({ queues: [celery], concurrency: 1, name, mingle: false }).pipe(
          Blueprint.add("Odd", {
            requires: ["Control"],
            layer: Panel.command("hello", () => (answer === undefined ? Effect.fail("no") : Effect.succeed(answer)))
          })
        )
        yield* Layer.build(Worker.layerOf(odd, { name }))
      }
      const before = yield* clockOf("celery@clock")
      yield* open({ name: "celery@a", mingle })
      assert.deepStrictEqual(yield* revoked("celery@a"), ["x"])
      assert.isBelow(yield* clockOf("celery@a"), before + 100)
    })
  )
})
