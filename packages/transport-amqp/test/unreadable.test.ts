import { Connection } from "@apium/hub/Connection"
import * as Consumer from "@apium/hub/Consumer"
import type { Delivery } from "@apium/hub/Delivery"
import * as Message from "@apium/hub/Message"
import * as HubQueue from "@apium/hub/Queue"
import { FrameWriter } from "@apium/protocol/amqp/FrameWriter"
import * as Method from "@apium/protocol/amqp/Method"
import * as FakeBroker from "@apium/transport-amqp/testing/FakeBroker"
import { MemoryBackend, Tasks, Worker } from "@apium/worker"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Layer, Option, Stream } from "effect"

/** A broker whose first delivery from `q` has headers with a value of no known type; all that it delivers itself is right. */
const broken = (channel: number, consumerTag: string): Uint8Array => {
  const frames = new FrameWriter()
  const body = new TextEncoder().encode("a body")
  frames.method(channel, Method.basicConsumeOk({ consumerTag }))
  frames.content(
    channel,
    Method.basicDeliver({ consumerTag, deliveryTag: 1, redelivered: false, exchange: "", routingKey: "q" }),
    { properties: { messageId: "m" }, headers: { odd: "value" }, body }
  )
  const octets = Uint8Array.from(frames.take().flatMap((chunk) => Array.from(chunk)))
  const name = new TextEncoder().encode("odd")
  const at = octets.findIndex((_, index) => name.every((octet, offset) => octets[index + offset] === octet))
  octets[at + name.length] = "?".charCodeAt(0)
  return octets
}

const scripted = (acknowledged: Deferred.Deferred<void>) => ({
  "basic.consume": (method: Method.BasicConsume, channel: number) =>
    method.queue === "q" ? FakeBroker.send(broken(channel, method.consumerTag)) : undefined,
  "basic.ack": () => {
    Deferred.doneUnsafe(acknowledged, Effect.void)
    return FakeBroker.silence
  }
})

const dead: Effect.Effect<Delivery, unknown, Connection> = Effect.flatMap(Connection, (connection) =>
  connection.use((channel) => Effect.map(channel.get("q.dead"), Option.getOrThrow))
)

const check = ({ message }: Delivery) => {
  assert.strictEqual(new TextDecoder().decode(message.body), "a body")
  assert.strictEqual(message.properties.messageId, "m")
  assert.strictEqual(message.headers["x-apium-reason"], "undecodable")
  assert.match(String(message.headers["x-apium-error"]), /headers.*type 63/)
  // What it was is still there to be looked at.
  assert.include(String(message.headers["x-apium-headers"]), "odd?")
}

const world = (acknowledged: Deferred.Deferred<void>) =>
  Connection.layer.pipe(Layer.provideMerge(FakeBroker.layer({ script: scripted(acknowledged) })))

describe("a message whose headers cannot be read", () => {
  it.live("goes to the dead queue of Consumer.run with its reason, and the handler does not see it", () =>
    Effect.gen(function* () {
      const acknowledged = yield* Deferred.make<void>()
      yield* Effect.gen(function* () {
        let seen = 0
        yield* Consumer.run([HubQueue.make("q")], {
          concurrency: 2,
          handle: () => Effect.sync(() => void seen++)
        }).pipe(Effect.forkScoped)
        yield* Deferred.await(acknowledged)
        check(yield* dead)
        assert.strictEqual(seen, 0)
      }).pipe(Effect.scoped, Effect.provide(world(acknowledged)))
    })
  )

  it.live("does not keep a stream of deliveries from going on: its headers are empty, and it says why", () =>
    Effect.gen(function* () {
      const acknowledged = yield* Deferred.make<void>()
      yield* Effect.gen(function* () {
        const got = yield* Deferred.make<Delivery>()
        yield* Consumer.run([HubQueue.make("other")], {
          concurrency: 1,
          handle: (delivery) => Deferred.succeed(got, delivery)
        }).pipe(Effect.forkScoped)
        const connection = yield* Connection
        yield* connection.publish(
          Message.make(new Uint8Array(1), {}, { fine: 1 }),
          { exchange: "", routingKey: "other" },
          {
            queues: [HubQueue.make("other")]
          }
        )
        assert.strictEqual((yield* Deferred.await(got)).unreadable, undefined)
        const channel = yield* connection.channel
        yield* channel.queueDeclare(HubQueue.make("q"))
        const [delivery] = yield* Consumer.stream([HubQueue.make("q")]).pipe(Stream.take(1), Stream.runCollect)
        assert.deepStrictEqual(delivery!.message.headers, {})
        assert.isTrue(Option.isNone(delivery!.deliveryCount))
        assert.include(delivery!.unreadable?.text ?? "", "type 63")
      }).pipe(Effect.scoped, Effect.provide(world(acknowledged)))
    })
  )

  it.live("goes to the dead queue of a worker, which lives on", () =>
    Effect.gen(function* () {
      const acknowledged = yield* Deferred.make<void>()
      yield* Effect.gen(function* () {
        yield* Layer.launch(
          Worker.layer({ queues: [HubQueue.make("q")], concurrency: 2 }).pipe(
            Layer.provide(Tasks.layer),
            Layer.provide(MemoryBackend.layer)
          )
        ).pipe(Effect.forkScoped)
        yield* Deferred.await(acknowledged)
        check(yield* dead)
        const fake = yield* FakeBroker.FakeBroker
        assert.isAbove(fake.connections().at(-1)!.channels.length, 0)
      }).pipe(Effect.scoped, Effect.provide(world(acknowledged)))
    })
  )
})
