/** A client of ours sends a canvas, and Debian's Celery runs all of it. */
import * as Canvas from "@apium/worker/client/Canvas"
import type { Client } from "@apium/worker/client/Client"
import { ResultBackend } from "@apium/worker/client/ResultBackend"
import * as Signature from "@apium/worker/client/Signature"
import { TaskFailed } from "@apium/worker/task/TaskError"
import { assert } from "@effect/vitest"
import { Effect, Layer, Option } from "effect"
import { failure, get } from "./support/asked.ts"
import { more, spread, twice } from "./support/python.ts"
import * as PythonWorker from "./support/PythonWorker.ts"
import { type Check, onEach } from "./support/suites.ts"
import { add, fail, replaced, sum, tell } from "./support/tasks.ts"

const two = [add.s({ x: 1, y: 1 }), add.s({ x: 2, y: 2 })] as const
const three = add.s({ x: 3, y: 3 })
const total = sum.partial({})
const raw = { args: [], kwargs: {} }

/** That a canvas comes to this. */
const comes = <A, E, M extends boolean>(
  canvas: Signature.Signature<Signature.Complete, A, E, M>,
  to: unknown
): Effect.Effect<void, unknown, Client> =>
  Effect.map(
    Effect.flatMap(Canvas.delay(canvas), (sent) => sent.get as Effect.Effect<unknown, unknown>),
    (value) => assert.deepStrictEqual(value, to)
  )

const everywhere: Readonly<Record<string, Check>> = {
  "a chain": Effect.gen(function* () {
    const sent = yield* Canvas.delay(Canvas.chain(add.s({ x: 1, y: 2 }), add.partial({ y: 4 }), add.partial({ y: 8 })))
    assert.strictEqual(yield* sent.get, 15)
    assert.strictEqual(yield* Option.getOrThrow(sent.parent).get, 7)
  }),
  "a chain of one": comes(Canvas.chain(two[0]), 2),
  "a chain of chains": comes(Canvas.chain(Canvas.chain(two[0], add.partial({ y: 1 })), add.partial({ y: 1 })), 4),
  "a chain of fifty": comes(
    Canvas.chain(add.s({ x: 0, y: 1 }), ...Array.from({ length: 49 }, () => add.partial({ y: 1 }))),
    50
  ),
  "a chain whose step fails": Effect.gen(function* () {
    const error = yield* failure(Canvas.delay(Canvas.chain(fail.s({ text: "x" }), tell.si(raw))))
    assert.deepStrictEqual([error.excType, error.state], ["ValueError", "FAILURE"])
  }),
  "an immutable signature": comes(Canvas.chain(two[0], add.si({ x: 5, y: 5 })), 10),
  "a group": comes(
    Canvas.group(Array.from({ length: 10 }, (_, x) => add.s({ x, y: x }))),
    [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]
  ),
  "a group of one, and of none": Effect.andThen(comes(Canvas.group([two[0]]), [2]), comes(Canvas.group([]), [])),
  "a group that waits for what comes before it": comes(
    Canvas.chain(two[0], Canvas.group([add.partial({ y: 1 }), add.partial({ y: 2 })])),
    [3, 4]
  ),
  "a group of chains": comes(
    Canvas.group([Canvas.chain(two[0], add.partial({ y: 1 })), Canvas.chain(two[1], add.partial({ y: 1 }))]),
    [3, 5]
  ),
  "a group whose member fails": Effect.gen(function* () {
    const sent = yield* Canvas.delay(Canvas.group([two[0], fail.s({ text: "x" })]))
    const error = yield* Effect.flip(sent.get)
    assert.instanceOf(error, TaskFailed)
    assert.strictEqual(error.excType, "ValueError")
    assert.isTrue(yield* sent.failed)
  }),
  map: comes(Canvas.map(sum, [{ of: [1, 2] }, { of: [3] }]), [3, 3]),
  starmap: comes(
    Canvas.starmap(
      add,
      [1, 2, 3].map((x) => ({ x, y: 10 }))
    ),
    [11, 12, 13]
  ),
  chunks: comes(
    Canvas.chunks(
      add,
      [1, 2, 3].map((x) => ({ x, y: 10 })),
      2
    ),
    [[11, 12], [13]]
  ),
  "a map behind a task, which it does not hear": comes(Canvas.chain(two[0], Canvas.map(sum, [{ of: [1, 2] }])), [3])
}

const stored: Readonly<Record<string, Check>> = {
  "a chord": comes(
    Canvas.chord(
      Array.from({ length: 10 }, (_, x) => add.s({ x, y: x })),
      total
    ),
    90
  ),
  "a chord of one, and of none": Effect.andThen(
    comes(Canvas.chord([two[0]], total), 2),
    comes(Canvas.chord([], total), 0)
  ),
  "a chord of fifty, in the order of its header": Effect.gen(function* () {
    const header = Array.from({ length: 50 }, (_, x) => add.s({ x, y: 0 }))
    const answered = get(Canvas.delay(Canvas.chord(header, Signature.named("proj.echo"))))
    assert.deepStrictEqual(yield* answered, [[Array.from({ length: 50 }, (_, x) => x)], {}])
  }),
  "a group with something behind it": comes(Canvas.chain(Canvas.group(two), total, add.partial({ y: 100 })), 106),
  "a task, a group, and something behind it": comes(
    Canvas.chain(two[0], Canvas.group([add.partial({ y: 1 }), add.partial({ y: 2 })]), total),
    7
  ),
  "two groups in a chain, each with something behind it": comes(
    Canvas.chain(Canvas.group(two), total, Canvas.group([add.partial({ y: 1 }), add.partial({ y: 2 })]), total),
    15
  ),
  "a chord of chains": comes(Canvas.chord([Canvas.chain(two[0], add.partial({ y: 1 })), three], total), 9),
  "a chord inside of a chord": comes(Canvas.chord([Canvas.chord(two, total), three], total), 12),
  "chords three deep": comes(
    Canvas.chord([Canvas.chord([Canvas.chord(two, total), three], total), add.s({ x: 10, y: 10 })], total),
    32
  ),
  "chains, groups and chords three deep": comes(
    Canvas.chain(
      two[0],
      Canvas.group([
        Canvas.chain(add.partial({ y: 1 }), Canvas.group([add.partial({ y: 1 }), add.partial({ y: 2 })]), total),
        add.partial({ y: 10 })
      ]),
      total
    ),
    21
  ),
  "a chord whose body is a chain": comes(Canvas.chord(two, Canvas.chain(total, add.partial({ y: 1 }))), 7),
  "a chord whose body ends with a group": comes(
    Canvas.chord(two, Canvas.chain(total, Canvas.group([add.partial({ y: 1 }), add.partial({ y: 2 })]))),
    [7, 8]
  ),
  "a chord behind a task, and one behind that": comes(
    Canvas.chain(
      two[0],
      Canvas.chord([add.partial({ y: 1 }), add.partial({ y: 2 })], total),
      Canvas.chord([add.partial({ y: 1 }), add.partial({ y: 2 })], total)
    ),
    17
  ),
  "a chord whose part fails": Effect.gen(function* () {
    const canvas = Canvas.chord([two[0], Signature.named("proj.fail", ["x"])], Signature.named("proj.sum"))
    const error = yield* failure(Canvas.delay(canvas))
    assert.strictEqual(error.excType, "ChordError")
    assert.include(String(error.excMessage[0]), "raised ValueError('x')")
  }),
  "a chord whose part is a chain that fails": Effect.gen(function* () {
    const part = Canvas.chain(Signature.named("proj.fail", ["x"]), Signature.named("proj.echo"))
    const error = yield* failure(Canvas.delay(Canvas.chord([two[0], part], Signature.named("proj.sum"))))
    assert.deepStrictEqual([error.excType, error.state], ["ChordError", "FAILURE"])
  }),
  "the errback of a chord": Effect.gen(function* () {
    const taskId = crypto.randomUUID()
    const body = Signature.set(Signature.named("proj.sum"), {
      linkError: Signature.named("proj.oops", [], {}, { taskId })
    })
    const sent = yield* Canvas.delay(Canvas.chord([two[0], Signature.named("proj.fail", ["x"])], body))
    yield* Effect.flip(sent.get)
    assert.deepStrictEqual((yield* (yield* ResultBackend).wait(taskId)).result, ["python", sent.id])
  }),
  "a chord whose body fails": Effect.gen(function* () {
    const error = yield* failure(Canvas.delay(Canvas.chord(two, Signature.named("proj.fail"))))
    assert.deepStrictEqual([error.excType, error.excMessage], ["ValueError", [[2, 4]]])
  }),
  "a link of a whole chord": Effect.gen(function* () {
    const taskId = crypto.randomUUID()
    const link = Signature.set(add.partial({ y: 1 }), { taskId })
    yield* Canvas.applyAsync(Canvas.chord(two, total), { link })
    assert.strictEqual((yield* (yield* ResultBackend).wait(taskId)).result, 7)
  }),
  "a task that replaces itself by a chain": Effect.gen(function* () {
    assert.strictEqual(yield* get(replaced.delay({ x: 1 })), 12)
    yield* comes(Canvas.chain(replaced.s({ x: 1 }), add.partial({ y: 100 })), 112)
    yield* comes(Canvas.chord([replaced.s({ x: 1 }), two[0]], total), 14)
  }),
  "a task that replaces itself by one that replaces itself": Effect.gen(function* () {
    assert.strictEqual(yield* get(twice.delay({ x: 1 })), 13)
    yield* comes(Canvas.chain(two[0], twice.partial({}), add.partial({ y: 100 })), 114)
  }),
  "a task that replaces itself by a group": Effect.gen(function* () {
    assert.deepStrictEqual(yield* get(spread.delay({ x: 1 })), [2, 3])
    yield* comes(Canvas.chain(spread.s({ x: 1 }), total), 5)
  }),
  "a part that adds another to its chord": comes(Canvas.chord([more.s({ x: 1 }), two[0]], total), 104)
}

onEach(
  "our client and Python's worker: canvas",
  { everywhere, stored },
  {
    peers: ({ backend, broker }) =>
      Layer.effectDiscard(PythonWorker.start({ BROKER: broker, BACKEND: backend }, { concurrency: 4 }))
  }
)
