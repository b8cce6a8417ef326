/** A client of ours sends, and Debian's Celery runs: what a TypeScript program sees of it, on each broker. */
import * as Canvas from "@apium/worker/client/Canvas"
import { Client } from "@apium/worker/client/Client"
import { ResultBackend } from "@apium/worker/client/ResultBackend"
import * as Signature from "@apium/worker/client/Signature"
import { TaskFailed } from "@apium/worker/task/TaskError"
import { assert, layer } from "@effect/vitest"
import { Clock, Effect, Layer, Option, Stream } from "effect"
import { RabbitMq } from "../support/RabbitMq.ts"
import { Redis } from "../support/Redis.ts"
import * as deployments from "./support/deployments.ts"
import * as PythonWorker from "./support/PythonWorker.ts"
import { add, echo, fail, ignored, info, progress, replaced, retry, sleep, sum, tell } from "./support/tasks.ts"

const get = <A, E, E2, R>(sent: Effect.Effect<{ readonly get: Effect.Effect<A, E> }, E2, R>) =>
  Effect.flatMap(sent, (result) => result.get)

/** Why it failed. */
const failure = <A, E, E2, R>(sent: Effect.Effect<{ readonly get: Effect.Effect<A, E> }, E2, R>) =>
  Effect.map(Effect.flip(get(sent)), (error) => {
    assert.instanceOf(error, TaskFailed)
    return error
  })

type Check = Effect.Effect<unknown, unknown, Client | ResultBackend>

const two = [add.s({ x: 1, y: 1 }), add.s({ x: 2, y: 2 })] as const

const checks: Readonly<Record<string, Check>> = {
  "delay, with keyword arguments": Effect.map(get(add.delay({ x: 2, y: 3 })), (value) => assert.strictEqual(value, 5)),
  "positional arguments": Effect.gen(function* () {
    const client = yield* Client
    assert.strictEqual(yield* get(client.sendTask("proj.add", [2, 3], {})), 5)
  }),
  "arguments that do not bind": Effect.gen(function* () {
    const error = yield* failure((yield* Client).sendTask("proj.add", [2], {}))
    assert.strictEqual(error.excType, "TypeError")
    assert.include(String(error.excMessage[0]), "missing 1 required positional argument")
  }),
  "a countdown": Effect.gen(function* () {
    const began = yield* Clock.currentTimeMillis
    assert.strictEqual(yield* get(add.applyAsync({ x: 1, y: 1 }, { countdown: "1200 millis" })), 2)
    assert.isAtLeast((yield* Clock.currentTimeMillis) - began, 1200)
  }),
  "what expired is revoked": Effect.gen(function* () {
    const error = yield* failure(add.applyAsync({ x: 1, y: 1 }, { countdown: "1 second", expires: "200 millis" }))
    assert.deepStrictEqual([error.state, error.excMessage], ["REVOKED", ["expired"]])
  }),
  retries: Effect.map(get(retry.delay({ times: 3 })), (value) => assert.strictEqual(value, 3)),
  "an exception of Python's": Effect.gen(function* () {
    const error = yield* failure(fail.delay({ text: "no good" }))
    assert.deepStrictEqual(
      [error.excType, error.excModule, error.excMessage, error.state],
      ["ValueError", "builtins", ["no good"], "FAILURE"]
    )
    assert.include(Option.getOrThrow(error.traceback), "raise ValueError(text)")
  }),
  "an unknown task": Effect.gen(function* () {
    const error = yield* failure((yield* Client).sendTask("proj.nothing", [], {}))
    assert.deepStrictEqual([error.excType, error.excMessage], ["NotRegistered", ["proj.nothing"]])
  }),
  "a link, and the children it leaves": Effect.gen(function* () {
    const sent = yield* add.applyAsync({ x: 2, y: 2 }, { link: add.partial({ y: 10 }) })
    assert.strictEqual(yield* sent.get, 4)
    const [child] = yield* sent.children
    assert.strictEqual((yield* (yield* ResultBackend).wait(child!.id)).result, 14)
  }),
  "an errback": Effect.gen(function* () {
    const taskId = crypto.randomUUID()
    // One that takes more than the id would be called in the place where the task failed.
    const sent = yield* fail.applyAsync({ text: "x" }, { linkError: Signature.named("proj.oops", [], {}, { taskId }) })
    yield* Effect.flip(sent.get)
    assert.strictEqual((yield* (yield* ResultBackend).wait(taskId)).result, sent.id)
  }),
  "a chain": Effect.gen(function* () {
    const sent = yield* Canvas.delay(Canvas.chain(add.s({ x: 1, y: 2 }), add.partial({ y: 4 }), add.partial({ y: 8 })))
    assert.strictEqual(yield* sent.get, 15)
    assert.strictEqual(yield* Option.getOrThrow(sent.parent).get, 7)
  }),
  "a chain whose step fails": Effect.gen(function* () {
    const error = yield* failure(Canvas.delay(Canvas.chain(fail.s({ text: "x" }), tell.si({ args: [], kwargs: {} }))))
    assert.deepStrictEqual([error.excType, error.state], ["ValueError", "FAILURE"])
  }),
  "a group": Effect.gen(function* () {
    const members = Array.from({ length: 10 }, (_, x) => add.s({ x, y: x }))
    assert.deepStrictEqual(yield* get(Canvas.delay(Canvas.group(members))), [0, 2, 4, 6, 8, 10, 12, 14, 16, 18])
  }),
  "a chord": Effect.gen(function* () {
    const header = Array.from({ length: 10 }, (_, x) => add.s({ x, y: x }))
    assert.strictEqual(yield* get(Canvas.delay(Canvas.chord(header, sum.partial({})))), 90)
  }),
  "a chord with an empty header": Effect.gen(function* () {
    assert.strictEqual(yield* get(Canvas.delay(Canvas.chord([], sum.partial({})))), 0)
  }),
  "a group with something behind it": Effect.gen(function* () {
    const canvas = Canvas.chain(Canvas.group(two), sum.partial({}), add.partial({ y: 100 }))
    assert.strictEqual(yield* get(Canvas.delay(canvas)), 106)
  }),
  "a task, a group, and something behind it": Effect.gen(function* () {
    const canvas = Canvas.chain(
      add.s({ x: 1, y: 1 }),
      Canvas.group([add.partial({ y: 1 }), add.partial({ y: 2 })]),
      sum.partial({})
    )
    assert.strictEqual(yield* get(Canvas.delay(canvas)), 7)
  }),
  "a chain that ends with a group": Effect.gen(function* () {
    const canvas = Canvas.chain(add.s({ x: 1, y: 1 }), Canvas.group([add.partial({ y: 1 }), add.partial({ y: 2 })]))
    assert.deepStrictEqual(yield* get(Canvas.delay(canvas)), [3, 4])
  }),
  "a chord of chains": Effect.gen(function* () {
    const canvas = Canvas.chord([Canvas.chain(two[0], add.partial({ y: 1 })), add.s({ x: 5, y: 5 })], sum.partial({}))
    assert.strictEqual(yield* get(Canvas.delay(canvas)), 13)
  }),
  "a chord inside of a chord": Effect.gen(function* () {
    const canvas = Canvas.chord([Canvas.chord(two, sum.partial({})), add.s({ x: 3, y: 3 })], sum.partial({}))
    assert.strictEqual(yield* get(Canvas.delay(canvas)), 12)
  }),
  "a chord whose body is a chain": Effect.gen(function* () {
    const canvas = Canvas.chord(two, Canvas.chain(sum.partial({}), add.partial({ y: 1 })))
    assert.strictEqual(yield* get(Canvas.delay(canvas)), 7)
  }),
  "a chord whose part fails": Effect.gen(function* () {
    const error = yield* failure(
      Canvas.delay(Canvas.chord([two[0], Signature.named("proj.fail", ["x"])], Signature.named("proj.sum")))
    )
    assert.strictEqual(error.excType, "ChordError")
    assert.include(String(error.excMessage[0]), "raised ValueError('x')")
  }),
  "starmap, map and chunks": Effect.gen(function* () {
    const items = [1, 2, 3].map((x) => ({ x, y: 10 }))
    assert.deepStrictEqual(yield* get(Canvas.delay(Canvas.starmap(add, items))), [11, 12, 13])
    assert.deepStrictEqual(yield* get(Canvas.delay(Canvas.map(sum, [{ of: [1, 2] }, { of: [3] }]))), [3, 3])
    assert.deepStrictEqual(yield* get(Canvas.delay(Canvas.chunks(add, items, 2))), [[11, 12], [13]])
  }),
  "an immutable signature": Effect.gen(function* () {
    assert.strictEqual(yield* get(Canvas.delay(Canvas.chain(two[0], add.si({ x: 5, y: 5 })))), 10)
  }),
  "a task that replaces itself": Effect.gen(function* () {
    assert.strictEqual(yield* get(replaced.delay({ x: 1 })), 12)
    const canvas = Canvas.chain(replaced.s({ x: 1 }), add.partial({ y: 100 }))
    assert.strictEqual(yield* get(Canvas.delay(canvas)), 112)
    assert.strictEqual(yield* get(Canvas.delay(Canvas.chord([replaced.s({ x: 1 }), two[0]], sum.partial({})))), 14)
  }),
  "a result that nobody wants": Effect.gen(function* () {
    assert.isUndefined(yield* get(ignored.delay({})))
    const sent = yield* add.applyAsync({ x: 1, y: 1 }, { ignoreResult: true })
    yield* get(add.delay({ x: 1, y: 1 }))
    assert.isTrue(Option.isNone(yield* (yield* ResultBackend).get(sent.id)))
  }),
  "a soft and a hard time limit": Effect.gen(function* () {
    const soft = yield* failure(sleep.applyAsync({ seconds: 20 }, { softTimeLimit: "1 second" }))
    assert.strictEqual(soft.excType, "SoftTimeLimitExceeded")
    const hard = yield* failure(sleep.applyAsync({ seconds: 20 }, { timeLimit: "1 second" }))
    assert.strictEqual(hard.excType, "TimeLimitExceeded")
  }),
  "revoked before it began": Effect.gen(function* () {
    const sent = yield* add.applyAsync({ x: 1, y: 1 }, { countdown: "2 seconds" })
    yield* sent.revoke()
    assert.deepStrictEqual((yield* failure(Effect.succeed(sent))).excMessage, ["revoked"])
  }),
  "terminated while it runs": Effect.gen(function* () {
    const sent = yield* sleep.delay({ seconds: 30 })
    const running = Effect.flatMap(get(add.delay({ x: 1, y: 1 })), () => sent.revoke({ terminate: true }))
    yield* Effect.delay(running, "1 second")
    assert.deepStrictEqual((yield* failure(Effect.succeed(sent))).excMessage, ["terminated"])
  }),
  "200 kB and unicode": Effect.gen(function* () {
    const text = "ü世🎉".repeat(25_000)
    assert.deepStrictEqual(yield* get(echo.delay({ args: [text], kwargs: { key: text } })), [[text], { key: text }])
  }),
  "headers and a priority of its own": Effect.gen(function* () {
    const sent = info.applyAsync({ args: [], kwargs: {} }, { priority: 3, headers: { "x-tenant": "acme" } })
    assert.deepInclude(yield* get(sent), { priority: 3, headers: { "x-tenant": "acme" }, name: "proj.info" })
  }),
  "states of the task's own": Effect.gen(function* () {
    const sent = yield* progress.delay({})
    const states = yield* Stream.runCollect(sent.changes)
    assert.deepStrictEqual(
      [...states].filter(({ state }) => state !== "STARTED"),
      [
        { state: "PROGRESS", meta: { done: 1, of: 2 } },
        { state: "SUCCESS", meta: "done" }
      ]
    )
  }),
  "compressed with zlib": Effect.gen(function* () {
    const sent = echo.applyAsync({ args: ["a".repeat(10_000)], kwargs: {} }, { compression: "zlib" })
    assert.deepStrictEqual(yield* get(sent), [["a".repeat(10_000)], {}])
  }),
  "a forgotten result": Effect.gen(function* () {
    const sent = yield* add.delay({ x: 1, y: 1 })
    yield* sent.get
    yield* sent.forget
    assert.strictEqual(yield* sent.state, "PENDING")
  })
}

/** What needs a backend that counts, or that who did not send a task may ask. */
const kept = /chord|behind|link|errback|forgotten|replaces|nobody wants/

for (const [name, deployment, servers] of [
  ["RabbitMQ", deployments.rabbitMq, Layer.merge(RabbitMq.shared, Redis.shared)],
  ["RabbitMQ with results as messages", deployments.rpc, Layer.merge(RabbitMq.shared, Redis.shared)],
  ["Redis", deployments.redis, Redis.shared]
] as const) {
  const asked = Object.entries(checks).filter(([title]) => deployment !== deployments.rpc || !kept.test(title))
  const World = Layer.unwrap(
    Effect.map(deployment as typeof deployments.rpc, ({ backend, broker, connection, results }) =>
      Layer.merge(
        Client.layer.pipe(Layer.provideMerge(results), Layer.provide(connection())),
        Layer.effectDiscard(PythonWorker.start({ BROKER: broker, BACKEND: backend }))
      )
    )
  ).pipe(Layer.provide(servers as Layer.Layer<RabbitMq | Redis>))

  layer(World, { excludeTestServices: true, timeout: "90 seconds" })(
    `our client and a Python worker on ${name}`,
    (it) => {
      it.effect.each(asked.map(([title, check]) => ({ title, check })))("$title", ({ check }) => check, 40_000)
    }
  )
}
