/** Groups that one language has sent and saved, read by the other; Debian's Celery runs them. */
import * as Canvas from "@apium/worker/client/Canvas"
import { Client } from "@apium/worker/client/Client"
import { ResultBackend } from "@apium/worker/client/ResultBackend"
import { TaskFailed } from "@apium/worker/task/TaskError"
import { assert } from "@effect/vitest"
import { Duration, Effect, Layer, Option, Schedule, Stream } from "effect"
import { inTime, knownRevoked } from "./support/asked.ts"
import * as PythonWorker from "./support/PythonWorker.ts"
import { type Check, Deployed, onEach } from "./support/suites.ts"
import { add, fail, sleep } from "./support/tasks.ts"

/** What Python says to this. */
const ask = (code: string) =>
  Effect.flatMap(Deployed, ({ python }) => Effect.flatMap(python, (client) => client.ask(code)))

const restored = (id: string) =>
  Effect.flatMap(Client, ({ restoreGroup }) => Effect.map(restoreGroup(id), Option.getOrThrow))

const members = [1, 2, 3].map((x) => add.s({ x, y: 10 }))

const stored: Readonly<Record<string, Check>> = {
  "saved by us, restored by Python": Effect.gen(function* () {
    const sent = yield* Canvas.delay(Canvas.group(members))
    yield* sent.save
    const answer = yield* ask(`
g = GroupResult.restore("${sent.id}", app=app)
answer = [g.id, len(g), g.get(timeout=60), g.successful(), g.completed_count(), [member.result for member in g]]`)
    assert.deepStrictEqual(answer, [sent.id, 3, [11, 12, 13], true, 3, [11, 12, 13]])
  }),
  "saved by us with a group in it and what came before it, restored by Python": Effect.gen(function* () {
    const canvas = Canvas.chain(
      add.s({ x: 0, y: 1 }),
      Canvas.group([
        add.partial({ y: 1 }),
        Canvas.chain(add.partial({ y: 1 }), Canvas.group([add.partial({ y: 1 }), add.partial({ y: 2 })]))
      ])
    )
    const sent = yield* Canvas.delay(canvas)
    assert.deepStrictEqual(yield* sent.get, [2, [3, 4]])
    yield* sent.save
    const answer = yield* ask(`
g = GroupResult.restore("${sent.id}", app=app)
answer = [g.get(timeout=60), g.parent.get(timeout=60)]`)
    assert.deepStrictEqual(answer, [[2, [3, 4]], 1])
  }),
  "saved by Python, restored, joined and iterated by us": Effect.gen(function* () {
    const id = yield* ask(`
g = group(s("add", i, 10) for i in (1, 2, 3)).delay()
g.save()
answer = g.id`)
    const group = yield* restored(String(id))
    assert.deepStrictEqual(yield* group.get, [11, 12, 13])
    const each = yield* Stream.runCollect(group.iterate)
    assert.sameDeepMembers(
      [...each],
      [
        [0, 11],
        [1, 12],
        [2, 13]
      ]
    )
    assert.deepStrictEqual(
      [yield* group.ready, yield* group.successful, yield* group.failed, yield* group.completedCount],
      [true, true, false, 3]
    )
    yield* group.forget
    assert.isFalse(yield* group.ready)
  }),
  "saved by Python with a group in it and what came before it, restored by us": Effect.gen(function* () {
    const id = yield* ask(`
from celery import chain
g = (s("add", 0, 1) | group(s("add", 1), chain(s("add", 1), group(s("add", 1), s("add", 2))))).delay()
g.get(timeout=60)
g.save()
answer = g.id`)
    const group = yield* restored(String(id))
    assert.deepStrictEqual(yield* group.get, [2, [3, 4]])
    assert.strictEqual(yield* Option.getOrThrow(group.parent).get, 1)
  }),
  "with a member that failed": Effect.gen(function* () {
    const sent = yield* Canvas.delay(Canvas.group([members[0]!, fail.s({ text: "x" })]))
    const error = yield* Effect.flip(sent.get)
    assert.instanceOf(error, TaskFailed)
    yield* sent.save
    yield* (yield* ResultBackend).wait(sent.children[0]!.id)
    const answer = yield* ask(`
g = GroupResult.restore("${sent.id}", app=app)
answer = [g.ready(), g.failed(), g.successful(), failure(g)]`)
    assert.deepStrictEqual(answer, [true, true, false, ["builtins.ValueError", ["'x'"]]])
    const again = yield* restored(sent.id)
    assert.deepStrictEqual([yield* again.ready, yield* again.failed, yield* again.completedCount], [true, true, 1])
  }),
  "saved by us, revoked by Python": Effect.gen(function* () {
    // It starts when somebody asks it.
    yield* ask("answer = True")
    const sent = yield* inTime((countdown) =>
      Effect.gen(function* () {
        const sent = yield* Canvas.applyAsync(Canvas.group(members), { countdown })
        yield* sent.save
        yield* ask(`GroupResult.restore("${sent.id}", app=app).revoke()`)
        yield* knownRevoked(sent.children.map(({ id }) => id))
        return sent
      })
    )
    const error = yield* Effect.flip(sent.get)
    assert.instanceOf(error, TaskFailed)
    assert.deepStrictEqual([error.state, error.excMessage], ["REVOKED", ["revoked"]])
  }),
  "saved by Python, revoked by us": Effect.gen(function* () {
    yield* ask("answer = True")
    const group = yield* inTime((countdown) =>
      Effect.gen(function* () {
        const id = yield* ask(`
g = group(s("add", i, 10) for i in (1, 2, 3)).apply_async(countdown=${Duration.toSeconds(countdown)})
g.save()
answer = g.id`)
        const group = yield* restored(String(id))
        yield* group.revoke()
        yield* knownRevoked(group.children.map(({ id }) => id))
        return group
      })
    )
    yield* Effect.repeat(group.ready, { until: (ready) => ready, schedule: Schedule.spaced("50 millis") })
    const states = Effect.forEach(group.children, (one) => ("state" in one ? one.state : Effect.succeed("a group")))
    assert.deepStrictEqual(yield* states, ["REVOKED", "REVOKED", "REVOKED"])
  }),
  "one that nobody saved": Effect.gen(function* () {
    const { restoreGroup } = yield* Client
    const sent = yield* Canvas.delay(Canvas.group([sleep.s({ seconds: 0 })]))
    assert.deepStrictEqual(yield* restoreGroup(sent.id), Option.none())
    assert.isTrue(yield* ask(`answer = GroupResult.restore("${sent.id}", app=app) is None`))
  })
}

onEach(
  "our client and Python's worker: groups of both",
  { stored },
  {
    peers: ({ backend, broker }) =>
      Layer.effectDiscard(PythonWorker.start({ BROKER: broker, BACKEND: backend }, { concurrency: 4 }))
  }
)
