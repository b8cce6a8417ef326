import { Connection } from "@apium/hub/Connection"
import type { Delivery } from "@apium/hub/Delivery"
import * as Exchange from "@apium/hub/Exchange"
import * as Mailbox from "@apium/hub/Mailbox"
import * as HubQueue from "@apium/hub/Queue"
import type * as EventMessage from "@apium/protocol/celery/EventMessage"
import * as Consumer from "@apium/hub/Consumer"
import * as EventDispatcher from "@apium/worker/events/EventDispatcher"
import * as EventReceiver from "@apium/worker/events/EventReceiver"
import * as LogicalClock from "@apium/worker/events/LogicalClock"
import * as Retry from "@apium/worker/task/Retry"
import * as Task from "@apium/worker/task/Task"
import { Reject } from "@apium/worker/task/TaskError"
import { Tasks } from "@apium/worker/task/Tasks"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Fiber, Latch, Layer, Queue, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import { differences, workerLife } from "../support/Fixtures.ts"
import { bodyOf, cut, headers, inject, json, settle, start, test } from "../support/World.ts"

const add = Task.make("proj.add", {
  params: { x: Schema.Number, y: Schema.Number },
  result: Schema.Number,
  retry: Retry.fixed({ maxRetries: 1, delay: "1 second" })
})

/** Every message on the exchange of events, from now on. */
const messages = Effect.gen(function* () {
  const seen = yield* Queue.unbounded<Delivery>()
  const queue = HubQueue.bindTo(Exchange.topic("celeryev"), "#")(HubQueue.temporary("events"))
  yield* Effect.forkScoped(
    Stream.runForEach(Consumer.stream([queue], { noAck: true }), (delivery) => Queue.offer(seen, delivery))
  )
  yield* settle
  return Effect.andThen(settle, Queue.clear(seen))
})

const received = Effect.gen(function* () {
  const seen = yield* Queue.unbounded<EventMessage.Event>()
  yield* Effect.forkScoped(Stream.runForEach(EventReceiver.stream(), (event) => Queue.offer(seen, event)))
  yield* settle
  return Effect.andThen(settle, Queue.clear(seen))
})

const dispatcherWith = (options: Partial<EventDispatcher.Options>, clock?: LogicalClock.LogicalClock["Service"]) =>
  Effect.map(
    Layer.build(
      Layer.provide(
        EventDispatcher.layer({ hostname: "celery@a", ...options }),
        Layer.sync(LogicalClock.LogicalClock, () => clock ?? LogicalClock.make())
      )
    ),
    (context) => Context.get(context, EventDispatcher.EventDispatcher)
  )

const dispatcher = dispatcherWith({ events: true })

/** Seconds, and nothing of interest. */
const beat = { freq: 2, active: 0, processed: 0, loadavg: [0, 0, 0], sw_ident: "apium", sw_ver: "1", sw_sys: "Linux" }

const types = (deliveries: ReadonlyArray<Delivery>) => deliveries.map(({ route }) => route.routingKey)

describe("the dispatcher", () => {
  test(
    "sends the task events of one turn as one list, on task.multi",
    Effect.gen(function* () {
      const seen = yield* messages
      const events = yield* dispatcher
      yield* TestClock.setTime(1_700_000_000_250)
      for (let index = 0; index < 5; index++) events.send("task-started", { uuid: `t${index}` })
      const [only, ...others] = yield* seen
      assert.deepStrictEqual(others, [])
      assert.strictEqual(only!.route.routingKey, "task.multi")
      assert.strictEqual(only!.route.exchange, "celeryev")
      assert.strictEqual(only!.message.headers.hostname, "celery@a")
      assert.strictEqual(only!.message.properties.deliveryMode, "transient")
      const list = (yield* bodyOf(only!)) as ReadonlyArray<Record<string, unknown>>
      assert.deepStrictEqual(
        list.map(({ uuid }) => uuid),
        ["t0", "t1", "t2", "t3", "t4"]
      )
      const { utcoffset, ...first } = list[0]!
      assert.deepStrictEqual(first, {
        type: "task-started",
        hostname: "celery@a",
        pid: 0,
        clock: 1,
        timestamp: 1_700_000_000.25,
        uuid: "t0"
      })
      assert.strictEqual(typeof utcoffset, "number")
    })
  )

  test(
    "sends when there are 24, and each event once and in order",
    Effect.gen(function* () {
      const seen = yield* messages
      const events = yield* dispatcher
      for (let index = 0; index < 100; index++) events.send("task-started", { uuid: `t${index}` })
      const lists = yield* Effect.forEach(yield* seen, bodyOf)
      const all = (lists as ReadonlyArray<ReadonlyArray<Record<string, unknown>>>).flat()
      assert.deepStrictEqual(
        all.map(({ uuid, clock }) => [uuid, clock]),
        Array.from({ length: 100 }, (_, index) => [`t${index}`, index + 1])
      )
      assert.strictEqual((lists[0] as ReadonlyArray<unknown>).length, 24)
    })
  )

  test(
    "sends an event of any other kind alone, under its own name",
    Effect.gen(function* () {
      const seen = yield* messages
      const events = yield* dispatcher
      events.send("worker-online", beat)
      events.send("worker-heartbeat", { ...beat, active: 1 })
      events.send("task-progress", { uuid: "t", current: 1 })
      const deliveries = yield* seen
      assert.deepStrictEqual(types(deliveries), ["worker.online", "worker.heartbeat", "task.progress"])
      for (const delivery of deliveries) assert.isFalse(Array.isArray(yield* bodyOf(delivery)))
    })
  )

  test(
    "sends what a worker says of itself, and what a task says itself, whether or not task events are on",
    Effect.gen(function* () {
      const seen = yield* messages
      const events = yield* dispatcherWith({})
      assert.isFalse(events.enabled())
      events.send("task-started", { uuid: "t" })
      events.send("task-progress", { uuid: "t" })
      events.send("worker-online", beat)
      assert.deepStrictEqual(types(yield* seen), ["task.progress", "worker.online"])
    })
  )

  test(
    "turns task events on and off at run time, unless they were on from the start",
    Effect.gen(function* () {
      const seen = yield* messages
      const events = yield* dispatcherWith({})
      assert.deepStrictEqual(
        [events.disable(), events.enable(), events.enable(), events.enabled()],
        [false, true, false, true]
      )
      events.send("task-started", { uuid: "t" })
      assert.deepStrictEqual(types(yield* seen), ["task.multi"])
      assert.deepStrictEqual([events.disable(), events.disable(), events.enabled()], [true, false, false])
      events.send("task-started", { uuid: "t" })
      assert.deepStrictEqual(types(yield* seen), [])
      const always = yield* dispatcherWith({ events: true })
      assert.deepStrictEqual([always.enable(), always.disable(), always.enabled()], [false, false, true])
    })
  )

  test(
    "dates them by the clock of the worker",
    Effect.gen(function* () {
      const seen = yield* messages
      const clock = LogicalClock.make()
      const events = yield* dispatcherWith({ events: true }, clock)
      clock.adjust(40)
      events.send("worker-online", beat)
      const [online] = yield* seen
      assert.strictEqual(((yield* bodyOf(online!)) as { readonly clock: number }).clock, 42)
      assert.strictEqual(clock.value(), 42)
    })
  )

  test(
    "sends what was said last when it closes",
    Effect.gen(function* () {
      const seen = yield* messages
      yield* Effect.scoped(
        Effect.map(dispatcher, (events) => {
          events.send("task-started", { uuid: "last" })
          events.send("worker-offline", beat)
        })
      )
      assert.deepStrictEqual(types(yield* seen), ["task.multi", "worker.offline"])
    })
  )

  test(
    "sends what was said last while something else is on its way",
    Effect.gen(function* () {
      const seen = yield* messages
      const connection = yield* Connection
      const gate = yield* Latch.make(false)
      const slow: Connection["Service"] = {
        ...connection,
        publish: (...what) => Effect.andThen(gate.await, connection.publish(...what))
      }
      const closing = yield* Effect.forkChild(
        Effect.scoped(
          Effect.gen(function* () {
            const events = yield* Effect.provideService(dispatcher, Connection, slow)
            events.send("worker-online", beat)
            yield* settle
            events.send("worker-offline", beat)
          })
        )
      )
      yield* settle
      yield* gate.open
      yield* Fiber.join(closing)
      assert.deepStrictEqual(types(yield* seen), ["worker.online", "worker.offline"])
    })
  )

  test(
    "keeps a bounded number while the broker takes none, and the newest of them",
    Effect.gen(function* () {
      const connection = yield* Connection
      const sent: Array<number> = []
      const broken = yield* Latch.make(false)
      const slow: Connection["Service"] = {
        ...connection,
        publish: (message) =>
          Effect.andThen(
            broken.await,
            Effect.sync(() => void sent.push([JSON.parse(new TextDecoder().decode(message.body))].flat().length))
          )
      }
      const events = yield* Effect.provideService(dispatcher, Connection, slow)
      for (let index = 0; index < 30_000; index++) {
        if (index % 2 === 0) events.send("task-started", { uuid: `t${index}` })
        else events.send("task-progress", { uuid: `t${index}` })
        if (index % 100 === 0) yield* Effect.yieldNow
      }
      yield* settle
      yield* broken.open
      while (sent.length < 4900) yield* Effect.yieldNow
      yield* settle
      const total = sent.reduce((sum, count) => sum + count, 0)
      assert.isAtMost(total, 10_100)
      assert.isAtLeast(total, 10_000)
    })
  )

  test(
    "does not keep a worker from stopping when there is no broker",
    Effect.gen(function* () {
      const connection = yield* Connection
      const away: Connection["Service"] = { ...connection, publish: () => Effect.never }
      const closing = yield* Effect.forkChild(
        Effect.scoped(
          Effect.map(Effect.provideService(dispatcher, Connection, away), (events) => {
            events.send("task-started", { uuid: "t" })
          })
        )
      )
      yield* settle
      yield* TestClock.adjust("1 second")
      yield* settle
      assert.isDefined(closing.pollUnsafe())
    })
  )
})

describe("the receiver", () => {
  test(
    "reads lists and single events, and goes on after messages that are none",
    Effect.gen(function* () {
      const seen = yield* received
      const events = yield* dispatcher
      const connection = yield* Connection
      events.send("task-started", { uuid: "a" })
      yield* settle
      for (const text of ["", "not json", "5", "[1]", "{}", `{"type": 7, "hostname": "h"}`, `[{"type": "x"}]`]) {
        yield* connection.publish(json(text), { exchange: "celeryev", routingKey: "task.multi" })
      }
      yield* connection.publish(
        { ...json("x"), properties: { contentType: "application/x-python-serialize" } },
        { exchange: "celeryev", routingKey: "task.multi" }
      )
      events.send("worker-online", beat)
      const all = yield* seen
      assert.deepStrictEqual(
        all.map(({ type, hostname, fields }) => [type, hostname, fields]),
        [
          ["task-started", "celery@a", { uuid: "a" }],
          ["worker-online", "celery@a", beat]
        ]
      )
    })
  )

  test(
    "hears only what its pattern asks for",
    Effect.gen(function* () {
      const seen = yield* Queue.unbounded<EventMessage.Event>()
      yield* Effect.forkScoped(
        Stream.runForEach(EventReceiver.stream({ routingKey: "worker.#" }), (event) => Queue.offer(seen, event))
      )
      yield* settle
      const events = yield* dispatcher
      events.send("task-started", { uuid: "a" })
      events.send("worker-offline", beat)
      yield* settle
      assert.deepStrictEqual(
        (yield* Queue.clear(seen)).map(({ type }) => type),
        ["worker-offline"]
      )
    })
  )

  test(
    "says when it listens, on each link, and from then on misses nothing",
    Effect.gen(function* () {
      const events = yield* dispatcher
      const ready = yield* Queue.unbounded<void>()
      const seen = yield* Queue.unbounded<string>()
      yield* Effect.forkScoped(
        Stream.runForEach(EventReceiver.stream({ onReady: Effect.asVoid(Queue.offer(ready, undefined)) }), ({ type }) =>
          Queue.offer(seen, type)
        )
      )
      yield* Queue.take(ready)
      events.send("worker-online", beat)
      assert.strictEqual(yield* Queue.take(seen), "worker-online")
      yield* cut
      yield* TestClock.adjust("2 seconds")
      yield* Queue.take(ready)
      events.send("worker-offline", beat)
      assert.strictEqual(yield* Queue.take(seen), "worker-offline")
    })
  )

  test(
    "has all workers say that they are there, unless it is not to",
    Effect.gen(function* () {
      const asked = yield* Queue.unbounded<string>()
      yield* Effect.forkScoped(
        Mailbox.serve("spy@wire", (method) => Effect.as(Queue.offer(asked, method), Mailbox.noReply))
      )
      yield* settle
      yield* Effect.forkScoped(Stream.runDrain(EventReceiver.stream({ wakeup: false })))
      yield* settle
      assert.deepStrictEqual(yield* Queue.clear(asked), [])
      yield* Effect.forkScoped(Stream.runDrain(EventReceiver.stream()))
      yield* settle
      assert.deepStrictEqual(yield* Queue.clear(asked), ["heartbeat"])
    })
  )

  test(
    "sets its clock past each event, and does not believe a client's",
    Effect.gen(function* () {
      const clock = LogicalClock.make()
      const seen = yield* Queue.unbounded<EventMessage.Event>()
      yield* Effect.forkScoped(
        Stream.runForEach(EventReceiver.stream({ clock, wakeup: false }), (event) => Queue.offer(seen, event))
      )
      yield* settle
      const connection = yield* Connection
      const send = (type: string, more: string) =>
        connection.publish(json(`{"type": "${type}", "hostname": "h"${more}}`), {
          exchange: "celeryev",
          routingKey: type.replace("-", ".")
        })
      yield* send("worker-online", `, "clock": 40`)
      yield* send("task-sent", `, "clock": 9000`)
      yield* send("worker-online", "")
      yield* send("worker-online", `, "clock": 10`)
      yield* send("worker-online", `, "clock": 1e300`)
      yield* settle
      assert.deepStrictEqual(
        (yield* Queue.clear(seen)).map((event) => event.clock),
        [40, 40, 43, 10, 1e300]
      )
      assert.strictEqual(clock.value(), 45)
    })
  )
})

describe("a worker with events", () => {
  const run = (handler: Effect.Effect<number, Reject>, send: Effect.Effect<unknown, unknown, Connection>) =>
    Effect.gen(function* () {
      const seen = yield* received
      yield* start(
        { events: true, name: "celery@a" },
        Tasks.handle(add, () => handler)
      )
      yield* send
      yield* settle
      yield* TestClock.adjust("1 second")
      return (yield* seen).filter(({ type }) => type.startsWith("task-"))
    })

  const body = `[[2, 3], {}, null]`
  const one = inject(json(body, headers("proj.add", "t1", { argsrepr: "(2, 3)", kwargsrepr: "{}" })))

  test(
    "says received, started, succeeded, with Python's field names",
    Effect.gen(function* () {
      const events = yield* run(Effect.succeed(5), one)
      assert.deepStrictEqual(
        events.map(({ type }) => type),
        ["task-received", "task-started", "task-succeeded"]
      )
      assert.deepStrictEqual(events[0]!.fields, {
        uuid: "t1",
        name: "proj.add",
        args: "(2, 3)",
        kwargs: "{}",
        root_id: "t1",
        parent_id: null,
        retries: 0,
        eta: null,
        expires: null
      })
      assert.deepStrictEqual(events[1]!.fields, { uuid: "t1" })
      const { runtime, ...rest } = events[2]!.fields
      assert.deepStrictEqual(rest, { uuid: "t1", result: "5" })
      assert.isAtLeast(Number(runtime), 0)
      assert.isTrue(events.every(({ hostname }) => hostname === "celery@a"))
    })
  )

  test(
    "says retried and then failed, with the exception as Python shows it",
    Effect.gen(function* () {
      const events = yield* run(Effect.die(new Error("it's bad")), one)
      assert.deepStrictEqual(
        events.map(({ type }) => type),
        ["task-received", "task-started", "task-retried", "task-received", "task-started", "task-failed"]
      )
      for (const at of [2, 5]) {
        const { traceback, ...rest } = events[at]!.fields
        assert.deepStrictEqual(rest, { uuid: "t1", exception: `Error("it's bad")` })
        assert.include(JSON.stringify(traceback), "it's bad")
      }
      assert.deepStrictEqual(
        [events[3]!.fields.retries, events[3]!.fields.parent_id, events[3]!.fields.eta],
        [1, "t1", "1970-01-01T00:00:01+00:00"]
      )
    })
  )

  test(
    "says rejected, revoked and not registered",
    Effect.gen(function* () {
      const rejected = yield* run(Effect.fail(new Reject({ requeue: false })), one)
      assert.deepStrictEqual(rejected.at(-1)?.fields, { uuid: "t1", requeue: false })
    })
  )

  test(
    "says that a task expired, and that one is not known",
    Effect.gen(function* () {
      const events = yield* run(
        Effect.succeed(1),
        Effect.andThen(
          inject(json(body, headers("proj.add", "old", { expires: "1960-01-01T00:00:00+00:00" }))),
          inject(json(body, headers("no.such", "what")))
        )
      )
      assert.deepStrictEqual(
        events.map(({ type, fields }) => [type, fields]),
        [
          ["task-revoked", { uuid: "old", terminated: false, signum: null, expired: true }],
          ["task-failed", { uuid: "what", exception: "NotRegistered('no.such')" }]
        ]
      )
    })
  )

  test(
    "says what protocol 1 was called with, whatever that was",
    Effect.gen(function* () {
      const events = yield* run(
        Effect.succeed(1),
        inject(json(`{"task": "proj.add", "id": "v1", "args": [1, 36893488147419103232], "kwargs": {}}`))
      )
      assert.deepStrictEqual(
        [events[0]?.type, events[0]?.fields.args, events[0]?.fields.kwargs],
        ["task-received", "(1, 36893488147419103232)", "{}"]
      )
      assert.strictEqual(events.at(-1)?.type, "task-failed")
    })
  )

  test(
    "says nothing of its tasks without being asked",
    Effect.gen(function* () {
      const seen = yield* received
      yield* start(
        {},
        Tasks.handle(add, () => Effect.succeed(1))
      )
      yield* one
      yield* settle
      assert.deepStrictEqual(
        (yield* seen).map(({ type }) => type),
        ["worker-online"]
      )
    })
  )

  test(
    "says all its life what Python's would, field by field",
    Effect.gen(function* () {
      const seen = yield* messages
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* start(
            { events: true, name: "worker1@wire" },
            Tasks.handle(add, () => Effect.succeed(5))
          )
          yield* one
          yield* settle
          yield* TestClock.adjust("2 seconds")
          yield* settle
        })
      )
      const life = workerLife()
      const said = yield* Effect.map(
        Effect.forEach(yield* seen, (delivery) =>
          Effect.map(bodyOf(delivery), (body) =>
            ([body].flat() as ReadonlyArray<Record<string, unknown>>).map((event) => ({
              routingKey: delivery.route.routingKey,
              event
            }))
          )
        ),
        (all) => all.flat()
      )
      assert.deepStrictEqual(
        said.map(({ event }) => event.type),
        ["worker-online", "task-received", "task-started", "task-succeeded", "worker-heartbeat", "worker-offline"]
      )
      for (const { routingKey, event } of said) {
        const python = life.find((other) => other.event.type === event.type)!
        assert.strictEqual(routingKey, python.routingKey)
        assert.deepStrictEqual(differences(event, python.event, String(event.type)), [])
      }
      assert.deepStrictEqual(
        said.map(({ event }) => event.clock),
        [1, 2, 3, 4, 5, 6]
      )
    })
  )
})

it("the logical clock goes forward, and past what it hears", () => {
  const clock = LogicalClock.make()
  assert.deepStrictEqual([clock.forward(), clock.forward(), clock.value()], [1, 2, 2])
  assert.deepStrictEqual([clock.adjust(10), clock.adjust(3), clock.forward()], [11, 12, 13])
  // No peer can wind it so far that it stands still.
  assert.deepStrictEqual([clock.adjust(Number.MAX_VALUE), clock.adjust(2 ** 60), clock.adjust(0.5)], [14, 15, 16])
})
