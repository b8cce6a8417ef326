/** Queues that come and go while a worker works: what is in its hands, and what is not. */
import * as Queue from "@apium/hub/Queue"
import * as Topology from "@apium/hub/Topology"
import { Connection } from "@apium/hub/Connection"
import { Client } from "@apium/worker/client/Client"
import { queueNamed } from "@apium/worker/client/Publisher"
import * as Blueprint from "@apium/worker/Blueprint"
import * as Control from "@apium/worker/control/Control"
import { Requests } from "@apium/worker/execution/Requests"
import * as Profile from "@apium/worker/Profile"
import * as Retry from "@apium/worker/task/Retry"
import * as Task from "@apium/worker/task/Task"
import { TaskContext } from "@apium/worker/task/TaskContext"
import { Tasks } from "@apium/worker/task/Tasks"
import * as Worker from "@apium/worker/Worker"
import { assert, describe } from "@effect/vitest"
import { Context, Deferred, Effect, Fiber, Layer, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import { celery, consumers, cut, ended, settle, start, test, waiting } from "../support/World.ts"

const work = Task.make("q.work", { params: { n: Schema.Number }, result: Schema.Number })
const again = Task.make("q.again", {
  params: {},
  error: Schema.String,
  retry: Retry.fixed({ maxRetries: 1, delay: "1 second" })
})
const name = "celery@a"
const to = { destination: [name], reply: true }

/** A worker of `celery`, whose handlers wait at a gate; what began, in order. */
const worker = Effect.fnUntraced(function* (options: Partial<Worker.Options> = {}) {
  const gate = yield* Deferred.make<void>()
  const began: Array<number> = []
  yield* start(
    { name, concurrency: 2, ...options },
    Tasks.handle(work, ({ n }) => {
      began.push(n)
      return Effect.as(Deferred.await(gate), n)
    })
  )
  // A worker waits for what runs.
  yield* Effect.addFinalizer(() => Deferred.succeed(gate, undefined))
  return { began, open: Effect.andThen(Deferred.succeed(gate, undefined), settle) }
})

const send = (n: number, queue: string) => Effect.andThen(work.applyAsync({ n }, { queue, taskId: `t${n}` }), settle)

const names = Effect.map(Control.inspect.activeQueues(to), ([only]) =>
  Control.isFailed(only!.reply) ? [] : only!.reply.map((queue) => queue.name)
)

const said = (replies: Control.Replies<Control.Done>) => Effect.map(replies, ([only]) => only!.reply)

/** Somebody who consumes it alone, until interrupted. */
const exclusively = (name: string) =>
  Effect.gen(function* () {
    const channel = yield* (yield* Connection).channel
    yield* Topology.declare(channel, { queues: [queueNamed(name)] })
    yield* Stream.runDrain(channel.consume(name, { exclusive: true }))
  }).pipe(Effect.scoped, Effect.forkChild, Effect.tap(settle))

describe("a queue that is added", () => {
  test(
    "is declared, consumed and shown, and once is enough",
    Effect.gen(function* () {
      const { began } = yield* worker()
      yield* send(1, "mail")
      assert.deepStrictEqual(began, [])
      assert.deepStrictEqual(yield* said(Control.addConsumer("mail", to)), { ok: "add consumer mail" })
      yield* settle
      assert.deepStrictEqual(began, [1])
      assert.deepStrictEqual(yield* said(Control.addConsumer("mail", to)), { ok: "already consuming from 'mail'" })
      assert.deepStrictEqual(yield* names, ["celery", "mail"])
      assert.strictEqual(yield* consumers("mail"), 1)
    })
  )

  test(
    "is bound as it was said",
    Effect.gen(function* () {
      const { began } = yield* worker()
      yield* Control.addConsumer("audit", { ...to, exchange: "events", exchangeType: "topic", routingKey: "user.#" })
      const client = yield* Client
      yield* client.send(work, { n: 1 }, { exchange: "events", routingKey: "user.left" })
      yield* settle
      assert.deepStrictEqual(began, [1])
    })
  )

  test(
    "shares the window of the others, and is consumed again on the next link",
    Effect.gen(function* () {
      const { began, open } = yield* worker({ prefetchMultiplier: 1 })
      yield* Control.addConsumer("mail", to)
      for (const n of [1, 2, 3]) yield* send(n, "mail")
      assert.deepStrictEqual(began, [1, 2])
      yield* cut
      yield* TestClock.adjust("2 seconds")
      yield* settle
      assert.strictEqual(yield* consumers("mail"), 1)
      yield* open
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* ended("t3")).status, "SUCCESS")
      assert.deepStrictEqual(began, [1, 2, 3])
    })
  )

  test(
    "gets what is sent again as it was described, and not as a plain one, which the broker would refuse",
    Effect.gen(function* () {
      const attempts: Array<number> = []
      yield* start(
        { name },
        Tasks.handle(again, () =>
          Effect.flatMap(TaskContext, ({ retries }) => {
            attempts.push(retries)
            return retries === 0 ? Effect.fail("not yet") : Effect.void
          })
        )
      )
      yield* Control.addConsumer("brief", { ...to, options: { durable: false } })
      const client = yield* Client
      const sent = yield* client.send(again, {}, { exchange: "brief", routingKey: "brief" })
      yield* settle
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual((yield* ended(sent.id)).status, "SUCCESS")
      assert.deepStrictEqual(attempts, [0, 1])
    })
  )

  test(
    "that the broker refuses is an answer, and changes nothing",
    Effect.gen(function* () {
      const { began } = yield* worker()
      const connection = yield* Connection
      yield* connection.declare({ queues: [Queue.make("odd", { durable: false })] })
      const [refused] = yield* Control.addConsumer("odd", to)
      assert.match((refused!.reply as Control.Failed).error, /406|PRECONDITION/)
      assert.deepStrictEqual(yield* names, ["celery"])
      yield* send(1, "celery")
      assert.deepStrictEqual(began, [1])
    })
  )

  test(
    "where somebody else is exclusive is an answer, and the others go on at once, over and over",
    Effect.gen(function* () {
      const { began, open } = yield* worker()
      const other = yield* exclusively("mail")
      yield* send(1, "celery")
      for (const _ of [1, 2, 3]) {
        const [refused] = yield* Control.addConsumer("mail", to)
        assert.match((refused!.reply as Control.Failed).error, /ACCESS_REFUSED - queue 'mail' in exclusive use/)
        assert.deepStrictEqual(yield* names, ["celery"])
        yield* settle
        // No time has passed.
        assert.strictEqual(yield* consumers("celery"), 1)
      }
      for (const n of [2, 3]) yield* send(n, "celery")
      assert.deepStrictEqual(began, [1, 2])
      yield* Fiber.interrupt(other)
      assert.deepStrictEqual(yield* said(Control.addConsumer("mail", to)), { ok: "add consumer mail" })
      yield* send(4, "mail")
      yield* open
      assert.deepStrictEqual(began, [1, 2, 3, 4])
      for (const n of began) assert.strictEqual((yield* ended(`t${n}`)).status, "SUCCESS")
    })
  )

  test(
    "between two links, and that the next one refuses, is dropped there",
    Effect.gen(function* () {
      const { began } = yield* worker()
      yield* Control.addConsumer("mail", to)
      yield* cut
      const other = yield* exclusively("mail")
      yield* TestClock.adjust("2 seconds")
      yield* settle
      assert.strictEqual(yield* consumers("mail"), 1)
      yield* send(1, "celery")
      assert.deepStrictEqual(began, [1])
      assert.deepStrictEqual(yield* names, ["celery"])
      yield* Fiber.interrupt(other)
    })
  )
})

describe("a queue that is cancelled", () => {
  for (const [title, profile] of [
    ["late", Profile.durable],
    ["early", Profile.celery]
  ] as const) {
    test(
      `leaves its tasks in hand to be finished, and the rest to others; acknowledged ${title}`,
      Effect.gen(function* () {
        const all = [1, 2, 3, 4, 5, 6, 7, 8]
        const { began, open } = yield* worker({ prefetchMultiplier: 2, profile })
        for (const n of all) yield* send(n, "celery")
        const before = yield* waiting("celery")
        assert.deepStrictEqual(yield* said(Control.cancelConsumer("celery", to)), {
          ok: "no longer consuming from celery"
        })
        assert.deepStrictEqual(yield* names, [])
        assert.strictEqual(yield* consumers("celery"), 0)
        yield* open
        // None is run twice, and those that nobody had are still there.
        assert.deepStrictEqual(began, all.slice(0, all.length - before))
        assert.strictEqual(yield* waiting("celery"), before)
        assert.isAtLeast(before, 1)
        for (const n of began) assert.strictEqual((yield* ended(`t${n}`)).status, "SUCCESS")
      })
    )
  }

  test(
    "is not consumed on the next link, the others are",
    Effect.gen(function* () {
      const { began } = yield* worker({ queues: [celery, queueNamed("mail")] })
      yield* Control.cancelConsumer("mail", to)
      yield* cut
      yield* TestClock.adjust("2 seconds")
      yield* settle
      yield* send(1, "mail")
      yield* send(2, "celery")
      assert.deepStrictEqual(began, [2])
      assert.strictEqual(yield* waiting("mail"), 1)
    })
  )

  test(
    "may be added again by its name, as the worker was told of it",
    Effect.gen(function* () {
      const special = Queue.priority(9)(queueNamed("special"))
      const { began } = yield* worker({ queues: [special] })
      yield* Control.cancelConsumer("special", to)
      assert.deepStrictEqual(yield* said(Control.addConsumer("special", to)), { ok: "add consumer special" })
      yield* settle
      const client = yield* Client
      yield* client.sendTask("q.work", [7], {}, { exchange: "special", routingKey: "special" })
      yield* settle
      assert.deepStrictEqual(began, [7])
    })
  )

  test(
    "that is not consumed is no mistake",
    Effect.gen(function* () {
      yield* worker()
      assert.deepStrictEqual(yield* said(Control.cancelConsumer("nobody", to)), {
        ok: "no longer consuming from nobody"
      })
      assert.deepStrictEqual(yield* names, ["celery"])
    })
  )

  test(
    "and added sixty times under load loses no task, and runs none twice",
    Effect.gen(function* () {
      const ran: Array<number> = []
      yield* Layer.build(
        Tasks.handle(work, ({ n }) =>
          Effect.as(
            Effect.andThen(
              Effect.yieldNow,
              Effect.sync(() => ran.push(n))
            ),
            n
          )
        )
      )
      const steps = Worker.blueprint({ queues: [celery], concurrency: 4, prefetchMultiplier: 2, name })
      const { addConsumer, cancelConsumer } = Context.get(yield* Layer.build(Blueprint.layer(steps)), Requests)
      const client = yield* Client
      for (let round = 0; round < 60; round++) {
        const first = round * 10
        yield* client.sendAll(
          work,
          Array.from({ length: 10 }, (_, index) => ({ n: first + index }))
        )
        // At another moment of the intake each time.
        yield* Effect.repeat(Effect.yieldNow, { times: round % 7 })
        yield* cancelConsumer("celery")
        yield* addConsumer(celery)
      }
      yield* settle
      while ((yield* waiting("celery")) > 0) yield* settle
      yield* settle
      assert.deepStrictEqual(
        ran.toSorted((a, b) => a - b),
        Array.from({ length: 600 }, (_, n) => n)
      )
    })
  )
})
