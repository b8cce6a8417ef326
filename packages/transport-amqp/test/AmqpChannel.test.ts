import * as Message from "@apium/hub/Message"
import * as HubQueue from "@apium/hub/Queue"
import { Transport } from "@apium/hub/Transport"
import * as Amqp from "@apium/transport-amqp/node"
import { assert, layer } from "@effect/vitest"
import { Effect, Fiber, Layer, Queue, Stream } from "effect"
import * as Figures from "../../../test/support/Figures.ts"
import { RabbitMq } from "../../../test/support/RabbitMq.ts"
import * as Mute from "./support/Mute.ts"

const World = Layer.unwrap(Effect.map(RabbitMq, (rabbit) => Amqp.layerTransport(rabbit.url()))).pipe(
  Layer.provideMerge(RabbitMq.shared)
)

const link = Effect.flatMap(Transport, ({ connect }) => connect)

const body = (text: string) => Message.make(new TextEncoder().encode(text))

const to = (routingKey: string) => ({ exchange: "", routingKey })

const numbers = (count: number) => Array.from({ length: count }, (_, index) => index + 1)

layer(World, { excludeTestServices: true })("AmqpChannel", (it) => {
  it.effect(
    "a bound of 0 stops all deliveries, gives back what nobody pulled, and another bound starts them again",
    () =>
      Effect.gen(function* () {
        const connection = yield* link
        const channel = yield* connection.channel
        const publisher = yield* connection.channel
        const { name } = yield* channel.queueDeclare(HubQueue.make("stopped"))
        const count = Effect.map(
          publisher.queueDeclare(HubQueue.make(name), { passive: true }),
          ({ messageCount }) => messageCount
        )
        yield* channel.qos(2)
        const received = yield* Queue.unbounded<string>()
        const held: Array<Effect.Effect<void, unknown>> = []
        yield* channel.consume(name, { prefetch: 5 }).pipe(
          Stream.runForEach((delivery) => {
            held.push(delivery.ack)
            return Queue.offer(received, new TextDecoder().decode(delivery.message.body))
          }),
          Effect.forkScoped
        )
        yield* publisher.publishAll(numbers(3).map((number) => [body(`${number}`), to(name)] as const))
        assert.deepStrictEqual(yield* Queue.takeN(received, 2), ["1", "2"])
        yield* channel.qos(0)
        for (const ack of held) yield* ack
        // With acknowledgements of the same channel before it, this answer says that they were seen.
        yield* channel.queueDeclare(HubQueue.make(name), { passive: true })
        assert.strictEqual(yield* count, 1)
        yield* channel.qos(1)
        assert.strictEqual(yield* Queue.take(received), "3")
        yield* channel.qos(0)
        yield* channel.qos(Number.POSITIVE_INFINITY)
        yield* publisher.publish(body("4"), to(name))
        assert.strictEqual(yield* Queue.take(received), "4")
      })
  )

  it.effect("of ten thousand mandatory publishes at once, those that no queue takes fail, and no other", () =>
    Effect.gen(function* () {
      const channel = yield* (yield* link).channel
      const { name } = yield* channel.queueDeclare(HubQueue.make("mixed"))
      const wrong = (number: number) => number % 7 === 0
      const failed = yield* Effect.forEach(
        numbers(10_000),
        (number) =>
          Effect.match(
            channel.publish(body(""), { exchange: "", routingKey: wrong(number) ? "nowhere" : name, mandatory: true }),
            { onFailure: ({ reason }) => reason._tag, onSuccess: () => undefined }
          ),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(
        failed,
        numbers(10_000).map((number) => (wrong(number) ? "Returned" : undefined))
      )
      assert.strictEqual(yield* channel.queuePurge(name), 10_000 - Math.floor(10_000 / 7))
    })
  )

  it.effect("headers that no frame can carry fail before an octet is written, and the channel lives on", () =>
    Effect.gen(function* () {
      const channel = yield* (yield* link).channel
      const { name } = yield* channel.queueDeclare(HubQueue.temporary())
      const { reason } = yield* Effect.flip(
        channel.publish(Message.make(new Uint8Array(1), {}, { token: "x".repeat(200_000) }), to(name))
      )
      assert.strictEqual(reason._tag, "FrameTooLarge")
      yield* channel.publish(body("small"), to(name))
      assert.strictEqual(yield* channel.queuePurge(name), 1)
    })
  )

  it.effect("a link that dies while a consumer says goodbye ends the goodbye", () =>
    Effect.gen(function* () {
      const rabbit = yield* RabbitMq
      const wire = yield* Mute.proxy(rabbit.node)
      const transport = Amqp.layerTransport(`${rabbit.url(wire.port)}?heartbeat=1`)
      const connection = yield* Effect.provide(link, transport)
      const channel = yield* connection.channel
      const { name } = yield* channel.queueDeclare(HubQueue.temporary())
      const consumer = yield* Effect.forkChild(Stream.runDrain(channel.consume(name)))
      yield* channel.queueDeclare(HubQueue.make(name), { passive: true })
      wire.mute()
      const [took, stalled] = yield* Figures.withStalls(Figures.timed(Fiber.interrupt(consumer)))
      assert.isBelow(took - stalled, 2300)
      assert.strictEqual((yield* Effect.flip(connection.closed)).reason._tag, "ConnectionLost")
    })
  )
})
