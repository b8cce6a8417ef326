import { Connection } from "@apium/hub/Connection"
import * as DeadLetter from "@apium/hub/DeadLetter"
import * as MemoryTransport from "@apium/hub/memory/MemoryTransport"
import * as HubQueue from "@apium/hub/Queue"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Random, type Scope } from "effect"
import { TestClock } from "effect/testing"
import { drain, message, settle, textOf } from "./support/messages.ts"

const layer = Connection.layer.pipe(Layer.provideMerge(MemoryTransport.layer))

const test = <A, E>(
  name: string,
  effect: Effect.Effect<A, E, Connection | MemoryTransport.MemoryBroker | Scope.Scope>
) => it.effect(name, () => effect.pipe(Effect.provide(layer), Random.withSeed(name)))

const from = (queue: string) =>
  Effect.flatMap(Connection, (connection) => connection.use((channel) => drain(channel, queue)))

/** The first message of the queue, on a channel that stays open. */
const first = (queue: string) =>
  Effect.gen(function* () {
    const channel = yield* (yield* Connection).channel
    const delivery = yield* channel.get(queue)
    assert.strictEqual(delivery._tag, "Some")
    return yield* Effect.fromOption(delivery)
  })

describe("a dead letter", () => {
  test(
    "goes to a durable queue named after its own, with its reason and where it came from, and its own is rid of it",
    Effect.gen(function* () {
      const connection = yield* Connection
      yield* TestClock.adjust("1 hour")
      const properties = { messageId: "id", expiration: "1000", userId: "guest", priority: 3 }
      const sent = message("m", properties, { own: 1, CC: ["q", "elsewhere"] })
      yield* connection.publish(sent, { exchange: "", routingKey: "q" }, { queues: [HubQueue.make("q")] })
      yield* DeadLetter.send(connection, yield* first("q"), "failed", "what went wrong")
      assert.deepStrictEqual(yield* from("q"), [])
      const [dead, ...rest] = yield* from("q.dead")
      assert.deepStrictEqual(rest, [])
      assert.strictEqual(textOf(dead!), "m")
      assert.deepStrictEqual(dead!.message.headers, {
        own: 1,
        "x-apium-reason": "failed",
        "x-apium-error": "what went wrong",
        "x-apium-queue": "q",
        "x-apium-exchange": "",
        "x-apium-routing-key": "q",
        "x-apium-time": "1970-01-01T01:00:00.000Z"
      })
      const { deliveryMode, expiration, messageId, priority, userId } = dead!.message.properties
      assert.deepStrictEqual(
        [messageId, priority, deliveryMode, expiration, userId],
        ["id", 3, "persistent", undefined, undefined]
      )
      yield* connection.use((channel) => channel.queueDeclare(HubQueue.make(DeadLetter.queueOf("q"))))
    })
  )

  test(
    "does not expire, though its message would have",
    Effect.gen(function* () {
      const connection = yield* Connection
      const sent = message("m", { expiration: "1000" })
      yield* connection.publish(sent, { exchange: "", routingKey: "q" }, { queues: [HubQueue.make("q")] })
      yield* DeadLetter.send(connection, yield* first("q"), "failed", "")
      yield* TestClock.adjust("1 day")
      assert.strictEqual((yield* from("q.dead")).length, 1)
    })
  )

  test(
    "says no more of its error than a header holds",
    Effect.gen(function* () {
      const connection = yield* Connection
      yield* connection.publish(message("m"), { exchange: "", routingKey: "q" }, { queues: [HubQueue.make("q")] })
      yield* DeadLetter.send(connection, yield* first("q"), "failed", "x".repeat(1_000_000))
      const [dead] = yield* from("q.dead")
      assert.isAtMost(String(dead!.message.headers["x-apium-error"]).length, 4096)
    })
  )

  test(
    "of a dead letter goes one queue further, and its headers tell of the last time",
    Effect.gen(function* () {
      const connection = yield* Connection
      yield* connection.publish(message("m"), { exchange: "", routingKey: "q" }, { queues: [HubQueue.make("q")] })
      yield* DeadLetter.send(connection, yield* first("q"), "failed", "first")
      yield* DeadLetter.send(connection, yield* first("q.dead"), "undecodable", "second")
      const [dead] = yield* from("q.dead.dead")
      assert.strictEqual(dead!.message.headers["x-apium-reason"], "undecodable")
      assert.strictEqual(dead!.message.headers["x-apium-error"], "second")
    })
  )

  test(
    "that cannot be stored leaves its message where it was",
    Effect.gen(function* () {
      const connection = yield* Connection
      // Somebody else's idea of that queue: 406.
      const queues = [HubQueue.make("q"), HubQueue.make("q.dead", { durable: false })]
      yield* connection.publish(message("m"), { exchange: "", routingKey: "q" }, { queues })
      const failure = yield* Effect.scoped(
        Effect.gen(function* () {
          return yield* Effect.flip(DeadLetter.send(connection, yield* first("q"), "failed", ""))
        })
      )
      assert.strictEqual(failure.reason._tag, "ChannelClosed")
      assert.strictEqual((yield* from("q")).length, 1)
    })
  )

  test(
    "whose link is lost in the middle is there at least once, here or there",
    Effect.gen(function* () {
      const connection = yield* Connection
      const { disconnect } = yield* MemoryTransport.MemoryBroker
      yield* connection.publish(message("m"), { exchange: "", routingKey: "q" }, { queues: [HubQueue.make("q")] })
      const delivery = yield* first("q")
      yield* disconnect
      const sending = yield* Effect.forkChild(DeadLetter.send(connection, delivery, "failed", ""))
      yield* settle
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(sending)
      assert.strictEqual((yield* from("q.dead")).length, 1)
      const [back] = yield* from("q")
      assert.isTrue(back!.redelivered)
    })
  )
})
