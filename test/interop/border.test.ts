/** Canvases with steps in both languages: a client of ours sends, and each part runs where its queue is. */
import * as Canvas from "@apium/worker/client/Canvas"
import { Client } from "@apium/worker/client/Client"
import { ResultBackend } from "@apium/worker/client/ResultBackend"
import type * as Signature from "@apium/worker/client/Signature"
import { TaskFailed } from "@apium/worker/task/TaskError"
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { failure, get } from "./support/asked.ts"
import { type Check, onEach } from "./support/suites.ts"
import * as Visits from "./support/Visits.ts"
import { on, type Side } from "./support/Visits.ts"

const comes = (canvas: Signature.Signature<Signature.Complete, unknown>, to: unknown): Check =>
  Effect.map(get(Canvas.delay(canvas)), (value) => assert.deepStrictEqual(value, to))

const ts = (...more: ReadonlyArray<string>) => on("typescript", "visit", more)
const py = (...more: ReadonlyArray<string>) => on("python", "visit", more)

const sides: ReadonlyArray<Side> = ["typescript", "python"]

/** On either side what the other has to do with it. */
const each = (check: (here: Side, there: Side) => Check): Check =>
  Effect.forEach(sides, (here, index) => check(here, sides[1 - index]!), { concurrency: 2, discard: true })

const resultOf = (taskId: string) =>
  Effect.flatMap(ResultBackend, ({ wait }) => Effect.map(wait(taskId), ({ result }) => result))

const everywhere: Readonly<Record<string, Check>> = {
  "a chain whose steps alternate": comes(Canvas.chain(on("typescript", "visit", [[]]), py(), ts(), py("a"), ts("b")), [
    "typescript",
    "python",
    "typescript",
    "python",
    "a",
    "typescript",
    "b"
  ]),
  "a chain that begins in Python": comes(Canvas.chain(on("python", "visit", [[]]), ts(), py()), [
    "python",
    "typescript",
    "python"
  ]),
  "the context of a trace, as OpenTelemetry's instrumentation of Celery reads it": Effect.gen(function* () {
    const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    const first = on("typescript", "traced", [[]], { headers: { traceparent } })
    const sent = Canvas.delay(Canvas.chain(first, on("python", "traced")))
    assert.deepStrictEqual(yield* get(sent), ["typescript", traceparent, "python", traceparent])
  }),
  "a group with members of both": Effect.gen(function* () {
    const sent = Canvas.delay(Canvas.group([on("typescript", "visit", [[]]), on("python", "visit", [[]])]))
    assert.deepStrictEqual(yield* get(sent), [["typescript"], ["python"]])
  }),
  "a group behind a step of the other": each((here, there) =>
    Effect.gen(function* () {
      const visits = [on(here, "visit"), on(there, "visit")]
      const sent = Canvas.delay(Canvas.chain(on(here, "visit", [[]]), Canvas.group(visits)))
      assert.deepStrictEqual(yield* get(sent), [
        [here, here],
        [here, there]
      ])
    })
  )
}

const stored: Readonly<Record<string, Check>> = {
  "a step that fails fails the steps of the other that were to follow": each((here, there) =>
    Effect.gen(function* () {
      const error = yield* failure(Canvas.delay(Canvas.chain(on(here, "fail", ["x"]), on(there, "visit"))))
      assert.deepStrictEqual([error.excType, error.state], ["ValueError", "FAILURE"])
    })
  ),
  "a link of the other": each((here, there) =>
    Effect.gen(function* () {
      const taskId = crypto.randomUUID()
      const link = on(there, "visit", [], { taskId })
      yield* Canvas.delay(on(here, "visit", [[]], { link }))
      assert.deepStrictEqual(yield* resultOf(taskId), [here, there])
    })
  ),
  "an errback of the other": each((here, there) =>
    Effect.gen(function* () {
      const taskId = crypto.randomUUID()
      // Python calls one that it has itself in place, if that takes more than the id.
      const linkError = on(there, "oops", [], { taskId })
      const sent = yield* Canvas.delay(on(here, "fail", ["x"], { linkError }))
      yield* Effect.flip(sent.get)
      assert.deepStrictEqual(yield* resultOf(taskId), [there, sent.id])
    })
  ),
  "an errback of a chain, called by whoever has the step that fails": each((here, there) =>
    Effect.gen(function* () {
      const taskId = crypto.randomUUID()
      const sent = yield* Canvas.applyAsync(Canvas.chain(on(here, "visit", [[]]), on(there, "fail")), {
        linkError: on(here, "oops", [], { taskId })
      })
      yield* Effect.flip(sent.get)
      assert.deepStrictEqual(yield* resultOf(taskId), [here, sent.id])
    })
  ),
  "a task that replaces itself by one of the other": each((here, there) =>
    Effect.gen(function* () {
      const canvas = Canvas.chain(on(here, "visit", [[]]), on(here, "moves", [there]), on(here, "visit"))
      assert.deepStrictEqual(yield* get(Canvas.delay(canvas)), [here, here, there, here])
    })
  ),
  "in a chord, a part that replaces itself by one of the other": each((here, there) =>
    Effect.gen(function* () {
      const header = [on(here, "moves", [[], there]), on(there, "visit", [[]])]
      const sent = Canvas.delay(Canvas.chord(header, on(here, "visits")))
      assert.deepStrictEqual(yield* get(sent), [`${here}/${there}`, there, here])
    })
  ),
  "a chord with parts in both and the body in either": each((here, there) =>
    Effect.gen(function* () {
      const header = [on(here, "visit", [[]]), on(there, "visit", [[]]), on(here, "visit", [["again"]])]
      const sent = Canvas.delay(Canvas.chord(header, on(here, "visits")))
      assert.deepStrictEqual(yield* get(sent), [here, there, `again/${here}`, here])
    })
  ),
  "a chord whose parts are chains through both": each((here, there) =>
    Effect.gen(function* () {
      const part = Canvas.chain(on(here, "visit", [[]]), on(there, "visit"), on(here, "visit"))
      const other = Canvas.chain(on(there, "visit", [[]]), on(here, "visit"))
      const sent = Canvas.delay(Canvas.chord([part, other], Canvas.chain(on(there, "visits"), on(here, "visit"))))
      assert.deepStrictEqual(yield* get(sent), [`${here}/${there}/${here}`, `${there}/${here}`, there, here])
    })
  ),
  "a chord inside of a chord of the other": each((here, there) =>
    Effect.gen(function* () {
      const inner = Canvas.chord([on(there, "visit", [[]]), on(here, "visit", [[]])], on(there, "visits"))
      const sent = Canvas.delay(Canvas.chord([inner, on(here, "visit", [[]])], on(here, "visits")))
      assert.deepStrictEqual(yield* get(sent), [`${there}/${here}/${there}`, here, here])
    })
  ),
  "a part that adds one of the other to its chord": each((here, there) =>
    Effect.gen(function* () {
      const header = [on(here, "grows", [there]), on(there, "visit", [[]])]
      const value = yield* get(Canvas.delay(Canvas.chord(header, on(there, "visits"))))
      assert.sameMembers(value as Array<string>, [here, `added/${there}`, there, there])
    })
  ),
  "a part that fails on one side fails the body on the other, whose errback is called": each((here, there) =>
    Effect.gen(function* () {
      const taskId = crypto.randomUUID()
      const body = on(there, "visits", [], { linkError: on(here, "oops", [], { taskId }) })
      const sent = yield* Canvas.delay(Canvas.chord([on(here, "fail", ["x"]), on(there, "visit", [[]])], body))
      const error = yield* Effect.flip(sent.get)
      assert.instanceOf(error, TaskFailed)
      assert.strictEqual(error.excType, "ChordError")
      assert.match(String(error.excMessage[0]), /^Dependency .* raised ValueError\('x'/)
      assert.deepStrictEqual(yield* resultOf(taskId), [here, sent.id])
    })
  ),
  "children that each side has sent": each((here, there) =>
    Effect.gen(function* () {
      const taskId = crypto.randomUUID()
      const client = yield* Client
      const sent = yield* client.apply(on(here, "visit", [[]], { link: on(there, "info", [], { taskId }) }))
      assert.deepInclude(yield* resultOf(taskId), { id: taskId, rootId: sent.id })
      // Its result is stored after its children were sent.
      yield* sent.get
      assert.deepStrictEqual(
        (yield* sent.children).map(({ id }) => id),
        [taskId]
      )
    })
  )
}

onEach("steps of both languages", { everywhere, stored }, { peers: Visits.both })
