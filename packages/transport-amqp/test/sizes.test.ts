/** Bodies of the sizes where something begins: what was sent comes back bit for bit, and nobody holds it much more than twice. */
import * as Message from "@apium/hub/Message"
import * as HubQueue from "@apium/hub/Queue"
import { Transport } from "@apium/hub/Transport"
import * as Amqp from "@apium/transport-amqp/node"
import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Option, Schedule, Stream } from "effect"
import { createHash } from "node:crypto"
import { RabbitMq } from "../../../test/support/RabbitMq.ts"
import * as Figures from "../../../test/support/Figures.ts"

const World = Layer.unwrap(Effect.map(RabbitMq, (rabbit) => Amqp.layerTransport(rabbit.url()))).pipe(
  Layer.provideMerge(RabbitMq.shared)
)

/** Octets of a body in a frame of RabbitMQ's default size. */
const payload = 131_072 - 8
const edges = [1, 2, 5].flatMap((count) => [count * payload - 1, count * payload, count * payload + 1])

const mebibyte = 1024 * 1024
/** `APIUM_FULL=1` goes up to the largest message that RabbitMQ takes. Less than 64 MiB are gone before the collector has looked. */
const large = Figures.times(64, 128) * mebibyte

/** No two parts of it are the same. */
const bodyOf = (size: number): Uint8Array => {
  const words = new Uint32Array(Math.ceil(size / 4))
  for (let index = 0; index < words.length; index++) words[index] = Math.imul(index + 1, 0x9e37_79b1)
  return new Uint8Array(words.buffer, 0, size)
}

const digest = (body: Uint8Array): string => createHash("sha256").update(body).digest("hex")

const link = Effect.flatMap(Transport, ({ connect }) => connect)

const buffers = (): number => process.memoryUsage().arrayBuffers

/** The most octets of buffers that were held while something ran, above what there was before. */
const peak = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    const before = buffers()
    let most = 0
    const look = Effect.gen(function* () {
      // What nobody holds any more lies about for a while.
      if (buffers() - before > 2 * large) yield* Figures.heap
      most = Math.max(most, buffers() - before)
    })
    return effect.pipe(
      Effect.raceFirst(Effect.andThen(Effect.repeat(look, Schedule.spaced("1 millis")), Effect.never)),
      Effect.tap(() => look),
      Effect.map((value) => [value, most] as const)
    )
  })

layer(World, { excludeTestServices: true })("a body", (it) => {
  it.effect("of no octet, of one, and of as many as fill its frames or not, comes back as it went", () =>
    Effect.gen(function* () {
      const channel = yield* (yield* link).channel
      const { name } = yield* channel.queueDeclare(HubQueue.temporary())
      const sizes = [0, 1, 8191, 8192, 8193, ...edges, 16 * mebibyte]
      // One read brings the end of one and the beginning of the next.
      yield* channel.publishAll(
        sizes.map((size) => [Message.make(bodyOf(size), {}, { size }), { exchange: "", routingKey: name }] as const)
      )
      const received = yield* channel.consume(name, { prefetch: 7 }).pipe(
        Stream.take(sizes.length),
        Stream.mapEffect((delivery) => Effect.as(delivery.ack, delivery.message)),
        Stream.runCollect
      )
      for (const [index, { body, headers }] of received.entries()) {
        assert.deepStrictEqual([body.length, headers.size], [sizes[index], sizes[index]])
        assert.strictEqual(digest(body), digest(bodyOf(body.length)), `${body.length} octets`)
      }
    })
  )

  it.effect(
    `of ${large / mebibyte} MiB comes back as it went, and takes two and a half times its size at the most`,
    () =>
      Effect.gen(function* () {
        const channel = yield* (yield* link).channel
        const { name } = yield* channel.queueDeclare(HubQueue.temporary())
        const sent = bodyOf(large)
        const [, publishing] = yield* peak(channel.publish(Message.make(sent), { exchange: "", routingKey: name }))
        const [delivery, receiving] = yield* peak(channel.get(name))
        const { message, ack } = Option.getOrThrow(delivery)
        assert.strictEqual(message.body.length, large)
        assert.strictEqual(digest(message.body), digest(sent))
        yield* ack
        const times = (octets: number): string => (octets / large).toFixed(2)
        const said = `${large / mebibyte} MiB, in buffers of its size: publishing took ${times(large + publishing)}, the body among it; receiving ${times(receiving)}`
        yield* Figures.print(said)
        assert.isAtMost(large + publishing, 2.5 * large)
        assert.isAtMost(receiving, 2.5 * large)
      })
  )
})
