import { Connection } from "@apium/hub/Connection"
import * as Queue from "@apium/hub/Queue"
import * as Task from "@apium/worker/task/Task"
import * as TaskError from "@apium/worker/task/TaskError"
import { Tasks } from "@apium/worker/task/Tasks"
import * as Worker from "@apium/worker/Worker"
import { assert, describe } from "@effect/vitest"
import { Effect, Exit, Layer, Schema, Scope } from "effect"
import { TestClock } from "effect/testing"
import { celery, consumers, settle, start, takeAll, test, waiting } from "../support/World.ts"

const plain = Task.make("proj.plain", { params: {} })

describe("a run", () => {
  test(
    "has a scope of its own, closed when it ends and before its result is known",
    Effect.gen(function* () {
      const log: Array<string> = []
      yield* start(
        {},
        Tasks.handle(plain, () =>
          Effect.gen(function* () {
            yield* Effect.addFinalizer(() => Effect.sync(() => void log.push("closed")))
            log.push("ran")
          })
        )
      )
      yield* (yield* plain.delay({})).get
      assert.deepStrictEqual(log, ["ran", "closed"])
      yield* (yield* plain.delay({})).get
      assert.deepStrictEqual(log, ["ran", "closed", "ran", "closed"])
    })
  )

  test(
    "closes its scope when it fails, and interrupts what it forked there",
    Effect.gen(function* () {
      let interrupted = false
      yield* start(
        {},
        Tasks.handle(plain, () =>
          Effect.gen(function* () {
            const scope = yield* Scope.Scope
            yield* Effect.never.pipe(
              Effect.onInterrupt(() => Effect.sync(() => void (interrupted = true))),
              Effect.forkIn(scope, { startImmediately: true })
            )
            return yield* Effect.die("boom")
          })
        )
      )
      yield* Effect.exit((yield* plain.delay({})).get)
      assert.isTrue(interrupted)
    })
  )
})

describe("a result that its definition admits and no message can carry", () => {
  const anything = Task.make("proj.anything", { params: {}, result: Schema.Unknown })
  for (const [what, value] of [
    ["a function", () => 1],
    ["a function inside", { deep: [() => 1] }],
    ["a symbol", Symbol("s")]
  ] as const) {
    test(
      `fails its task: ${what}`,
      Effect.gen(function* () {
        yield* start(
          {},
          Tasks.handle(anything, () => Effect.succeed(value))
        )
        const error = yield* Effect.flip((yield* anything.delay({})).get)
        assert.deepInclude(error, { _tag: "TaskFailed", state: "FAILURE", excType: "EncodeError" })
      })
    )
  }

  test(
    "but nothing at all is null",
    Effect.gen(function* () {
      yield* start(
        {},
        Tasks.handle(anything, () => Effect.undefined)
      )
      assert.isNull(yield* (yield* anything.delay({})).get)
    })
  )
})

describe("a handler that gives no Effect", () => {
  test(
    "as an async function of JavaScript does, fails its task with the reason, and settles its message",
    Effect.gen(function* () {
      const handler = (async () => {}) as unknown as () => Effect.Effect<void>
      const worker = yield* Scope.fork(yield* Effect.scope)
      yield* start({}, Tasks.handle(plain, handler)).pipe(Scope.provide(worker))
      const error = yield* Effect.flip((yield* plain.delay({})).get)
      assert.match(String(error), /TypeError: The handler of proj\.plain gave no Effect: is it an async function\?/)
      yield* Scope.close(worker, Exit.void)
      assert.strictEqual(yield* waiting("celery"), 0)
    })
  )
})

describe("a task that is given back again and again", () => {
  const poison = Task.make("proj.poison", { params: {}, maxDeliveries: 3 })

  test(
    "is dead-lettered with its reason after maxDeliveries, and its sender sees a failure",
    Effect.gen(function* () {
      let runs = 0
      yield* start(
        {},
        Tasks.handle(poison, () => {
          runs++
          return Effect.fail(new TaskError.Reject({ requeue: true }))
        })
      )
      const error = yield* Effect.flip((yield* poison.delay({})).get)
      assert.strictEqual(error._tag === "TaskFailed" ? error.excType : error._tag, "TooManyDeliveries")
      assert.strictEqual(runs, 3)
      yield* settle
      const [dead] = yield* takeAll("celery.dead")
      assert.strictEqual(dead?.message.headers["x-apium-reason"], "deliveries")
      assert.strictEqual(dead?.message.headers.task, "proj.poison")
      assert.strictEqual(yield* waiting("celery"), 0)
    })
  )
})

describe("what is no Effect, deep inside of a handler", () => {
  test(
    "is a failure to the sender, and the worker goes on",
    Effect.gen(function* () {
      const bad = Task.make("proj.bad", { params: {} })
      yield* start(
        {},
        Tasks.handle(bad, () => Effect.flatMap(Effect.void, () => undefined as never)),
        Tasks.handle(plain, () => Effect.void)
      )
      const error = yield* Effect.flip((yield* bad.delay({})).get)
      assert.strictEqual(error._tag, "TaskFailed")
      yield* (yield* plain.delay({})).get
    })
  )
})

describe("a worker that can no longer consume", () => {
  test(
    "tries again until it can",
    Effect.gen(function* () {
      const connection = yield* Connection
      yield* start(
        {},
        Tasks.handle(plain, () => Effect.void)
      )
      const other = Queue.priority(5)(Queue.make("celery"))
      // Deleted and declared by somebody with other properties: declaring it again is refused (406), and no fresh link helps.
      yield* connection.use((channel) => Effect.andThen(channel.queueDelete("celery"), channel.queueDeclare(other)))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* consumers("celery"), 0)
      yield* connection.use((channel) => channel.queueDelete("celery"))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* consumers("celery"), 1)
      yield* (yield* plain.delay({})).get
    })
  )
})

describe("a worker whose queues the broker refuses", () => {
  test(
    "is not started, and says what was refused",
    Effect.gen(function* () {
      yield* start({ queues: [celery] })
      const other = Queue.priority(5)(Queue.make("celery"))
      const error = yield* Effect.flip(Effect.scoped(Layer.build(Worker.layer({ queues: [other], concurrency: 1 }))))
      assert.strictEqual(error.reason._tag === "ChannelClosed" ? error.reason.replyCode : error.reason._tag, 406)
    })
  )
})
