/** What RabbitMQ's queues can do beyond the conformance suite, asked for through the hub's values alone. */
import type { Channel } from "@apium/hub/Channel"
import type { Delivery } from "@apium/hub/Delivery"
import * as Message from "@apium/hub/Message"
import * as Queue from "@apium/hub/Queue"
import { Transport } from "@apium/hub/Transport"
import * as Amqp from "@apium/transport-amqp/node"
import { assert, layer } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Option, pipe, Stream } from "effect"
import { RabbitMq } from "../../../test/support/RabbitMq.ts"

const World = Layer.unwrap(Effect.map(RabbitMq, (rabbit) => Amqp.layerTransport(rabbit.url()))).pipe(
  Layer.provideMerge(RabbitMq.shared)
)

const open = Effect.flatMap(
  Effect.flatMap(Transport, (transport) => transport.connect),
  (link) => link.channel
)

const bytes = (text: string) => new TextEncoder().encode(text)
const textOf = ({ message }: Delivery) => new TextDecoder().decode(message.body)

const send = (channel: Channel, queue: string, ...texts: ReadonlyArray<string>) =>
  Effect.forEach(texts, (text) =>
    channel.publish(Message.make(bytes(text), { deliveryMode: "persistent" }), {
      exchange: "",
      routingKey: queue,
      mandatory: true
    })
  )

const take = (channel: Channel, queue: string) => Effect.map(channel.get(queue), Option.getOrThrow)

/** Until somebody has it. */
const eventually = (channel: Channel, queue: string) =>
  Effect.map(Effect.repeat(channel.get(queue), { until: Option.isSome }), Option.getOrThrow)

const settle = (delivery: Delivery) => Effect.as(delivery.ack, textOf(delivery))

layer(World, { excludeTestServices: true })("RabbitMQ's queues", (it) => {
  it.effect("a quorum queue counts how often a message came back", () =>
    Effect.gen(function* () {
      const channel = yield* open
      const queue = pipe(Queue.make("counted"), Queue.quorum)
      yield* channel.queueDeclare(queue)
      yield* send(channel, queue.name, "again")
      for (const before of [0, 1, 2]) {
        const delivery = yield* eventually(channel, queue.name)
        assert.strictEqual(
          Option.getOrElse(delivery.deliveryCount, () => 0),
          before
        )
        assert.strictEqual(delivery.redelivered, before > 0)
        yield* before < 2 ? delivery.reject({ requeue: true }) : delivery.ack
      }
    })
  )

  it.effect("a quorum queue dead-letters what came back too often", () =>
    Effect.gen(function* () {
      const channel = yield* open
      const dead = Queue.make("too-often.dead")
      const queue = pipe(Queue.make("too-often"), Queue.quorum, Queue.deliveryLimit(2), Queue.deadLetter("", dead.name))
      yield* channel.queueDeclare(dead)
      yield* channel.queueDeclare(queue)
      yield* send(channel, queue.name, "poison", "innocent")
      const consumed = yield* channel.consume(queue.name, { prefetch: 1 }).pipe(
        Stream.tap((delivery) => (textOf(delivery) === "poison" ? delivery.reject({ requeue: true }) : delivery.ack)),
        Stream.map(textOf),
        Stream.takeUntil((text) => text === "innocent"),
        Stream.runCollect
      )
      assert.isAtMost(consumed.filter((text) => text === "poison").length, 3)
      const delivery = yield* eventually(channel, dead.name)
      assert.strictEqual(yield* settle(delivery), "poison")
      const [death] = delivery.message.headers["x-death"] as ReadonlyArray<Record<string, unknown>>
      assert.strictEqual(death?.["reason"], "delivery_limit")
    })
  )

  it.effect("a single active consumer gets everything in order, and the next takes over when it goes", () =>
    Effect.gen(function* () {
      const queue = pipe(Queue.make("one-at-a-time"), Queue.singleActiveConsumer)
      const channel = yield* open
      yield* channel.queueDeclare(queue)
      const seen: Array<string> = []
      const consumer = (name: string, until: string) =>
        Effect.gen(function* () {
          const began = yield* Deferred.make<void>()
          const own = yield* open
          const fiber = yield* own.consume(queue.name, { prefetch: 10 }).pipe(
            Stream.onStart(Deferred.succeed(began, undefined)),
            Stream.tap((delivery) =>
              Effect.andThen(
                delivery.ack,
                Effect.sync(() => void seen.push(`${name}${textOf(delivery)}`))
              )
            ),
            Stream.takeUntil((delivery) => textOf(delivery) === until),
            Stream.runDrain,
            Effect.forkScoped
          )
          yield* Deferred.await(began)
          return fiber
        })
      const consumers = Effect.repeat(channel.queueDeclare(queue, { passive: true }), {
        until: ({ consumerCount }) => consumerCount === 2
      })
      const first = yield* consumer("a", "3")
      yield* Effect.repeat(channel.queueDeclare(queue, { passive: true }), {
        until: ({ consumerCount }) => consumerCount === 1
      })
      const second = yield* consumer("b", "6")
      yield* consumers
      yield* send(channel, queue.name, "1", "2", "3")
      yield* Fiber.join(first)
      yield* send(channel, queue.name, "4", "5", "6")
      yield* Fiber.join(second)
      assert.deepStrictEqual(seen, ["a1", "a2", "a3", "b4", "b5", "b6"])
    })
  )

  it.effect("a stream is read again from any offset, however often it was acknowledged", () =>
    Effect.gen(function* () {
      const queue = pipe(Queue.make("log"), Queue.stream)
      const channel = yield* open
      yield* channel.queueDeclare(queue)
      yield* send(channel, queue.name, "0", "1", "2", "3", "4")
      const read = (offset: unknown, count: number) =>
        Effect.scoped(
          Effect.flatMap(open, (own) =>
            own.consume(queue.name, { prefetch: 10, arguments: { "x-stream-offset": offset } }).pipe(
              Stream.mapEffect((delivery) =>
                Effect.map(settle(delivery), (text) => [text, delivery.message.headers["x-stream-offset"]] as const)
              ),
              Stream.take(count),
              Stream.runCollect
            )
          )
        )
      const whole = ["0", "1", "2", "3", "4"].map((text, offset) => [text, offset] as const)
      assert.deepStrictEqual(yield* read("first", 5), whole)
      assert.deepStrictEqual(yield* read("first", 5), whole)
      assert.deepStrictEqual(yield* read(3, 2), whole.slice(3))
      assert.deepStrictEqual(yield* read(new Date(0), 5), whole)
    })
  )

  it.effect("a queue of limited length drops its oldest", () =>
    Effect.gen(function* () {
      const channel = yield* open
      const queue = pipe(Queue.make("newest"), Queue.maxLength(2))
      yield* channel.queueDeclare(queue)
      yield* send(channel, queue.name, "1", "2", "3")
      assert.strictEqual(yield* settle(yield* take(channel, queue.name)), "2")
      assert.strictEqual(yield* settle(yield* take(channel, queue.name)), "3")
      assert.isTrue(Option.isNone(yield* channel.get(queue.name)))
    })
  )

  it.effect("or refuses the newest, and its publisher hears Nacked and goes on", () =>
    Effect.gen(function* () {
      const channel = yield* open
      const queue = pipe(Queue.make("oldest"), Queue.maxLength(1, "reject-publish"))
      yield* channel.queueDeclare(queue)
      yield* send(channel, queue.name, "1")
      const { reason } = yield* Effect.flip(send(channel, queue.name, "2"))
      assert.strictEqual(reason._tag, "Nacked")
      assert.strictEqual(yield* settle(yield* take(channel, queue.name)), "1")
      yield* send(channel, queue.name, "3")
    })
  )

  it.effect("a consumer of a higher priority is served first", () =>
    Effect.gen(function* () {
      const channel = yield* open
      const queue = Queue.make("favourite")
      yield* channel.queueDeclare(queue)
      const consumer = (priority: number) =>
        Effect.gen(function* () {
          const own = yield* open
          const got: Array<string> = []
          yield* own.consume(queue.name, { prefetch: 3, arguments: { "x-priority": priority } }).pipe(
            Stream.runForEach((delivery) => Effect.sync(() => void got.push(textOf(delivery)))),
            Effect.forkScoped
          )
          return got
        })
      const low = yield* consumer(1)
      const high = yield* consumer(9)
      yield* Effect.repeat(channel.queueDeclare(queue, { passive: true }), {
        until: ({ consumerCount }) => consumerCount === 2
      })
      yield* send(channel, queue.name, "1", "2", "3", "4")
      yield* Effect.repeat(Effect.yieldNow, { until: () => high.length + low.length === 4 })
      assert.deepStrictEqual([high, low], [["1", "2", "3"], ["4"]])
    })
  )
})
