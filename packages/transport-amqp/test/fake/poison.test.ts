import { Connection } from "@apium/hub/Connection"
import * as Consumer from "@apium/hub/Consumer"
import * as DeadLetter from "@apium/hub/DeadLetter"
import * as Message from "@apium/hub/Message"
import * as HubQueue from "@apium/hub/Queue"
import * as FakeBroker from "@apium/transport-amqp/testing/FakeBroker"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Option, Stream } from "effect"
import { bytes, message, settle, until, world } from "../support/Fake.ts"

describe("a dead letter", () => {
  it.live("whose headers just fitted leaves the largest of them behind, and holds up nobody", () =>
    Effect.gen(function* () {
      const connection = yield* Connection
      const queue = HubQueue.make("q")
      const headers = { task: "proj.add", large: "x".repeat(130_900), stamps: { a: ["b"] } }
      yield* connection.publish(
        Message.make(bytes("body"), {}, headers),
        { exchange: "", routingKey: "q" },
        { queues: [queue] }
      )
      yield* connection.publish(Message.make(bytes("next")), { exchange: "", routingKey: "q" })
      const handled: Array<string> = []
      const running = yield* Consumer.run([queue], {
        concurrency: 1,
        handle: ({ message: { body } }) => {
          handled.push(new TextDecoder().decode(body))
          return Effect.fail("no")
        }
      }).pipe(Effect.forkScoped)
      yield* until(() => handled.length === 2 || running.pollUnsafe() !== undefined)
      yield* Effect.raceFirst(Fiber.join(running), Effect.void)
      const [dead, next] = yield* connection.use((channel) =>
        Effect.all([1, 2].map(() => Effect.repeat(channel.get(DeadLetter.queueOf("q")), { until: Option.isSome })))
      )
      const { message: letter } = Option.getOrThrow(dead!)
      assert.deepStrictEqual(letter.body, bytes("body"))
      assert.strictEqual(letter.headers["task"], "proj.add")
      assert.strictEqual(letter.headers["x-apium-reason"], "failed")
      assert.deepStrictEqual(letter.headers["x-apium-dropped"], ["large", "stamps"])
      assert.deepStrictEqual(Option.getOrThrow(next!).message.body, bytes("next"))
    }).pipe(Effect.scoped, Effect.provide(Connection.layer.pipe(Layer.provideMerge(FakeBroker.layer()))))
  )
})

describe("a message above maxMessageSize", () => {
  it.live("ends its consumer with what to do, and is not asked for again and again", () =>
    Effect.gen(function* () {
      const connection = yield* Connection
      const large = Message.make(new Uint8Array(20_000))
      const queue = HubQueue.make("q")
      yield* connection.publish(large, { exchange: "", routingKey: "q" }, { queues: [queue] })
      const error = yield* Effect.flip(Consumer.run([queue], { concurrency: 1, handle: () => Effect.void }))
      assert.isFalse(error.recoverable)
      assert.include(error.message, "311 A message of 20000 octets, and 10000 are the most (maxMessageSize)")
      const { messageCount } = yield* connection.use((channel) => channel.queueDeclare(queue, { passive: true }))
      assert.strictEqual(messageCount, 1)
    }).pipe(
      Effect.provide(
        Connection.layer.pipe(Layer.provideMerge(FakeBroker.layer({ transport: { maxMessageSize: 10_000 } })))
      )
    )
  )
})

describe("a message that is none", () => {
  it.live("fails its publisher, though it waits first, and nobody else", () =>
    Effect.gen(function* () {
      const { channel, connection, fake, name, route } = yield* world()
      yield* fake.block("low on memory")
      yield* Stream.runDrain(Stream.takeUntil(connection.blocked, (blocked) => blocked))
      const broken = yield* Effect.forkScoped(
        Effect.exit(channel.publish({ ...message("x"), body: undefined as never }, route))
      )
      const good = yield* Effect.forkScoped(channel.publish(message("good"), route))
      yield* settle
      yield* fake.unblock
      yield* Fiber.join(good)
      assert.isTrue(Exit.isFailure(yield* Fiber.join(broken)))
      assert.strictEqual(yield* channel.queuePurge(name), 1)
    }).pipe(Effect.scoped)
  )
})
