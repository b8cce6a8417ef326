import * as HubQueue from "@apium/hub/Queue"
import * as FakeBroker from "@apium/transport-amqp/testing/FakeBroker"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Option } from "effect"
import { TestClock } from "effect/testing"
import { connect, message, settle, tags, until, world } from "../support/Fake.ts"

describe("a script", () => {
  it.effect("refuses one method, by its channel or by its connection, as the code has it", () =>
    Effect.gen(function* () {
      const { channel, connection, fake } = yield* world()
      fake.on("queue.purge", FakeBroker.refuse(404, "NOT_FOUND - not today"))
      const soft = (yield* Effect.flip(channel.queuePurge("q"))).reason
      assert.deepStrictEqual(
        soft._tag === "ChannelClosed" && [soft.replyCode, soft.replyText, soft.classId, soft.methodId],
        [404, "NOT_FOUND - not today", 50, 30]
      )
      fake.on("queue.purge", FakeBroker.refuse(541, "INTERNAL_ERROR - oh"))
      yield* Effect.flip(Effect.flatMap(connection.channel, (other) => other.queuePurge("q")))
      assert.include((yield* Effect.flip(connection.closed)).message, "541 INTERNAL_ERROR - oh")
    })
  )

  it.effect("looks at what was sent, counts, and is taken back", () =>
    Effect.gen(function* () {
      const { channel, connection, fake } = yield* world()
      fake.on("queue.declare", ({ queue }) => (queue === "bad" ? FakeBroker.cut : undefined))
      yield* channel.queueDeclare(HubQueue.make("good"))
      yield* Effect.flip(channel.queueDeclare(HubQueue.make("bad")))
      assert.strictEqual((yield* Effect.flip(connection.closed)).reason._tag, "ConnectionLost")
      fake.on("queue.declare", FakeBroker.first(2, FakeBroker.refuse(406, "PRECONDITION_FAILED - no")))
      const declare = Effect.exit(
        Effect.scoped(
          Effect.flatMap(connect(fake), (again) =>
            Effect.flatMap(again.channel, (one) => one.queueDeclare(HubQueue.make("bad")))
          )
        )
      )
      const tries = yield* Effect.all([declare, declare, declare])
      assert.deepStrictEqual(
        tries.map(({ _tag }) => _tag),
        ["Failure", "Failure", "Success"]
      )
      fake.on("queue.declare", FakeBroker.cut)
      fake.on("queue.declare", undefined)
      assert.strictEqual((yield* declare)._tag, "Success")
    })
  )

  it.effect("that passes over a publish leaves it without a confirm, and those beside it have theirs", () =>
    Effect.gen(function* () {
      const { channel, fake, name, route } = yield* world()
      fake.on("basic.publish", (_, __, content) => (content?.body[0] === 0x62 ? FakeBroker.silence : undefined))
      const [a, b, c] = yield* Effect.all(
        ["a", "b", "c"].map((text) => Effect.forkScoped(channel.publish(message(text), route)))
      )
      yield* Fiber.join(a!)
      yield* Fiber.join(c!)
      yield* settle
      assert.isUndefined(b!.pollUnsafe())
      assert.strictEqual(yield* channel.queuePurge(name), 2)
    })
  )

  it.effect("is slow without stopping the clock of others", () =>
    Effect.gen(function* () {
      const { channel, fake } = yield* world()
      fake.on("queue.purge", FakeBroker.delay("10 seconds", FakeBroker.refuse(404, "NOT_FOUND - late")))
      const asking = yield* Effect.forkScoped(Effect.flip(channel.queuePurge("q")))
      const other = yield* (yield* connect(fake)).channel
      yield* other.queueDeclare(HubQueue.temporary())
      yield* settle
      yield* TestClock.adjust("9999 millis")
      assert.isUndefined(asking.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.include((yield* Fiber.join(asking)).message, "404 NOT_FOUND - late")
    })
  )
})

describe("an operator", () => {
  it.effect("closes one channel of ten, and the others lose nothing", () =>
    Effect.gen(function* () {
      const { connection, fake, name, route } = yield* world()
      const channels = yield* Effect.replicateEffect(connection.channel, 9)
      const [link] = fake.connections()
      assert.deepStrictEqual(link?.channels, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
      yield* link!.closeChannel(5, 406, "PRECONDITION_FAILED - delivery acknowledgement timed out")
      const { reason } = yield* Effect.flip(channels[3]!.closed)
      assert.deepStrictEqual(
        reason._tag === "ChannelClosed" && [reason.replyCode, reason.classId, reason.methodId],
        [406, 0, 0]
      )
      for (const channel of channels.filter((_, index) => index !== 3)) yield* channel.publish(message("m"), route)
      assert.strictEqual(yield* channels[0]!.queuePurge(name), 8)
      // Its number is free again, once both have said so.
      yield* until(() => fake.connections()[0]!.channels.length === 9)
      yield* connection.channel
      assert.sameMembers([...fake.connections()[0]!.channels], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    })
  )

  it.effect("closes one link of two", () =>
    Effect.gen(function* () {
      const { connection, fake } = yield* world()
      const other = yield* connect(fake, "amqp://localhost//", { name: "other" })
      const link = fake.connections().find(({ clientProperties }) => clientProperties.connection_name === "other")
      yield* link!.close(320, "CONNECTION_FORCED - bye")
      assert.include((yield* Effect.flip(other.closed)).message, "320 CONNECTION_FORCED - bye")
      yield* until(() => fake.connections().length === 1)
      yield* Effect.scoped(connection.channel)
    })
  )
})

describe("what was received", () => {
  it.effect("is kept up to as many commands as were asked for, with the link they came on", () =>
    Effect.gen(function* () {
      const fake = yield* FakeBroker.make({ record: 3 })
      const first = yield* (yield* connect(fake)).channel
      for (let index = 0; index < 10; index++) yield* first.queueDeclare(HubQueue.make(`q${index}`))
      const second = yield* (yield* connect(fake)).channel
      yield* second.queuePurge("q1")
      assert.deepStrictEqual(
        fake.received().map(({ connection, method }) => [connection, method._tag]),
        [
          [2, "connection.open"],
          [2, "channel.open"],
          [2, "queue.purge"]
        ]
      )
      assert.deepStrictEqual((yield* FakeBroker.make()).received(), [])
    })
  )

  it.effect("shows that an acknowledgement of a lost link never reaches the next one", () =>
    Effect.gen(function* () {
      const { channel, fake, route } = yield* world()
      const durable = HubQueue.make("work")
      yield* channel.queueDeclare(durable)
      yield* channel.publish(message("m"), { ...route, routingKey: "work" })
      const taken = Option.getOrThrow(yield* channel.get("work"))
      yield* fake.cut
      yield* until(() => fake.connections().length === 0)
      const next = yield* (yield* connect(fake)).channel
      yield* taken.ack
      const again = Option.getOrThrow(yield* next.get("work"))
      assert.isTrue(again.redelivered)
      assert.notInclude(tags(fake), "basic.ack")
    })
  )
})
