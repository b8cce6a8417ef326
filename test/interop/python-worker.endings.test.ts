/** A client of ours sends, and Debian's Celery runs: how tasks end that do not return, and what they say before. */
import type { AsyncResult } from "@apium/worker/client/AsyncResult"
import { Client } from "@apium/worker/client/Client"
import { ResultBackend } from "@apium/worker/client/ResultBackend"
import { assert } from "@effect/vitest"
import { Effect, Layer, Option, Schedule, Stream } from "effect"
import { failure, get, inTime, knownRevoked, limited } from "./support/asked.ts"
import { exhausted, ignores, order, OutOfStock, patient, rejects } from "./support/python.ts"
import * as PythonWorker from "./support/PythonWorker.ts"
import { type Check, onEach } from "./support/suites.ts"
import { add, fail, progress, sleep } from "./support/tasks.ts"

const begun = ({ changes }: Pick<AsyncResult<unknown>, "changes">) =>
  Stream.runHead(Stream.filter(changes, ({ state }) => state === "STARTED"))

const everywhere: Readonly<Record<string, Check>> = {
  "an exception of Python's": Effect.gen(function* () {
    const error = yield* failure(fail.delay({ text: "no good" }))
    assert.deepStrictEqual(
      [error.excType, error.excModule, error.excMessage, error.state],
      ["ValueError", "builtins", ["no good"], "FAILURE"]
    )
    assert.match(error.message, /ended as FAILURE: ValueError: no good$/)
    assert.include(Option.getOrThrow(error.traceback), "raise ValueError(text)")
  }),
  "an exception with a declared error's name, module and fields is that error": Effect.gen(function* () {
    const error = yield* Effect.flip(get(order.delay({ left: 2 })))
    assert.instanceOf(error, OutOfStock)
    assert.strictEqual(error.left, 2)
    const unknown = yield* failure((yield* Client).sendTask("proj.order", [2], {}))
    assert.deepStrictEqual([unknown.excType, unknown.excMessage[0]], ["OutOfStock", "2 left"])
  }),
  "retries that are used up": Effect.gen(function* () {
    const error = yield* failure(exhausted.delay({}))
    assert.deepStrictEqual([error.excType, error.excMessage], ["KeyError", ["again"]])
  }),
  "a soft time limit that the task catches": Effect.map(
    limited((softTimeLimit) => get(patient.applyAsync({ seconds: 600 }, { softTimeLimit }))),
    (value) => assert.strictEqual(value, "in time")
  ),
  "revoked before it began": Effect.gen(function* () {
    const sent = yield* inTime((countdown) =>
      Effect.gen(function* () {
        const sent = yield* add.applyAsync({ x: 1, y: 1 }, { countdown })
        yield* sent.revoke()
        yield* knownRevoked([sent.id])
        return sent
      })
    )
    assert.deepStrictEqual((yield* failure(Effect.succeed(sent))).excMessage, ["revoked"])
  }),
  "states of the task's own": Effect.gen(function* () {
    const listen = Effect.gen(function* () {
      const states = yield* Stream.runCollect((yield* progress.delay({})).changes)
      return [...states].filter(({ state }) => state !== "STARTED")
    })
    // Who listens late hears the last word alone: a machine may be held up for the second that the task takes.
    const states = yield* Effect.repeat(listen, { until: (states) => states.length > 1, times: 9 })
    assert.deepStrictEqual(states, [
      { state: "PROGRESS", meta: { done: 1, of: 2 } },
      { state: "SUCCESS", meta: "done" }
    ])
  }),
  "that it has begun, where the worker says so": Effect.gen(function* () {
    const sent = yield* add.delay({ x: 1, y: 1 })
    const states = yield* Stream.runCollect(sent.changes)
    // Who listens late hears the last word alone.
    for (const { state, meta } of states.slice(0, -1)) {
      assert.strictEqual(state, "STARTED")
      assert.hasAllKeys(meta, ["pid", "hostname"])
    }
    assert.deepStrictEqual(states.at(-1), { state: "SUCCESS", meta: 2 })
  })
}

const stored: Readonly<Record<string, Check>> = {
  "a soft time limit": Effect.map(
    limited((softTimeLimit) => failure(sleep.applyAsync({ seconds: 600 }, { softTimeLimit }))),
    ({ excType, excModule }) =>
      assert.deepStrictEqual([excType, excModule], ["SoftTimeLimitExceeded", "billiard.exceptions"])
  ),
  "one that runs is not revoked without": Effect.gen(function* () {
    const sent = yield* sleep.delay({ seconds: 1 })
    yield* begun(sent)
    yield* sent.revoke()
    assert.strictEqual(yield* sent.get, 1)
  }),
  "what asked to be ignored, or was rejected, has no result": Effect.gen(function* () {
    const sent = [yield* ignores.delay({}), yield* rejects.delay({})]
    const { get: look } = yield* ResultBackend
    // As far as they came.
    yield* Effect.repeat(
      Effect.forEach(sent, ({ id }) => look(id)),
      {
        until: (results) => results.every(Option.exists(({ status }) => status === "STARTED")),
        schedule: Schedule.spaced("20 millis")
      }
    )
    yield* Effect.forEach(Array.from({ length: 4 }), () => get(add.delay({ x: 1, y: 1 })), { concurrency: 4 })
    assert.deepStrictEqual(yield* Effect.forEach(sent, ({ state }) => state), ["STARTED", "STARTED"])
  })
}

const alone: Readonly<Record<string, Check>> = {
  "a hard time limit": Effect.map(failure(sleep.applyAsync({ seconds: 600 }, { timeLimit: "1 second" })), (error) =>
    assert.deepStrictEqual(
      [error.excType, error.excModule, error.excMessage],
      ["TimeLimitExceeded", "billiard.exceptions", [1]]
    )
  ),
  "terminated while it runs": Effect.gen(function* () {
    const sent = yield* sleep.delay({ seconds: 600 })
    yield* begun(sent)
    yield* sent.revoke({ terminate: true })
    const error = yield* failure(Effect.succeed(sent))
    assert.deepStrictEqual([error.state, error.excMessage], ["REVOKED", ["terminated"]])
  })
}

onEach(
  "our client and Python's worker: endings",
  { everywhere, stored, alone },
  {
    peers: ({ backend, broker }) =>
      Layer.effectDiscard(
        PythonWorker.start(
          { BROKER: broker, BACKEND: backend, CONF: JSON.stringify({ task_track_started: true }) },
          { concurrency: 6 }
        )
      )
  }
)
