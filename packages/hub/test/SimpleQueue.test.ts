import { Connection } from "@apium/hub/Connection"
import * as Exchange from "@apium/hub/Exchange"
import * as MemoryTransport from "@apium/hub/memory/MemoryTransport"
import * as Message from "@apium/hub/Message"
import * as HubQueue from "@apium/hub/Queue"
import * as Serializer from "@apium/hub/Serializer"
import * as SimpleQueue from "@apium/hub/SimpleQueue"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, pipe, Random, Schema, Scope } from "effect"
import { TestClock } from "effect/testing"
import { cut, settle } from "./support/links.ts"

const Broker = Connection.layer.pipe(Layer.provideMerge(MemoryTransport.layer))

const test = <A, E>(name: string, effect: Effect.Effect<A, E, Layer.Success<typeof Broker> | Scope.Scope>) =>
  it.effect(name, () => effect.pipe(Effect.provide(Broker), Random.withSeed(name)))

const messageCount = (queue: string) =>
  Effect.flatMap(Connection, (connection) =>
    connection.use((channel) =>
      Effect.map(channel.queueDeclare(HubQueue.make(queue), { passive: true }), (info) => info.messageCount)
    )
  )

describe("put and get", () => {
  test(
    "what is put comes out in order, typed by the schema, and is gone when it is acknowledged",
    Effect.gen(function* () {
      const queue = yield* SimpleQueue.make("dates", { schema: Schema.DateFromString })
      yield* queue.put(new Date(0))
      yield* queue.put(new Date(86_400_000))
      const first = yield* queue.get()
      const second = yield* queue.get()
      assert.deepStrictEqual([first.payload.getTime(), second.payload.getTime()], [0, 86_400_000])
      yield* first.ack
      yield* second.reject({ requeue: true })
      assert.strictEqual(yield* queue.size, 1)
      const again = yield* queue.get()
      assert.isTrue(again.delivery.redelivered)
      yield* again.ack
      assert.strictEqual(yield* queue.size, 0)
    })
  )

  test(
    "get waits for what is put later, and each of several waiters gets one",
    Effect.gen(function* () {
      const queue = yield* SimpleQueue.make("numbers", { schema: Schema.Finite })
      const waiters = yield* Effect.forEach([1, 2, 3], () => Effect.forkChild(queue.get({ timeout: "1 minute" })))
      yield* settle
      yield* Effect.forEach([1, 2, 3], (value) => queue.put(value))
      const received = yield* Effect.forEach(waiters, (waiter) => Fiber.join(waiter))
      assert.deepStrictEqual(
        received.map(({ payload }) => payload).toSorted((a, b) => a - b),
        [1, 2, 3]
      )
    })
  )

  test(
    "getNowait takes what is there or fails with Empty",
    Effect.gen(function* () {
      const queue = yield* SimpleQueue.make("numbers")
      const error = yield* Effect.flip(queue.getNowait)
      assert.deepStrictEqual(error, new SimpleQueue.Empty({ queue: "numbers" }))
      yield* queue.put({ any: ["thing"] })
      assert.deepStrictEqual((yield* queue.getNowait).payload, { any: ["thing"] })
    })
  )

  test(
    "noAck acknowledges by itself",
    Effect.gen(function* () {
      const queue = yield* SimpleQueue.make("numbers", { noAck: true })
      yield* queue.put(1)
      const received = yield* queue.get()
      yield* received.reject({ requeue: true })
      yield* received.ack
      assert.strictEqual(yield* queue.size, 0)
    })
  )

  test(
    "clear throws away what waits",
    Effect.gen(function* () {
      const queue = yield* SimpleQueue.make("numbers")
      assert.strictEqual(yield* queue.clear, 0)
      yield* queue.put(1, { priority: 3 })
      yield* queue.put(2)
      assert.strictEqual(yield* queue.clear, 2)
      assert.strictEqual(yield* queue.size, 0)
    })
  )

  test(
    "a compressed message comes out as it went in",
    Effect.gen(function* () {
      const queue = yield* SimpleQueue.make("text", { serializer: "text", compression: "gzip" })
      yield* queue.put("a".repeat(1000))
      const received = yield* queue.get()
      assert.isBelow(received.delivery.message.body.length, 100)
      assert.strictEqual(received.payload, "a".repeat(1000))
    })
  )

  test(
    "a name is declared as kombu does it, and a queue's first binding is where it publishes",
    Effect.gen(function* () {
      const connection = yield* Connection
      const named = yield* SimpleQueue.make("named")
      assert.strictEqual(yield* named.size, 0)
      yield* connection.publish(yield* Serializer.encode("by its exchange"), {
        exchange: "named",
        routingKey: "named",
        mandatory: true
      })
      assert.strictEqual((yield* named.get()).payload, "by its exchange")
      const bound = pipe(HubQueue.make("bound"), HubQueue.bindTo(Exchange.topic("events"), "user.#"))
      const queue = yield* SimpleQueue.make(bound)
      yield* queue.put("signed in", { routingKey: "user.login" })
      assert.deepStrictEqual((yield* queue.get()).delivery.route, { exchange: "events", routingKey: "user.login" })
    })
  )
})

describe("when nothing comes in time", () => {
  test(
    "get fails with Empty, and the next one finds what came after",
    Effect.gen(function* () {
      const queue = yield* SimpleQueue.make("numbers")
      const waiting = yield* Effect.forkChild(Effect.flip(queue.get({ timeout: "1 second" })))
      yield* settle
      yield* TestClock.adjust("999 millis")
      assert.isUndefined(waiting.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(yield* Fiber.join(waiting), new SimpleQueue.Empty({ queue: "numbers" }))
      const next = yield* Effect.forkChild(queue.get())
      yield* settle
      yield* queue.put(1)
      assert.strictEqual((yield* Fiber.join(next)).payload, 1)
    })
  )

  test(
    "a message that comes when nobody asks any more goes back to the queue",
    Effect.gen(function* () {
      const queue = yield* SimpleQueue.make("numbers")
      const timedOut = yield* Effect.forkChild(Effect.flip(queue.get({ timeout: "1 second" })))
      const interrupted = yield* Effect.forkChild(queue.get())
      yield* settle
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(timedOut)
      yield* Fiber.interrupt(interrupted)
      yield* queue.put(1)
      yield* settle
      assert.strictEqual(yield* messageCount("numbers"), 1)
      const received = yield* queue.getNowait
      assert.isTrue(received.delivery.redelivered)
    })
  )
})

describe("when things go wrong", () => {
  test(
    "whoever waits goes on waiting on the next link",
    Effect.gen(function* () {
      const queue = yield* SimpleQueue.make("numbers")
      const waiting = yield* Effect.forkChild(queue.get())
      yield* settle
      yield* cut
      yield* TestClock.adjust("5 seconds")
      yield* queue.put(1)
      const received = yield* Fiber.join(waiting)
      yield* received.ack
      assert.strictEqual(yield* queue.size, 0)
    })
  )

  test(
    "what was not acknowledged comes again on the next link, and settling it late is a no-op",
    Effect.gen(function* () {
      const queue = yield* SimpleQueue.make("numbers")
      yield* queue.put(1)
      const first = yield* queue.get()
      yield* cut
      yield* TestClock.adjust("5 seconds")
      yield* first.ack
      const getting = yield* Effect.forkChild(queue.get())
      yield* settle
      yield* TestClock.adjust("5 seconds")
      const second = yield* Fiber.join(getting)
      assert.deepStrictEqual([second.payload, second.delivery.redelivered], [1, true])
    })
  )

  test(
    "what was not acknowledged goes back when the scope closes",
    Effect.gen(function* () {
      yield* Effect.scoped(
        Effect.gen(function* () {
          const queue = yield* SimpleQueue.make("numbers")
          yield* queue.put(1)
          yield* queue.get()
          assert.strictEqual(yield* queue.size, 0)
        })
      )
      assert.strictEqual(yield* messageCount("numbers"), 1)
    })
  )

  test(
    "a message that cannot be read fails once, and is kept in the dead queue",
    Effect.gen(function* () {
      const connection = yield* Connection
      const queue = yield* SimpleQueue.make("numbers", { schema: Schema.Finite })
      yield* connection.declare({ queues: [HubQueue.make("numbers")] })
      const to = { exchange: "", routingKey: "numbers" }
      yield* connection.publish(Message.make(new Uint8Array([1]), { contentType: "application/json" }), to)
      yield* connection.publish(yield* Serializer.encode("two"), to)
      yield* queue.put(3)
      assert.strictEqual((yield* Effect.flip(queue.get()))._tag, "HubError")
      assert.strictEqual((yield* Effect.flip(queue.get()))._tag, "SchemaError")
      assert.strictEqual((yield* queue.get()).payload, 3)
      assert.strictEqual(yield* messageCount("numbers.dead"), 2)
    })
  )

  test(
    "a queue without a name gets one, which others can answer to, and keeps it over a lost link",
    Effect.gen(function* () {
      const connection = yield* Connection
      const replies = yield* SimpleQueue.make(HubQueue.temporary())
      const waiting = yield* Effect.forkChild(replies.get())
      yield* settle
      yield* cut
      yield* TestClock.adjust("2 seconds")
      const to = { exchange: "", routingKey: replies.name, mandatory: true }
      yield* connection.publish(yield* Serializer.encode("answer"), to)
      assert.strictEqual((yield* Fiber.join(waiting)).payload, "answer")
    })
  )

  test(
    "who waits when its scope closes, or asks after that, is told",
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const queue = yield* Scope.provide(SimpleQueue.make("numbers"), scope)
      const waiting = yield* Effect.forkChild(Effect.exit(queue.get()))
      yield* settle
      yield* Scope.close(scope, Exit.void)
      const after = [queue.get(), queue.getNowait]
      for (const exit of [yield* Fiber.join(waiting), ...(yield* Effect.forEach(after, Effect.exit))]) {
        assert.match(String(exit), /SimpleQueue numbers is used after its scope has closed/)
      }
    })
  )
})
