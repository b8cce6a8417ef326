import * as Blueprint from "@apium/worker/Blueprint"
import * as Control from "@apium/worker/control/Control"
import { Panel } from "@apium/worker/control/Panel"
import * as EventReceiver from "@apium/worker/events/EventReceiver"
import * as Task from "@apium/worker/task/Task"
import { Tasks } from "@apium/worker/task/Tasks"
import { blueprint, layer, layerOf, Worker } from "@apium/worker/Worker"
import { assert, describe } from "@effect/vitest"
import { Context, Deferred, Effect, Fiber, Layer, Queue, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import { celery, settle, start, stored, test } from "../support/World.ts"

const hold = Task.make("proj.hold", { params: { n: Schema.Number }, acksLate: true })

const name = "celery@a"
const to = { destination: [name], reply: true }

/** What one worker says, and no error. */
const one = <A>(replies: Control.Replies<A>) =>
  Effect.map(replies, ([only]) => {
    const reply = only!.reply
    if (Control.isFailed(reply)) throw new Error(reply.error)
    return reply
  })

const holding = Effect.gen(function* () {
  const gate = yield* Deferred.make<void>()
  yield* start(
    { name, concurrency: 1 },
    Tasks.handle(hold, () => Deferred.await(gate))
  )
  yield* hold.applyAsync({ n: 1 }, { taskId: "t1" })
  yield* hold.applyAsync({ n: 2 }, { taskId: "t2" })
  yield* settle
  // A worker waits for what runs.
  yield* Effect.addFinalizer(() => Deferred.succeed(gate, undefined))
  return gate
})

describe("a whole worker", () => {
  test(
    "shows what runs and what waits, and counts it",
    Effect.gen(function* () {
      const gate = yield* holding
      const { inspect } = Control
      const active = yield* one(inspect.active(to))
      assert.deepStrictEqual(
        active.map(({ id, name, kwargs, time_start }) => [id, name, kwargs, time_start]),
        [["t1", "proj.hold", { n: 1 }, 0]]
      )
      assert.deepStrictEqual(
        (yield* one(inspect.reserved(to))).map(({ id }) => id),
        ["t2"]
      )
      assert.deepStrictEqual(yield* one(inspect.registered(to)), ["proj.hold"])
      assert.deepStrictEqual((yield* one(inspect.stats(to))).total, { "proj.hold": 1 })
      assert.deepStrictEqual(
        (yield* one(inspect.activeQueues(to))).map((queue) => queue.name),
        ["celery"]
      )
      yield* Deferred.succeed(gate, undefined)
      yield* settle
      assert.deepStrictEqual(yield* one(inspect.active(to)), [])
      assert.deepStrictEqual((yield* one(inspect.stats(to))).total, { "proj.hold": 2 })
    })
  )

  test(
    "does not run what its sender revoked",
    Effect.gen(function* () {
      const gate = yield* holding
      const result = yield* hold.applyAsync({ n: 3 }, { taskId: "t3" })
      yield* result.revoke()
      yield* settle
      assert.deepStrictEqual(yield* one(Control.inspect.revoked(to)), ["t3"])
      yield* Deferred.succeed(gate, undefined)
      yield* settle
      assert.strictEqual((yield* stored("t3"))?.status, "REVOKED")
      assert.deepStrictEqual((yield* one(Control.inspect.stats(to))).total, { "proj.hold": 2 })
    })
  )

  test(
    "ends what runs when it is terminated",
    Effect.gen(function* () {
      yield* holding
      assert.deepStrictEqual(yield* one(Control.terminate("t1", to)), { ok: "terminate: t1" })
      yield* settle
      assert.strictEqual((yield* stored("t1"))?.status, "REVOKED")
      assert.deepStrictEqual(
        (yield* one(Control.inspect.active(to))).map(({ id }) => id),
        ["t2"]
      )
    })
  )

  test(
    "takes a rate limit, and refuses one that is none",
    Effect.gen(function* () {
      yield* holding
      assert.deepStrictEqual(yield* one(Control.rateLimit("proj.hold", "10/m", to)), {
        ok: "new rate limit set successfully"
      })
      const [refused] = yield* Control.rateLimit("proj.hold", "bogus", to)
      assert.match((refused!.reply as Control.Failed).error, /^Invalid rate limit string: ValueError\(/)
      assert.deepStrictEqual(yield* one(Control.inspect.registered(to)), ["proj.hold [rate_limit=10/m]"])
    })
  )

  test(
    "sends task events once it is told to",
    Effect.gen(function* () {
      const gate = yield* holding
      yield* Deferred.succeed(gate, undefined)
      yield* settle
      const seen = yield* Queue.unbounded<string>()
      yield* Effect.forkScoped(Stream.runForEach(EventReceiver.stream(), ({ type }) => Queue.offer(seen, type)))
      yield* settle
      yield* hold.delay({ n: 3 })
      yield* settle
      // That it is there it says when the receiver asks.
      assert.deepStrictEqual(yield* Queue.clear(seen), ["worker-heartbeat"])
      assert.deepStrictEqual(yield* one(Control.enableEvents(to)), { ok: "task events enabled" })
      yield* hold.delay({ n: 4 })
      yield* settle
      assert.deepStrictEqual(yield* Queue.clear(seen), ["task-received", "task-started", "task-succeeded"])
    })
  )

  test(
    "takes a command of yours as a further step",
    Effect.gen(function* () {
      const Greet = Panel.command("greet", ({ who }) => Effect.succeed({ ok: `hello ${String(who)}` }))
      yield* Layer.build(
        layerOf(
          blueprint({ queues: [celery], concurrency: 1, name }).pipe(
            Blueprint.add("Greet", { requires: ["Control"], layer: Greet })
          )
        )
      )
      const replies = yield* Stream.runCollect(Control.broadcast("greet", { who: "you" }, to))
      assert.deepStrictEqual(replies, [{ node: name, reply: { ok: "hello you" } }])
    })
  )

  test(
    "is one of several, each with its own name, tasks and clock",
    Effect.gen(function* () {
      yield* start({ name: "celery@a" })
      yield* start({ name: "celery@b" })
      const asked = yield* Effect.forkChild(Control.inspect.stats({ timeout: "1 second" }))
      yield* settle
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual((yield* Fiber.join(asked)).map(({ node }) => node).toSorted(), ["celery@a", "celery@b"])
      assert.deepStrictEqual(yield* one(Control.enableEvents(to)), { ok: "task events enabled" })
      const [other] = yield* Control.disableEvents({ destination: ["celery@b"], reply: true })
      assert.deepStrictEqual(other?.reply, { ok: "task events already disabled" })
    })
  )

  test(
    "shuts down when it is told to, and answers until what ran has ended",
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      yield* Layer.build(Tasks.handle(hold, () => Deferred.await(gate)))
      const context = yield* Layer.build(layer({ queues: [celery], concurrency: 1, name }))
      const worker = Context.get(context, Worker)
      yield* hold.applyAsync({ n: 1 }, { taskId: "t1" })
      yield* settle
      const stopped = yield* Effect.forkChild(worker.stopped)
      yield* Control.shutdown({ destination: [name] })
      yield* settle
      assert.isUndefined(stopped.pollUnsafe())
      assert.deepStrictEqual(
        (yield* one(Control.inspect.active(to))).map(({ id }) => id),
        ["t1"]
      )
      yield* Deferred.succeed(gate, undefined)
      yield* settle
      assert.isDefined(stopped.pollUnsafe())
      assert.strictEqual((yield* stored("t1"))?.status, "SUCCESS")
    })
  )
})
