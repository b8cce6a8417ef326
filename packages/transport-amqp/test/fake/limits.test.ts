import * as Message from "@apium/hub/Message"
import * as HubQueue from "@apium/hub/Queue"
import * as Constants from "@apium/protocol/amqp/Constants"
import * as Frame from "@apium/protocol/amqp/Frame"
import * as Method from "@apium/protocol/amqp/Method"
import type { Limits } from "@apium/protocol/amqp/Tune"
import * as FakeBroker from "@apium/transport-amqp/testing/FakeBroker"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Option, Stream } from "effect"
import { connect, logged, raw, refusal, until } from "../support/Fake.ts"
import { times } from "../../../../test/support/Figures.ts"

const table: ReadonlyArray<Limits> = [0, 4096, 8192, 131_072].flatMap((frameMax) =>
  [0, 1, 2047, 65_535].flatMap((channelMax) => [0, 1, 60].map((heartbeat) => ({ frameMax, channelMax, heartbeat })))
)

const url = ({ channelMax, frameMax, heartbeat }: Limits) =>
  `amqp://localhost//?frame_max=${frameMax}&channel_max=${channelMax}&heartbeat=${heartbeat}`

/** Section 4.2 of the specification: the smaller, and 0 is no limit. */
const smaller = (a: number, b: number): number => (a > 0 && b > 0 ? Math.min(a, b) : a + b)

const agreed = (server: Limits, client: Limits): Limits => ({
  frameMax: smaller(server.frameMax, client.frameMax),
  channelMax: smaller(server.channelMax, client.channelMax),
  // A client that wants none has none, whatever the server would like.
  heartbeat: client.heartbeat === 0 ? 0 : smaller(server.heartbeat, client.heartbeat)
})

const bytes = (size: number) => Uint8Array.from({ length: size }, (_, index) => (index * 31) & 0xff)

describe("what two peers agree on", () => {
  /** Each with each where there is time, else each with three of the others. */
  const wishes = (index: number) =>
    Array.from({ length: times(3, table.length) }, (_, step) => table[(index * 7 + step * 17) % table.length]!)

  it.effect("is what RabbitMQ makes of it, whatever of 48 the one offers and the other wants", () =>
    Effect.gen(function* () {
      for (const [index, server] of table.entries()) {
        const fake = yield* FakeBroker.make({ limits: server })
        for (const client of wishes(index)) {
          yield* Effect.scoped(
            Effect.gen(function* () {
              yield* connect(fake, url(client))
              assert.deepStrictEqual(
                fake.connections()[0]?.limits,
                agreed(server, client),
                `${JSON.stringify(server)} and ${JSON.stringify(client)}`
              )
            })
          )
        }
      }
    })
  )

  it.effect("is refused below RabbitMQ 4's smallest frame, with its reason and for good", () =>
    Effect.gen(function* () {
      const fake = yield* FakeBroker.make({ profile: "strict43" })
      const reason = yield* refusal(fake, "amqp://localhost//?frame_max=4096")
      assert.strictEqual(reason._tag, "ProtocolMismatch")
      assert.include(
        reason.message,
        "530 NOT_ALLOWED - negotiated frame_max = 4096 is lower than the minimum allowed value (8192)"
      )
      yield* connect(fake, "amqp://localhost//?frame_max=8192")
    })
  )

  it.effect("bounds the channels: one more is refused before it is asked for", () =>
    Effect.gen(function* () {
      const fake = yield* FakeBroker.make({ limits: { channelMax: 3 }, record: 100 })
      const connection = yield* connect(fake)
      for (let count = 1; count <= 3; count++) yield* connection.channel
      const refused = yield* Effect.flip(connection.channel)
      assert.include(refused.message, "this connection has 3 channels")
      assert.strictEqual(fake.received().filter(({ method }) => method._tag === "channel.open").length, 3)
      const bare = yield* logged(fake)
      yield* bare.say(4, Method.channelOpen)
      assert.strictEqual((yield* bare.expect("connection.close")).replyCode, 530)
    })
  )
})

describe("frames", () => {
  it.effect("carry bodies of one octet less, as many, and one more than fit, bit for bit, to the broker and back", () =>
    Effect.forEach(
      [4096, 8192, 131_072],
      Effect.fnUntraced(function* (frameMax) {
        const fake = yield* FakeBroker.make({ limits: { frameMax } })
        const channel = yield* (yield* connect(fake)).channel
        const { name } = yield* channel.queueDeclare(HubQueue.temporary())
        for (const frames of [0, 1, 2, 3]) {
          for (const beside of [-1, 0, 1]) {
            const size = frames * (frameMax - 8) + beside
            if (size < 0) continue
            const body = bytes(size)
            yield* channel.publish(Message.make(body), { exchange: "", routingKey: name })
            const taken = Option.getOrThrow(yield* channel.get(name))
            assert.deepStrictEqual(taken.message.body, body, `${size} of ${frameMax}`)
          }
        }
      }, Effect.scoped),
      { discard: true }
    )
  )

  it.effect("that a header does not fit into fail the publish before an octet is sent, and the channel goes on", () =>
    Effect.gen(function* () {
      const fake = yield* FakeBroker.make({ record: 100 })
      const channel = yield* (yield* connect(fake)).channel
      const { name } = yield* channel.queueDeclare(HubQueue.temporary())
      const route = { exchange: "", routingKey: name }
      const large = Message.make(bytes(1), {}, { authorization: "x".repeat(200_000) })
      const { reason } = yield* Effect.flip(channel.publish(large, route))
      assert.strictEqual(reason._tag, "FrameTooLarge")
      if (reason._tag === "FrameTooLarge") {
        assert.isAbove(reason.size, 200_000)
        assert.strictEqual(reason.limit, 131_072)
      }
      yield* channel.publish(Message.make(bytes(1)), route)
      assert.strictEqual(fake.received().filter(({ method }) => method._tag === "basic.publish").length, 1)
      assert.strictEqual(fake.connections().length, 1)
    })
  )

  const header = (type: number, channel: number, size: number) =>
    Uint8Array.of(type, 0, channel, size >>> 24, size >>> 16, size >>> 8, size)

  it.effect("larger than agreed end the connection with 501, by their header alone, on either side", () =>
    Effect.gen(function* () {
      const fake = yield* FakeBroker.make({ limits: { frameMax: 8192 }, record: 100 })
      for (const size of [8192 - 8 + 1, 0xffff_ffff]) {
        const connection = yield* connect(fake)
        const link = fake.connections().at(-1)!
        yield* link.send(header(1, 0, size))
        const { reason } = yield* Effect.flip(connection.closed)
        assert.include(reason.message, `A frame of ${size + 8} octets, and 8192 are the most`)
        yield* until(() => fake.received().at(-1)?.method._tag === "connection.close")
        const last = fake.received().at(-1)?.method
        if (last?._tag === "connection.close") assert.strictEqual(last.replyCode, 501)

        const client = yield* logged(fake)
        yield* client.octets(header(1, 0, size))
        assert.strictEqual((yield* client.expect("connection.close")).replyCode, 501)
        // Before anything is agreed on, too.
        const early = yield* raw(fake)
        yield* early.octets(Uint8Array.from(Constants.protocolHeader))
        yield* early.expect("connection.start")
        yield* early.octets(header(1, 0, size))
        assert.strictEqual((yield* early.expect("connection.close")).replyCode, 501)
      }
    })
  )
})

describe("content that does not add up", () => {
  /** A consumer `c` on channel 1, and what the broker says to it next. */
  const consuming = (sent: ReadonlyArray<Uint8Array>, options = {}) =>
    Effect.gen(function* () {
      const fake = yield* FakeBroker.make({ record: 100 })
      const connection = yield* connect(fake, undefined, options)
      const channel = yield* connection.channel
      const { name } = yield* channel.queueDeclare(HubQueue.temporary())
      const consumer = yield* Effect.forkScoped(
        Effect.flip(Stream.runDrain(channel.consume(name, { consumerTag: "c" })))
      )
      yield* until(() => fake.received().at(-1)?.method._tag === "basic.consume")
      for (const octets of sent) yield* fake.connections()[0]!.send(octets)
      return { fake, connection, failure: Effect.map(Fiber.join(consumer), ({ reason }) => reason) }
    })

  const deliver = Frame.method(1, Method.basicDeliver({ consumerTag: "c", deliveryTag: 1 }))

  /** A content header without properties. */
  const announce = (size: bigint) => {
    const payload = new Uint8Array(14)
    const view = new DataView(payload.buffer)
    view.setUint16(0, 60)
    view.setBigUint64(4, size)
    return Frame.encode({ type: Constants.frameHeader, channel: 1, payload })
  }

  const closes = (fake: FakeBroker.FakeBroker["Service"]) =>
    fake.received().flatMap(({ channel, method }) => ("replyCode" in method ? [[channel, method.replyCode]] : []))

  it.effect("a body of 2^63-1 octets that never comes closes its channel with 311, and no other", () =>
    Effect.gen(function* () {
      const { connection, failure, fake } = yield* consuming([deliver, announce(2n ** 63n - 1n)])
      const other = yield* connection.channel
      assert.include((yield* failure).message, "maxMessageSize")
      yield* until(() => closes(fake).length > 0)
      assert.deepStrictEqual(closes(fake), [[1, 311]])
      yield* other.queueDeclare(HubQueue.temporary())
    })
  )

  it.effect("a body longer than announced ends the connection with 501", () =>
    Effect.gen(function* () {
      const body = Frame.encode({ type: Constants.frameBody, channel: 1, payload: bytes(11) })
      const { failure, fake } = yield* consuming([deliver, announce(10n), body])
      assert.include((yield* failure).message, "A body of 11 octets or more, and 10 were announced")
      yield* until(() => closes(fake).length > 0)
      assert.deepStrictEqual(closes(fake), [[0, 501]])
    })
  )

  it.effect("a method where a body was due ends the connection with 505", () =>
    Effect.gen(function* () {
      const { failure, fake } = yield* consuming([deliver, announce(10n), deliver])
      assert.include((yield* failure).message, "basic.deliver, where the content of basic.deliver was due")
      yield* until(() => closes(fake).length > 0)
      assert.deepStrictEqual(closes(fake), [[0, 505]])
    })
  )

  it.effect("a message beyond maxMessageSize closes its consumer's channel only, and is back in its queue", () =>
    Effect.gen(function* () {
      const fake = yield* FakeBroker.make()
      const connection = yield* connect(fake, undefined, { maxMessageSize: 1000 })
      const other = yield* connection.channel
      const { name } = yield* other.queueDeclare(HubQueue.make(""))
      yield* other.publish(Message.make(bytes(1001)), { exchange: "", routingKey: name })
      const channel = yield* connection.channel
      const { reason } = yield* Effect.flip(Stream.runDrain(channel.consume(name)))
      assert.include(reason.message, "1001 octets, and 1000 are the most")
      yield* until(() => fake.connections()[0]!.channels.length === 1)
      const info = yield* other.queueDeclare(HubQueue.make(name), { passive: true })
      assert.deepStrictEqual(info, { name, messageCount: 1, consumerCount: 0 })
    })
  )

  it.effect("a message beyond the broker's own limit closes the publisher's channel with 406, and is nowhere", () =>
    Effect.gen(function* () {
      const fake = yield* FakeBroker.make({ maxMessageSize: 1000 })
      const connection = yield* connect(fake)
      const other = yield* connection.channel
      const { name } = yield* other.queueDeclare(HubQueue.temporary())
      const publish = (size: number) =>
        Effect.flatMap(connection.channel, (channel) =>
          channel.publish(Message.make(bytes(size)), { exchange: "", routingKey: name })
        )
      const { reason } = yield* Effect.flip(publish(1001))
      assert.match(reason.message, /406 PRECONDITION_FAILED - message size/)
      yield* publish(1000)
      assert.strictEqual(yield* other.queuePurge(name), 1)
    })
  )
})
