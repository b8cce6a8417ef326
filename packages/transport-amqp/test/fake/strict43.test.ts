import { Connection } from "@apium/hub/Connection"
import * as HubConsumer from "@apium/hub/Consumer"
import * as Mailbox from "@apium/hub/Mailbox"
import * as Producer from "@apium/hub/Producer"
import * as HubQueue from "@apium/hub/Queue"
import * as SimpleQueue from "@apium/hub/SimpleQueue"
import * as Method from "@apium/protocol/amqp/Method"
import * as AmqpTransport from "@apium/transport-amqp/AmqpTransport"
import * as FakeBroker from "@apium/transport-amqp/testing/FakeBroker"
import { Client, Control, EventReceiver, MemoryBackend, Task, Tasks, Worker } from "@apium/worker"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Fiber, Latch, Layer, Queue, Schema, type Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import { connect, logged, settle, until } from "../support/Fake.ts"

const add = Task.make("proj.add", { params: { x: Schema.Number, y: Schema.Number }, result: Schema.Number })

/** What RabbitMQ 4.3 would have refused, of what was sent. */
const deprecated = (fake: FakeBroker.FakeBroker["Service"]) =>
  fake
    .received()
    .filter(
      ({ method }) =>
        (method._tag === "basic.qos" && method.global) ||
        (method._tag === "queue.declare" && !method.passive && !method.durable && !method.exclusive)
    )

/** What the clients closed, or had closed on them. */
const closed = (fake: FakeBroker.FakeBroker["Service"]) =>
  fake.received().filter(({ method }) => method._tag === "channel.close-ok" || method._tag === "connection.close-ok")

/** A broker, and what connects a program of its own to it. */
const world = Effect.gen(function* () {
  const fake = yield* FakeBroker.make({ profile: "strict43", record: 100_000 })
  const connection = () =>
    Layer.fresh(Connection.layer.pipe(Layer.provide(AmqpTransport.layer("amqp://localhost//", fake.dial))))
  return { fake, connection }
})

const live = <A, E>(name: string, body: Effect.Effect<A, E, Scope.Scope>) => it.live(name, () => Effect.scoped(body))

describe("RabbitMQ 4.3", () => {
  const refused = [
    {
      what: "a transient queue that is not exclusive",
      says: Method.queueDeclare({ queue: "q" }),
      code: 541,
      text: /^INTERNAL_ERROR - Feature `transient_nonexcl_queues` is deprecated\./
    },
    {
      what: "x-queue-master-locator",
      says: Method.queueDeclare({ queue: "q", durable: true, arguments: { "x-queue-master-locator": "min-masters" } }),
      code: 541,
      text: /^INTERNAL_ERROR - Feature `queue_master_locator` is deprecated\./
    },
    {
      what: "prefetch over a channel",
      says: Method.basicQos({ prefetchCount: 1, global: true }),
      code: 540,
      text: /^NOT_IMPLEMENTED - Feature `global_qos` is deprecated\./
    }
  ]

  it.effect("refuses what it has deprecated, and RabbitMQ 3.10 does not", () =>
    Effect.gen(function* () {
      const strict = yield* FakeBroker.make({ profile: "strict43" })
      const old = yield* FakeBroker.make({ profile: "3.10" })
      for (const { code, says, text, what } of refused) {
        const client = yield* logged(strict)
        yield* client.say(1, says)
        const close = yield* client.expect("connection.close")
        const { classId, methodId } = Method.infos[says._tag]
        assert.deepStrictEqual([close.replyCode, close.classId, close.methodId], [code, classId, methodId], what)
        assert.match(close.replyText, text)
        const before = yield* logged(old)
        yield* before.say(1, says)
        assert.strictEqual((yield* before.heard).method._tag, `${says._tag}-ok`, what)
        yield* before.say(1, Method.queueDelete({ queue: "q" }))
      }
    })
  )

  it.effect(
    "and 3.10 alike refuse quorum queues that are transient, exclusive, or have a classic queue's arguments",
    () =>
      Effect.gen(function* () {
        for (const profile of ["3.10", "strict43"] as const) {
          const fake = yield* FakeBroker.make({ profile })
          const connection = yield* connect(fake)
          const refusal = (queue: HubQueue.Queue) =>
            Effect.map(
              Effect.flip(
                Effect.flatMap(connection.channel, (channel) => channel.queueDeclare(HubQueue.quorum(queue)))
              ),
              ({ message }) => message
            )
          const transient = yield* refusal(HubQueue.make("q", { durable: false, exclusive: true }))
          assert.include(
            transient,
            "406 PRECONDITION_FAILED - invalid property 'non-durable' for queue 'q' in vhost '/'"
          )
          const lazy = HubQueue.withArguments({ "x-queue-mode": "lazy" })(HubQueue.make("q"))
          assert.include(yield* refusal(lazy), "406 PRECONDITION_FAILED - invalid arg 'x-queue-mode' for queue 'q'")
          // A classic one may have it; it does nothing.
          yield* Effect.flatMap(connection.channel, (channel) => channel.queueDeclare(lazy))
        }
      })
  )
})

describe("our defaults on RabbitMQ 4.3", () => {
  live(
    "publish, consume and put aside",
    Effect.gen(function* () {
      const { connection, fake } = yield* world
      const queue = HubQueue.make("work")
      yield* Effect.gen(function* () {
        const bodies = yield* Queue.unbounded<string>()
        yield* Effect.forkScoped(
          HubConsumer.run([queue], {
            concurrency: 4,
            handle: ({ message }) => Queue.offer(bodies, new TextDecoder().decode(message.body))
          })
        )
        const producer = yield* Producer.make(Schema.Struct({ n: Schema.Number }), {
          routingKey: "work",
          declare: [queue]
        })
        yield* producer.publish({ n: 1 })
        assert.strictEqual(yield* Queue.take(bodies), '{"n":1}')
        const simple = yield* SimpleQueue.make("thumbnails")
        yield* simple.put({ path: "cat" })
        const received = yield* simple.get()
        assert.deepStrictEqual(received.payload, { path: "cat" })
        yield* received.ack
      }).pipe(Effect.provide(connection()))
      assert.deepStrictEqual(deprecated(fake), [])
      assert.deepStrictEqual(closed(fake), [])
    })
  )

  live(
    "run a worker with its events, its heart and its remote control, and a client, without one thing it refuses",
    Effect.gen(function* () {
      const { connection, fake } = yield* world
      const AddLive = Tasks.handle(add, ({ x, y }) => Effect.succeed(x + y))
      const results = yield* Layer.build(MemoryBackend.layer)
      const Results = Layer.succeedContext(results)
      const WorkerLive = Worker.layer({
        queues: [HubQueue.make("celery"), HubQueue.quorum(HubQueue.make("safe"))],
        concurrency: 4,
        name: "celery@strict",
        events: true,
        heartbeatInterval: "50 millis"
      }).pipe(
        Layer.provide([AddLive]),
        Layer.provide(Tasks.layer),
        Layer.provide(Client.layer),
        Layer.provide([Results, connection()])
      )
      yield* Effect.gen(function* () {
        const ready = Latch.makeUnsafe()
        const types = new Set<string>()
        const watching = yield* Effect.forkScoped(
          EventReceiver.stream({ onReady: ready.open }).pipe(
            Stream.tap(({ type }) => Effect.sync(() => types.add(type))),
            Stream.takeUntil(() => types.has("worker-heartbeat") && types.has("task-succeeded")),
            Stream.runDrain
          )
        )
        yield* ready.await
        yield* Layer.build(WorkerLive)
        const sent = yield* Effect.all(
          Array.from({ length: 20 }, (_, x) => Effect.flatMap(add.delay({ x, y: 1 }), ({ get }) => get)),
          { concurrency: 5 }
        )
        assert.deepStrictEqual(
          sent,
          Array.from({ length: 20 }, (_, x) => x + 1)
        )
        assert.deepStrictEqual(
          (yield* Control.ping({ destination: ["celery@strict"], timeout: "10 seconds" })).map(({ node }) => node),
          ["celery@strict"]
        )
        const [stats] = yield* Control.inspect.stats({ destination: ["celery@strict"], timeout: "10 seconds" })
        assert.strictEqual(stats?.node, "celery@strict")
        yield* Fiber.join(watching)
      }).pipe(Effect.provide(Client.layer.pipe(Layer.provideMerge(connection()), Layer.provide(Results))))

      assert.deepStrictEqual(deprecated(fake), [])
      assert.deepStrictEqual(closed(fake), [])
      const declared = fake.received().flatMap(({ method }) => (method._tag === "queue.declare" ? [method.queue] : []))
      for (const queue of ["celery", "safe", "celery@strict.celery.pidbox"]) assert.include(declared, queue)
      assert.isTrue(declared.some((queue) => queue.startsWith("celeryev.")))
      assert.isTrue(declared.some((queue) => queue.endsWith(".reply.celery.pidbox")))
    })
  )

  it.effect("keep a task until its time on the lattice of queues, and no longer", () =>
    Effect.gen(function* () {
      const { connection, fake } = yield* world
      const ran: Array<number> = []
      const AddLive = Tasks.handle(add, ({ x, y }) =>
        Effect.map(Clock.currentTimeMillis, (now) => {
          ran.push(now)
          return x + y
        })
      )
      const Results = Layer.succeedContext(yield* Layer.build(MemoryBackend.layer))
      yield* Layer.build(
        Worker.layer({ queues: [HubQueue.make("celery")], concurrency: 4 }).pipe(
          Layer.provide([AddLive]),
          Layer.provide(Tasks.layer),
          Layer.provide(Client.layer),
          Layer.provide([Results, connection()])
        )
      )
      yield* Effect.gen(function* () {
        const result = yield* Effect.forkChild(
          Effect.flatMap(add.applyAsync({ x: 2, y: 3 }, { countdown: "1 minute" }), ({ get }) => get)
        )
        yield* settle
        for (let second = 0; second < 59; second++) yield* Effect.andThen(TestClock.adjust("1 second"), settle)
        assert.deepStrictEqual(ran, [])
        for (let second = 0; second < 3; second++) yield* Effect.andThen(TestClock.adjust("1 second"), settle)
        assert.strictEqual(yield* Fiber.join(result), 5)
        assert.isAtLeast(ran[0]!, 60_000)
      }).pipe(Effect.provide(Client.layer.pipe(Layer.provideMerge(connection()), Layer.provide(Results))))
      assert.deepStrictEqual(deprecated(fake), [])
      assert.isTrue(
        fake.received().some(({ method }) => "exchange" in method && method.exchange === "celery_delayed_27")
      )
    })
  )

  live(
    "answer remote control again after their links are cut, on queues of the new links",
    Effect.gen(function* () {
      const { connection, fake } = yield* world
      yield* Effect.gen(function* () {
        const ready = Latch.makeUnsafe()
        const node = Mailbox.serve("w1", () => Effect.succeed({ ok: "pong" }), { onReady: ready.open })
        yield* Effect.forkScoped(Effect.provide(node, connection()))
        yield* ready.await
        const ping = Stream.runCollect(
          Mailbox.broadcast({ method: "ping", destination: ["w1"] }, { timeout: "10 seconds" })
        )
        assert.strictEqual((yield* ping).length, 1)
        yield* fake.cut
        const consumed = () =>
          fake.received().filter(({ method }) => method._tag === "basic.consume" && method.queue === "w1.celery.pidbox")
        // What is sent while the node is away, it never sees.
        yield* until(() => consumed().length === 2)
        assert.strictEqual((yield* ping).length, 1)
      }).pipe(Effect.provide(connection()))
      assert.deepStrictEqual(deprecated(fake), [])
    })
  )
})
