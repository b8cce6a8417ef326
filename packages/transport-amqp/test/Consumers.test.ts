import * as Message from "@apium/hub/Message"
import * as HubQueue from "@apium/hub/Queue"
import { Transport } from "@apium/hub/Transport"
import * as Amqp from "@apium/transport-amqp/node"
import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Queue, Stream } from "effect"
import { RabbitMq } from "../../../test/support/RabbitMq.ts"
import { heap, mebibytes, print, times, until } from "../../../test/support/Figures.ts"
import { walk } from "./support/Walk.ts"

const World = Layer.unwrap(Effect.map(RabbitMq, (rabbit) => Amqp.layerTransport(rabbit.url()))).pipe(
  Layer.provideMerge(RabbitMq.shared)
)

const link = Effect.flatMap(Transport, ({ connect }) => connect)

const body = (text: string) => Message.make(new TextEncoder().encode(text))

const to = (routingKey: string) => ({ exchange: "", routingKey })

const numbers = (count: number) => Array.from({ length: count }, (_, index) => index + 1)

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes)

layer(World, { excludeTestServices: true })("consumers on RabbitMQ", (it) => {
  it.effect(
    "a bound that changes at random is never exceeded, and what it allows arrives, on classic and quorum queues",
    () =>
      Effect.gen(function* () {
        const connection = yield* link
        const total = { settled: 0, changes: 0 }
        for (const seed of numbers(times(6, 50, 200))) {
          const queue = HubQueue.make(`walk-${seed}`)
          const { changes, settled } = yield* walk(
            connection,
            seed % 2 === 0 ? queue : HubQueue.quorum(queue),
            seed,
            60
          )
          total.settled += settled
          total.changes += changes
        }
        yield* print(`${total.settled} settled under ${total.changes} changes of the bound, none beyond it`)
      })
  )

  it.effect("a queue that deletes itself without consumers outlives every change of the bound, which is kept", () =>
    Effect.gen(function* () {
      const connection = yield* link
      const channel = yield* connection.channel
      const publisher = yield* connection.channel
      const queue = HubQueue.make("bcast.auto", { durable: false, autoDelete: true })
      yield* channel.queueDeclare(queue)
      const received = yield* Queue.unbounded<readonly [string, Effect.Effect<void, unknown>]>()
      yield* channel.qos(3)
      yield* channel.consume(queue.name).pipe(
        Stream.runForEach(({ ack, message }) => Queue.offer(received, [text(message.body), ack] as const)),
        Effect.forkScoped
      )
      yield* publisher.publishAll(numbers(12).map((number) => [body(`${number}`), to(queue.name)] as const))
      const first = yield* Queue.takeN(received, 3)
      yield* channel.qos(0)
      for (const [, ack] of first) yield* ack
      yield* channel.qos(2)
      const next = yield* Queue.takeN(received, 2)
      yield* channel.queueDeclare(queue, { passive: true })
      assert.strictEqual(yield* Queue.size(received), 0)
      yield* channel.qos(Number.POSITIVE_INFINITY)
      const rest = yield* Queue.takeN(received, 7)
      assert.deepStrictEqual(
        [...first, ...next, ...rest].map(([number]) => number),
        numbers(12).map(String)
      )
      assert.strictEqual((yield* channel.queueDeclare(queue, { passive: true })).consumerCount, 1)
    })
  )

  it.effect("a consumer that names no prefetch has 1,000, and none of them is unbounded", () =>
    Effect.gen(function* () {
      const rabbit = yield* RabbitMq
      const channel = yield* (yield* link).channel
      const { name } = yield* channel.queueDeclare(HubQueue.make("default-prefetch"))
      const wanted = { left: undefined, zero: 0, infinite: Number.POSITIVE_INFINITY, small: 7 }
      for (const [consumerTag, prefetch] of Object.entries(wanted)) {
        yield* Effect.forkScoped(Stream.runDrain(channel.consume(name, { consumerTag, prefetch })))
      }
      yield* Effect.repeat(channel.queueDeclare(HubQueue.make(name), { passive: true }), {
        until: ({ consumerCount }) => consumerCount === 4
      })
      const found = (yield* rabbit.consumers).filter(({ queue }) => queue === name)
      assert.deepStrictEqual(Object.fromEntries(found.map(({ prefetch, tag }) => [tag, prefetch])), {
        left: 1000,
        zero: 65_535,
        infinite: 65_535,
        small: 7
      })
    })
  )

  const firehose = (queue: HubQueue.Queue, count: number, pausing: boolean) =>
    Effect.gen(function* () {
      const connection = yield* link
      const channel = yield* connection.channel
      const publisher = yield* connection.channel
      const { name } = yield* channel.queueDeclare(queue)
      const padding = "x".repeat(1000)
      for (let sent = 0; sent < count; sent += 5000) {
        yield* publisher.publishAll(
          numbers(5000).map((number) => [body(`${sent + number} ${padding}`), to(name)] as const)
        )
      }
      yield* heap
      const base = process.memoryUsage().rss
      let most = base
      let next = 1
      let pauses = 0
      let longest = 0
      yield* channel.consume(name, { noAck: true }).pipe(
        Stream.take(count),
        Stream.runForEachArray((batch) =>
          Effect.gen(function* () {
            for (const { message } of batch)
              assert.strictEqual(Number.parseInt(text(message.body.subarray(0, 8)), 10), next++)
            longest = Math.max(longest, batch.length)
            // Slower than the broker: it is asked for something meanwhile, and this is answered.
            yield* channel.queueDeclare(queue, { passive: true })
            yield* Effect.sleep("100 millis")
            // However slow the broker is: it holds more than a consumer takes.
            if (pausing && pauses === 0) {
              yield* until(
                Effect.map(publisher.queueDeclare(queue, { passive: true }), ({ consumerCount }) => consumerCount === 0)
              )
            }
            // What is held counts, and not what was not collected yet.
            yield* heap
            most = Math.max(most, process.memoryUsage().rss)
            const { consumerCount } = yield* publisher.queueDeclare(queue, { passive: true })
            if (consumerCount === 0) pauses++
          })
        )
      )
      assert.strictEqual(next, count + 1)
      yield* print(
        `${count} x 1 KiB without acks: RSS +${mebibytes(most - base)} MiB, ${pauses} batches while paused, ${longest} in the longest`
      )
      assert.strictEqual(pauses > 0, pausing)
      // What a batch may hold: 4,096, and what the sockets did.
      assert.isBelow(longest, 25_000)
      assert.isBelow(most - base, 64 * 1024 * 1024)
    })

  it.effect(
    "a firehose without acknowledgements waits in the broker while its consumer is slow, and arrives whole and in order",
    () => firehose(HubQueue.make("firehose"), times(50_000, 100_000, 500_000), true),
    600_000
  )

  it.effect(
    "so does one of a quorum queue, which would send some of it behind a goodbye",
    () => firehose(HubQueue.quorum(HubQueue.make("firehose-quorum")), times(20_000, 40_000, 200_000), false),
    600_000
  )

  it.effect(
    "a handler of a consumer without prefetch publishes with confirms over the same channel, and neither waits for the other",
    () =>
      Effect.gen(function* () {
        const channel = yield* (yield* link).channel
        const { name } = yield* channel.queueDeclare(HubQueue.make("in"))
        const { name: out } = yield* channel.queueDeclare(HubQueue.make("out"))
        for (const noAck of [false, true]) {
          yield* channel.publishAll(numbers(10_000).map((number) => [body(`${number}`), to(name)] as const))
          yield* channel.consume(name, { noAck }).pipe(
            Stream.take(10_000),
            Stream.mapEffect(
              ({ ack, message }) => Effect.andThen(channel.publish(message, to(out)), noAck ? Effect.void : ack),
              { concurrency: 100 }
            ),
            Stream.runDrain
          )
          assert.strictEqual(yield* channel.queuePurge(out), 10_000)
        }
      })
  )

  it.effect("an answer to direct reply-to comes to the channel that asked", () =>
    Effect.gen(function* () {
      const connection = yield* link
      const server = yield* connection.channel
      const { name } = yield* server.queueDeclare(HubQueue.temporary())
      yield* server.consume(name).pipe(
        Stream.runForEach(({ ack, message }) =>
          Effect.andThen(
            server.publish(
              Message.make(message.body.toReversed(), { correlationId: message.properties.correlationId }),
              to(message.properties.replyTo!)
            ),
            ack
          )
        ),
        Effect.forkScoped
      )
      const channel = yield* connection.channel
      const replies = yield* Queue.unbounded<readonly [string | undefined, string]>()
      const replyTo = "amq.rabbitmq.reply-to"
      yield* channel.consume(replyTo, { noAck: true }).pipe(
        Stream.runForEach(({ message }) =>
          Queue.offer(replies, [message.properties.correlationId, text(message.body)] as const)
        ),
        // It consumes when this is through: a request before is refused.
        Effect.forkScoped({ startImmediately: true })
      )
      for (const correlationId of ["one", "two"]) {
        yield* channel.publish(
          Message.make(new TextEncoder().encode(correlationId), { correlationId, replyTo }),
          to(name)
        )
        assert.deepStrictEqual(yield* Queue.take(replies), [correlationId, correlationId === "one" ? "eno" : "owt"])
      }
    })
  )
})
