import { Connection } from "@apium/hub/Connection"
import * as Exchange from "@apium/hub/Exchange"
import { MemoryBroker } from "@apium/hub/memory/MemoryTransport"
import * as Producer from "@apium/hub/Producer"
import * as HubQueue from "@apium/hub/Queue"
import * as Serializer from "@apium/hub/Serializer"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, pipe, Random, Schema, type Scope } from "effect"
import { TestClock } from "effect/testing"
import { drain, settle } from "./support/messages.ts"
import { Script, unreachable } from "./support/ScriptedTransport.ts"

const layer = Connection.layerWith({ patience: "10 seconds" }).pipe(Layer.provideMerge(Script.layer()))

const test = <A, E>(name: string, effect: Effect.Effect<A, E, Connection | Script | MemoryBroker | Scope.Scope>) =>
  it.effect(name, () => effect.pipe(Effect.provide(layer), Random.withSeed(name)))

const queue = HubQueue.make("q")
const take = Effect.flatMap(Connection, (connection) => connection.use((channel) => drain(channel, "q")))
const values = Effect.flatMap(take, (deliveries) =>
  Effect.forEach(deliveries, ({ message }) => Serializer.decode(message))
)

const User = Schema.Struct({ name: Schema.String, since: Schema.DateFromString })
const ada = { name: "ada", since: new Date(0) }
const adaWritten = { name: "ada", since: "1970-01-01T00:00:00.000Z" }

describe("a producer", () => {
  test(
    "writes values by their schema, to the queue it was made for, after declaring that",
    Effect.gen(function* () {
      const producer = yield* Producer.make(User, { routingKey: "q", declare: [queue] })
      yield* producer.publish(ada)
      const [delivery] = yield* take
      assert.deepStrictEqual(yield* Serializer.decode(delivery!.message), adaWritten)
      assert.strictEqual(delivery!.message.properties.deliveryMode, "persistent")
      assert.strictEqual(delivery!.message.properties.contentType, "application/json")
    })
  )

  test(
    "fails of a value its schema does not write, and publishes none of its batch",
    Effect.gen(function* () {
      const Short = Schema.String.check(Schema.isMaxLength(3))
      const producer = yield* Producer.make(Short, { routingKey: "q", declare: [queue] })
      yield* producer.publish("one")
      const error = yield* Effect.flip(producer.publishAll(["two", "three", "six"]))
      assert.strictEqual(error._tag, "SchemaError")
      assert.deepStrictEqual(yield* values, ["one"])
    })
  )

  test(
    "publishes a batch in its order, and an empty one",
    Effect.gen(function* () {
      const producer = yield* Producer.make(Schema.Number, { routingKey: "q", declare: [queue] })
      const batch = Array.from({ length: 500 }, (_, index) => index)
      yield* producer.publishAll([])
      yield* producer.publishAll(batch)
      assert.deepStrictEqual(yield* values, batch)
    })
  )

  test(
    "lets each publish say otherwise: route, properties, headers",
    Effect.gen(function* () {
      const events = Exchange.topic("events")
      const bound = pipe(queue, HubQueue.bindTo(events, "user.#"))
      const producer = yield* Producer.make(Schema.String, { exchange: events, routingKey: "nobody", declare: [bound] })
      yield* producer.publish("lost")
      yield* producer.publish("found", {
        routingKey: "user.new",
        correlationId: "c",
        deliveryMode: "transient",
        priority: 3,
        headers: { own: 1 }
      })
      yield* producer.publish("direct", { exchange: "", routingKey: "q" })
      const [found, direct, ...rest] = yield* take
      assert.strictEqual(rest.length, 0)
      const { headers, properties } = found!.message
      assert.deepStrictEqual(headers, { own: 1 })
      assert.deepStrictEqual(
        [properties.correlationId, properties.deliveryMode, properties.priority],
        ["c", "transient", 3]
      )
      assert.notProperty(properties, "routingKey")
      assert.notProperty(properties, "headers")
      assert.strictEqual(direct!.route.exchange, "")
    })
  )

  test(
    "compresses, and says so in the header",
    Effect.gen(function* () {
      const producer = yield* Producer.make(Schema.String, { routingKey: "q", declare: [queue], compression: "gzip" })
      yield* producer.publish("x".repeat(10_000), { headers: { own: 1 } })
      const [delivery] = yield* take
      assert.isBelow(delivery!.message.body.length, 1000)
      assert.deepStrictEqual(delivery!.message.headers, { own: 1, compression: "application/x-gzip" })
      assert.strictEqual(yield* Serializer.decode(delivery!.message), "x".repeat(10_000))
    })
  )

  test(
    "hears by itself of a queue that is not there, and of a message no exchange could place where it is told to",
    Effect.gen(function* () {
      const forgetful = yield* Producer.make(Schema.String)
      const error = yield* Effect.flip(forgetful.publish("lost?"))
      assert.strictEqual(error._tag === "HubError" ? error.reason._tag : error._tag, "Returned")
      const placed = Exchange.direct("nobody-bound")
      yield* (yield* Producer.make(Schema.String, { exchange: placed })).publish("dropped, as in AMQP")
      const told = yield* Producer.make(Schema.String, { exchange: placed, mandatory: true })
      const returned = yield* Effect.flip(told.publish("m"))
      assert.strictEqual(returned._tag === "HubError" ? returned.reason._tag : returned._tag, "Returned")
    })
  )

  test(
    "hears of a message that no queue took where it is mandatory",
    Effect.gen(function* () {
      const producer = yield* Producer.make(Schema.String, { routingKey: "nowhere", mandatory: true })
      const error = yield* Effect.flip(producer.publish("m"))
      assert.strictEqual(error._tag === "HubError" && error.reason._tag, "Returned")
      yield* producer.publish("m", { mandatory: false })
    })
  )

  test(
    "holds a message until its time",
    Effect.gen(function* () {
      const producer = yield* Producer.make(Schema.String, { routingKey: "q", declare: [queue] })
      yield* producer.publish("later", { notBefore: 5000 })
      yield* TestClock.adjust("4 seconds")
      assert.deepStrictEqual(yield* values, [])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* values, ["later"])
    })
  )

  test(
    "waits for a lost link to come back, declares again, and publishes then",
    Effect.gen(function* () {
      const events = Exchange.fanout("events")
      const producer = yield* Producer.make(Schema.String, { exchange: events })
      yield* producer.publish("1")
      const connection = yield* Connection
      yield* connection.use((channel) => channel.exchangeDelete("events"))
      yield* (yield* Script).next(unreachable, "up")
      yield* (yield* MemoryBroker).disconnect
      const publish = yield* Effect.forkChild(producer.publish("2"))
      yield* settle
      assert.isUndefined(publish.pollUnsafe())
      yield* TestClock.adjust("5 seconds")
      yield* Fiber.join(publish)
      yield* connection.use((channel) => channel.exchangeDeclare(events, { passive: true }))
    })
  )

  test(
    "does not wait for ever: its connection's patience is its own",
    Effect.gen(function* () {
      const producer = yield* Producer.make(Schema.String, { routingKey: "q", declare: [queue] })
      yield* (yield* Script).next(unreachable)
      yield* (yield* MemoryBroker).disconnect
      yield* settle
      const publish = yield* Effect.forkChild(Effect.flip(producer.publish("m")))
      yield* TestClock.adjust("9 seconds")
      assert.isUndefined(publish.pollUnsafe())
      yield* TestClock.adjust("1 second")
      const error = yield* Fiber.join(publish)
      assert.strictEqual(error._tag === "HubError" && error.reason._tag, "ConnectionLost")
    })
  )

  test(
    "loses nothing that it said it has published, whatever the link does meanwhile",
    Effect.gen(function* () {
      const producer = yield* Producer.make(Schema.Number, { routingKey: "q", declare: [queue] })
      const { disconnect } = yield* MemoryBroker
      const published: Array<number> = []
      const publishing = yield* Effect.forEach(
        Array.from({ length: 300 }, (_, index) => index),
        (number) =>
          Effect.andThen(
            producer.publish(number),
            Effect.sync(() => void published.push(number))
          ),
        { concurrency: 7 }
      ).pipe(Effect.forkChild)
      for (let cut = 0; publishing.pollUnsafe() === undefined && cut < 100; cut++) {
        yield* Effect.replicateEffect(Effect.yieldNow, cut % 5, { discard: true })
        yield* disconnect
        yield* settle
        yield* TestClock.adjust("2 seconds")
      }
      yield* Fiber.join(publishing)
      assert.strictEqual(published.length, 300)
      const there = new Set(yield* values)
      for (const number of published) assert.isTrue(there.has(number), String(number))
    })
  )
})
