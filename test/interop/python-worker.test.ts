/** A client of ours sends, and Debian's Celery runs: arguments, options, and what is carried. */
import * as Canvas from "@apium/worker/client/Canvas"
import { Client } from "@apium/worker/client/Client"
import { ResultBackend } from "@apium/worker/client/ResultBackend"
import * as Signature from "@apium/worker/client/Signature"
import { assert } from "@effect/vitest"
import { Clock, Effect, Layer, Option } from "effect"
import { failure, get } from "./support/asked.ts"
import * as PythonWorker from "./support/PythonWorker.ts"
import { type Check, onEach } from "./support/suites.ts"
import { add, echo, fail, ignored, info, retry } from "./support/tasks.ts"

const raw = { args: [], kwargs: {} }

const everywhere: Readonly<Record<string, Check>> = {
  "delay, with keyword arguments": Effect.map(get(add.delay({ x: 2, y: 3 })), (value) => assert.strictEqual(value, 5)),
  "positional arguments, in their order": Effect.gen(function* () {
    const { sendTask } = yield* Client
    assert.strictEqual(yield* get(sendTask("proj.add", [2, 3], {})), 5)
    const answered = get(sendTask("proj.echo", ["a", "b", 3], { z: 1, a: 2 }))
    assert.deepStrictEqual(yield* answered, [["a", "b", 3], { z: 1, a: 2 }])
  }),
  "arguments that do not bind": Effect.gen(function* () {
    const { sendTask } = yield* Client
    const missing = yield* failure(sendTask("proj.add", [2], {}))
    assert.strictEqual(missing.excType, "TypeError")
    assert.include(String(missing.excMessage[0]), "missing 1 required positional argument")
    const unknown = yield* failure(sendTask("proj.add", [1, 2], { z: 3 }))
    assert.include(String(unknown.excMessage[0]), "got an unexpected keyword argument 'z'")
  }),
  "a countdown": Effect.gen(function* () {
    const began = yield* Clock.currentTimeMillis
    assert.strictEqual(yield* get(add.applyAsync({ x: 1, y: 1 }, { countdown: "1200 millis" })), 2)
    assert.isAtLeast((yield* Clock.currentTimeMillis) - began, 1200)
  }),
  "an eta": Effect.gen(function* () {
    const eta = new Date((yield* Clock.currentTimeMillis) + 1200)
    assert.strictEqual(yield* get(add.applyAsync({ x: 1, y: 1 }, { eta })), 2)
    assert.isAtLeast(yield* Clock.currentTimeMillis, eta.getTime())
  }),
  "what expired, after a duration and at a time, is revoked": Effect.gen(function* () {
    const countdown = "1 second"
    const after = add.applyAsync({ x: 1, y: 1 }, { countdown, expires: "200 millis" })
    const at = add.applyAsync({ x: 1, y: 1 }, { countdown, expires: new Date((yield* Clock.currentTimeMillis) + 200) })
    for (const error of yield* Effect.all([failure(after), failure(at)], { concurrency: 2 })) {
      assert.deepStrictEqual([error.state, error.excMessage], ["REVOKED", ["expired"]])
    }
  }),
  "what expires later runs": Effect.map(get(add.applyAsync({ x: 1, y: 1 }, { expires: "1 minute" })), (value) =>
    assert.strictEqual(value, 2)
  ),
  retries: Effect.map(get(retry.delay({ times: 3 })), (value) => assert.strictEqual(value, 3)),
  "an unknown task": Effect.gen(function* () {
    const error = yield* failure((yield* Client).sendTask("proj.nothing", [], {}))
    assert.deepStrictEqual([error.excType, error.excMessage], ["NotRegistered", ["proj.nothing"]])
  }),
  "a result that nobody wants is nothing at once": Effect.gen(function* () {
    assert.isUndefined(yield* get(ignored.delay({})))
    assert.isUndefined(yield* get(add.applyAsync({ x: 1, y: 1 }, { ignoreResult: true })))
  }),
  "200 kB and unicode": Effect.gen(function* () {
    const text = "ü世🎉".repeat(25_000)
    assert.deepStrictEqual(yield* get(echo.delay({ args: [text], kwargs: { key: text } })), [[text], { key: text }])
  }),
  "JSON of every kind, and integers of any size": Effect.gen(function* () {
    const value = {
      null: null,
      "": "",
      "naïve 🎉": [[], {}, [[]]],
      flags: [true, false],
      numbers: [0, -1, 0.5, 1e300, 2 ** 53 - 1],
      big: [2n ** 64n, -(2n ** 100n), 10n ** 80n],
      text: `"\\\u0000\u2028${"'".repeat(3)}`
    }
    assert.deepStrictEqual(yield* get(echo.delay({ args: [value], kwargs: {} })), [[value], {}])
  }),
  "headers and a priority of its own": Effect.gen(function* () {
    const sent = info.applyAsync(raw, { priority: 3, headers: { "x-tenant": "acme" } })
    assert.deepInclude(yield* get(sent), { priority: 3, headers: { "x-tenant": "acme" }, name: "proj.info" })
  }),
  "what a task is told of itself": Effect.gen(function* () {
    const taskId = crypto.randomUUID()
    const sent = info.applyAsync(
      { args: [1, "a"], kwargs: { b: null } },
      { taskId, shadow: "shown", timeLimit: "30 seconds", softTimeLimit: "20 seconds" }
    )
    assert.deepInclude(yield* get(sent), {
      id: taskId,
      rootId: taskId,
      parentId: null,
      group: null,
      shadow: "shown",
      timelimit: [30, 20],
      argsrepr: "(1, 'a')",
      kwargsrepr: "{'b': None}"
    })
  }),
  "whose child each step of a chain is": Effect.gen(function* () {
    const taskId = crypto.randomUUID()
    const told = yield* get(
      Canvas.delay(Canvas.chain(Signature.named("proj.add", [1, 1], {}, { taskId }), info.partial({})))
    )
    assert.deepInclude(told, { rootId: taskId, parentId: taskId, argsrepr: "(2,)" })
  }),
  "compressed with zlib": Effect.gen(function* () {
    const sent = echo.applyAsync({ args: ["a".repeat(10_000)], kwargs: {} }, { compression: "zlib" })
    assert.deepStrictEqual(yield* get(sent), [["a".repeat(10_000)], {}])
  }),
  "fifty at once, each with its own result": Effect.gen(function* () {
    const payloads = Array.from({ length: 50 }, (_, x) => ({ x, y: 1 }))
    const sent = yield* (yield* Client).sendAll(add, payloads)
    const values = yield* Effect.forEach(sent, (result) => result.get, { concurrency: "unbounded" })
    assert.deepStrictEqual(
      values,
      payloads.map(({ x }) => x + 1)
    )
  })
}

const stored: Readonly<Record<string, Check>> = {
  "a result that nobody wants is not there": Effect.gen(function* () {
    const mine = yield* ignored.delay({})
    const sent = yield* add.applyAsync({ x: 1, y: 1 }, { ignoreResult: true })
    yield* get(add.delay({ x: 1, y: 1 }))
    const { get: look } = yield* ResultBackend
    assert.deepStrictEqual([yield* look(mine.id), yield* look(sent.id)], [Option.none(), Option.none()])
  }),
  "a link, and the children it leaves": Effect.gen(function* () {
    const sent = yield* add.applyAsync({ x: 2, y: 2 }, { link: [add.partial({ y: 10 }), add.partial({ y: 20 })] })
    assert.strictEqual(yield* sent.get, 4)
    const children = yield* sent.children
    const { wait } = yield* ResultBackend
    const [first, second] = yield* Effect.forEach(
      children.flatMap((child) => child.children ?? [child]),
      ({ id }) => Effect.map(wait(id), ({ result }) => result)
    )
    assert.deepStrictEqual([first, second], [14, 24])
  }),
  "a link that is a chain": Effect.gen(function* () {
    const taskId = crypto.randomUUID()
    const last = Signature.set(add.partial({ y: 3 }), { taskId })
    yield* add.applyAsync({ x: 1, y: 1 }, { link: Canvas.chain(add.partial({ y: 2 }), last) })
    assert.strictEqual((yield* (yield* ResultBackend).wait(taskId)).result, 7)
  }),
  "an errback": Effect.gen(function* () {
    const taskId = crypto.randomUUID()
    // One that takes more than the id would be called in the place where the task failed.
    const sent = yield* fail.applyAsync({ text: "x" }, { linkError: Signature.named("proj.oops", [], {}, { taskId }) })
    yield* Effect.flip(sent.get)
    assert.deepStrictEqual((yield* (yield* ResultBackend).wait(taskId)).result, ["python", sent.id])
  }),
  "a forgotten result": Effect.gen(function* () {
    const sent = yield* add.delay({ x: 1, y: 1 })
    yield* sent.get
    yield* sent.forget
    assert.strictEqual(yield* sent.state, "PENDING")
  })
}

onEach(
  "our client and Python's worker: calls",
  { everywhere, stored },
  {
    peers: ({ backend, broker }) => Layer.effectDiscard(PythonWorker.start({ BROKER: broker, BACKEND: backend }))
  }
)
