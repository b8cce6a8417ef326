/** Consumers: how they begin, share, end, and what they leave behind. And channels: what closes them, and what that means. */
import { assert } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Delivery } from "../../Delivery.ts"
import * as Queue from "../../Queue.ts"
import {
  type Case,
  drain,
  eventually,
  fresh,
  getOne,
  inbox,
  message,
  numbered,
  type Place,
  refusal,
  refuses,
  stillWaiting,
  test,
  textOf,
  texts
} from "./harness.ts"

const consumers = (place: Place, queue: string, count: number) =>
  eventually(place.info(queue), ({ consumerCount }) => consumerCount === count)

/** A channel whose end the test decides. */
const ownChannel = Effect.fnUntraced(function* (place: Place) {
  const scope = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
  const channel = yield* Scope.provide(place.connection.channel, scope)
  return { channel, close: Scope.close(scope, Exit.void) }
})

export const consuming: ReadonlyArray<Case> = [
  test("qos bounds what all consumers of a channel hold together, or what each does, and can be changed", (place) =>
    Effect.gen(function* () {
      const each = place.transport.capabilities.prefetch === "consumer"
      const one = yield* place.queue()
      const other = yield* place.queue()
      yield* place.send(one.name, numbered(10))
      yield* place.send(other.name, numbered(10))
      const { channel } = yield* ownChannel(place)
      yield* channel.qos(3)
      const consumers = [
        yield* inbox(channel, one.name, { prefetch: 10 }),
        yield* inbox(channel, other.name, { prefetch: 4 })
      ]
      const held = Effect.map(Effect.all([place.info(one.name), place.info(other.name)]), ([first, second]) => [
        10 - first.messageCount,
        10 - second.messageCount
      ])
      /** Of the two: each up to its own prefetch. */
      const holds = (bound: number) =>
        Effect.gen(function* () {
          const [first, second] = [bound, Math.min(bound, 4)]
          const right = ([a = 0, b = 0]: ReadonlyArray<number>) =>
            each ? a === first && b === second : a + b === bound
          yield* eventually(held, right)
          yield* Effect.repeat(
            Effect.map(held, (counts) => assert.isTrue(right(counts), `${counts.join(" and ")}, bound ${bound}`)),
            { times: 20 }
          )
        })
      yield* holds(3)
      yield* channel.qos(6)
      yield* holds(6)
      // What is held stays, and counts.
      yield* channel.qos(2)
      yield* holds(6)
      yield* channel.qos(Number.POSITIVE_INFINITY)
      yield* eventually(held, ([a, b]) => a === 10 && b === 4)
      for (const delivery of yield* consumers[1]!.take(4)) yield* delivery.ack
      yield* eventually(held, ([, b]) => b === 8)
    })),

  test("a consumer gets what waits, and what comes later", ({ channel, queue, send }) =>
    Effect.gen(function* () {
      const { name } = yield* queue()
      yield* send(name, ["1", "2"])
      const consumer = yield* inbox(channel, name)
      assert.deepStrictEqual(texts(yield* consumer.take(2)), ["1", "2"])
      yield* send(name, ["3"])
      assert.deepStrictEqual(texts(yield* consumer.take(1)), ["3"])
    })),

  test("a delivery carries the tag of its consumer, the chosen one or one of its own", (place) =>
    Effect.gen(function* () {
      const { channel, queue, send } = place
      const { name } = yield* queue()
      yield* send(name, ["1", "2", "3"])
      const chosen = yield* inbox(channel, name, { consumerTag: "chosen", prefetch: 1 })
      assert.strictEqual((yield* chosen.next).consumerTag, "chosen")
      const one = yield* inbox(channel, name, { prefetch: 1 })
      const other = yield* inbox(channel, name, { prefetch: 1 })
      const tags = new Set([(yield* one.next).consumerTag, (yield* other.next).consumerTag, "chosen", ""])
      assert.strictEqual(tags.size, 4)
    })),

  test("a tag chosen before the channel would choose it is not chosen again", ({ channel, queue, send }) =>
    Effect.gen(function* () {
      const { name } = yield* queue()
      yield* send(name, numbered(3))
      const first = yield* inbox(channel, name, { prefetch: 1 })
      const { consumerTag } = yield* first.next
      yield* first.cancel
      const second = yield* inbox(channel, name, { prefetch: 1, consumerTag })
      yield* second.next
      const third = yield* inbox(channel, name, { prefetch: 1 })
      assert.notStrictEqual((yield* third.next).consumerTag, consumerTag)
    })),

  test("a second consumer of the same tag is refused with 530", (place) =>
    Effect.gen(function* () {
      const { name } = yield* place.queue()
      yield* place.send(name, ["1"])
      const { channel } = yield* ownChannel(place)
      const first = yield* inbox(channel, name, { consumerTag: "mine" })
      yield* first.next
      const refused = yield* refusal(Stream.runDrain(channel.consume(name, { consumerTag: "mine" })))
      assert.strictEqual(refused.replyCode, 530)
    })),

  test("a tag is free again when its consumer has gone", ({ channel, queue, send }) =>
    Effect.gen(function* () {
      const { name } = yield* queue()
      yield* send(name, numbered(3))
      for (const text of numbered(3)) {
        const [delivery] = yield* channel
          .consume(name, { consumerTag: "mine", prefetch: 1 })
          .pipe(Stream.take(1), Stream.runCollect)
        assert.strictEqual(textOf(delivery!), text)
        yield* delivery!.ack
      }
    })),

  test("a consumer of a queue that is not there is refused with 404", (place) =>
    refuses(place, 404, (channel) => Stream.runDrain(channel.consume(fresh("nowhere"))))),

  test("an exclusive consumer has its queue alone until it goes", (place) =>
    Effect.gen(function* () {
      const { name } = yield* place.queue()
      yield* place.send(name, ["1"])
      const { channel, close } = yield* ownChannel(place)
      const alone = yield* inbox(channel, name, { exclusive: true })
      yield* alone.next
      yield* refuses(place, 403, (channel) => Stream.runDrain(channel.consume(name)))
      yield* close
      yield* consumers(place, name, 0)
      const next = yield* inbox(place.channel, name)
      assert.strictEqual(textOf(yield* next.next), "1")
    })),

  test("where somebody consumes already, nobody gets a queue to himself", (place) =>
    Effect.gen(function* () {
      const { name } = yield* place.queue()
      yield* place.send(name, ["1"])
      const first = yield* inbox(place.channel, name)
      yield* first.next
      yield* refuses(place, 403, (channel) => Stream.runDrain(channel.consume(name, { exclusive: true })))
    })),

  test("two consumers share a queue fairly, and no message goes to both", (place) =>
    Effect.gen(function* () {
      const { name } = yield* place.queue()
      const sent = numbered(100)
      const received: Array<ReadonlyArray<string>> = []
      const done = yield* Deferred.make<void>()
      let count = 0
      const consumer = (own: Array<string>) =>
        Effect.gen(function* () {
          received.push(own)
          const channel = yield* place.connection.channel
          yield* channel.consume(name, { prefetch: 1 }).pipe(
            Stream.runForEach((delivery) =>
              Effect.gen(function* () {
                own.push(textOf(delivery))
                yield* Effect.yieldNow
                yield* delivery.ack
                if (++count === sent.length) yield* Deferred.succeed(done, undefined)
              })
            )
          )
        }).pipe(Effect.scoped, Effect.forkScoped)
      yield* consumer([])
      yield* consumer([])
      yield* consumers(place, name, 2)
      yield* place.send(name, sent)
      yield* Deferred.await(done)
      assert.sameMembers(received.flat(), [...sent])
      for (const own of received) assert.isAtLeast(own.length, 25)
    })),

  test("a message goes to a consumer that has room when another is full", (place) =>
    Effect.gen(function* () {
      const { name } = yield* place.queue()
      yield* place.send(name, ["1"])
      const full = yield* inbox(place.channel, name, { prefetch: 1 })
      yield* full.next
      const { channel } = yield* ownChannel(place)
      const free = yield* inbox(channel, name, { prefetch: 2 })
      yield* place.send(name, ["2", "3"])
      assert.deepStrictEqual(texts(yield* free.take(2)), ["2", "3"])
    })),

  test("what a consumer that has gone left behind goes to the next one", (place) =>
    Effect.gen(function* () {
      const { name } = yield* place.queue()
      yield* place.send(name, numbered(5))
      const { channel, close } = yield* ownChannel(place)
      const gone = yield* inbox(channel, name, { prefetch: 3 })
      yield* gone.take(3)
      const next = yield* inbox(place.channel, name)
      assert.deepStrictEqual(texts(yield* next.take(2)), ["4", "5"])
      yield* close
      const back = yield* next.take(3)
      assert.deepStrictEqual(texts(back), ["1", "2", "3"])
      assert.isTrue(back.every(({ redelivered }) => redelivered))
    })),

  test("what a cancelled consumer got stays its channel's to settle", (place) =>
    Effect.gen(function* () {
      const { name } = yield* place.queue()
      yield* place.send(name, ["1", "2"])
      const { channel, close } = yield* ownChannel(place)
      const consumer = yield* inbox(channel, name, { prefetch: 2 })
      const [first] = yield* consumer.take(2)
      yield* consumer.cancel
      yield* consumers(place, name, 0)
      yield* stillWaiting(place, name, 0)
      yield* first!.ack
      yield* close
      yield* eventually(place.info(name), ({ messageCount }) => messageCount === 1)
      assert.deepStrictEqual(texts(yield* drain(place.channel, name)), ["2"])
    })),

  test("messages sent while consumers come and go are neither lost nor stuck", (place) =>
    Effect.gen(function* () {
      const { name } = yield* place.queue()
      const sent = numbered(60)
      const received: Array<string> = []
      const passing = Effect.scoped(
        Effect.gen(function* () {
          const channel = yield* place.connection.channel
          yield* channel.consume(name, { prefetch: 1 }).pipe(
            Stream.take(1),
            Stream.runForEach((delivery) =>
              Effect.andThen(
                delivery.ack,
                Effect.sync(() => received.push(textOf(delivery)))
              )
            )
          )
        })
      )
      yield* Effect.all(
        [
          place.send(name, sent),
          Effect.forEach(
            [1, 2, 3],
            () =>
              Effect.whileLoop({ while: () => received.length < sent.length - 3, body: () => passing, step: () => {} }),
            { concurrency: "unbounded" }
          )
        ],
        { concurrency: "unbounded" }
      )
      received.push(...texts(yield* drain(place.channel, name)))
      assert.sameMembers(received, [...sent])
    })),

  test("a thousand consumers that opened and closed leave nothing behind", (place) =>
    Effect.gen(function* () {
      const { name } = yield* place.queue()
      yield* place.send(name, numbered(3))
      for (let round = 0; round < 1000; round++) {
        yield* Effect.scoped(
          Effect.gen(function* () {
            const channel = yield* place.connection.channel
            yield* channel.consume(name, { prefetch: 1 }).pipe(Stream.take(1), Stream.runDrain)
          })
        )
      }
      yield* consumers(place, name, 0)
      yield* eventually(place.info(name), ({ messageCount }) => messageCount === 3)
      assert.sameMembers([...texts(yield* drain(place.channel, name))], [...numbered(3)])
    })),

  test("a thousand consumers of one channel leave nothing behind", (place) =>
    Effect.gen(function* () {
      const { name } = yield* place.queue()
      const { channel } = yield* ownChannel(place)
      for (let round = 0; round < 1000; round++) {
        yield* place.send(name, ["m"])
        yield* channel.consume(name, { prefetch: 1 }).pipe(
          Stream.take(1),
          Stream.runForEach((delivery) => delivery.ack)
        )
      }
      const { consumerCount, messageCount } = yield* consumers(place, name, 0)
      assert.deepStrictEqual([consumerCount, messageCount], [0, 0])
    })),

  test("deleting a queue ends its consumers with ConsumerCancelled, and their channel lives on", (place) =>
    Effect.gen(function* () {
      const { name } = yield* place.queue()
      yield* place.send(name, ["1"])
      const { channel } = yield* ownChannel(place)
      const consumer = yield* inbox(channel, name)
      const delivery = yield* consumer.next
      yield* place.channel.queueDelete(name)
      const { reason } = yield* consumer.failure
      assert.strictEqual(reason._tag, "ConsumerCancelled")
      if (reason._tag === "ConsumerCancelled") assert.strictEqual(reason.queue, name)
      const other = yield* place.queue()
      yield* channel.publish(message("m"), { exchange: "", routingKey: other.name })
      yield* delivery.ack
      assert.deepStrictEqual(texts(yield* drain(channel, other.name)), ["m"])
    })),

  test("what was unsettled when its queue was deleted does not come back in a queue of the same name", (place) =>
    Effect.gen(function* () {
      const queue = yield* place.queue()
      yield* place.send(queue.name, ["old"])
      const { channel, close } = yield* ownChannel(place)
      yield* getOne(channel, queue.name)
      yield* place.channel.queueDelete(queue.name)
      yield* place.channel.queueDeclare(queue)
      yield* close
      yield* stillWaiting(place, queue.name, 0)
    })),

  test("a refused request closes its channel, with one reason for all, and no other channel", (place) =>
    Effect.gen(function* () {
      const { name } = yield* place.queue()
      yield* place.send(name, ["1"])
      const { channel } = yield* ownChannel(place)
      const consumer = yield* inbox(channel, name)
      const held = yield* consumer.next
      const refused = yield* refusal(channel.queueDeclare(Queue.make(fresh("nowhere")), { passive: true }))
      assert.strictEqual(refused.replyCode, 404)
      const reasons = [
        yield* consumer.failure,
        yield* Effect.flip(channel.publish(message("m"), { exchange: "", routingKey: name })),
        yield* Effect.flip(channel.publishAll([[message("m"), { exchange: "", routingKey: name }]])),
        yield* Effect.flip(channel.get(name)),
        yield* Effect.flip(channel.queueDeclare(Queue.make(name))),
        yield* Effect.flip(Stream.runDrain(channel.consume(name)))
      ].map(({ reason }) => reason)
      for (const reason of reasons) {
        assert.strictEqual(reason._tag, "ChannelClosed")
        if (reason._tag === "ChannelClosed") assert.strictEqual(reason.replyCode, 404)
      }
      yield* held.ack
      const back = yield* eventually(place.info(name), ({ messageCount }) => messageCount === 1)
      assert.strictEqual(back.consumerCount, 0)
      const again = yield* getOne(place.channel, name)
      assert.isTrue(again.redelivered)
    })),

  test("a channel whose scope has closed fails whoever still uses it", (place) =>
    Effect.gen(function* () {
      const { name } = yield* place.queue()
      const { channel, close } = yield* ownChannel(place)
      const consumer = yield* inbox(channel, name)
      yield* consumers(place, name, 1)
      yield* close
      yield* consumer.failure
      yield* Effect.flip(channel.publish(message("m"), { exchange: "", routingKey: name }))
      yield* Effect.flip(channel.get(name))
      yield* consumers(place, name, 0)
      assert.strictEqual((yield* place.info(name)).messageCount, 0)
    })),

  test("closing a channel ends its consumers for the broker too, though nobody pulls them", (place) =>
    Effect.gen(function* () {
      const { name } = yield* place.queue()
      yield* place.send(name, ["1"])
      const { channel, close } = yield* ownChannel(place)
      const busy = yield* Deferred.make<Delivery>()
      yield* channel.consume(name, { exclusive: true }).pipe(
        Stream.runForEach((delivery) => Effect.andThen(Deferred.succeed(busy, delivery), Effect.never)),
        Effect.forkScoped
      )
      yield* Deferred.await(busy)
      yield* close
      yield* consumers(place, name, 0)
      const next = yield* inbox(place.channel, name)
      assert.strictEqual(textOf(yield* next.next), "1")
    })),

  test("a closed link fails its channels and its consumers, and says so itself", (place) =>
    Effect.gen(function* () {
      const { name } = yield* place.queue()
      const scope = yield* Scope.make()
      const connection = yield* Scope.provide(place.transport.connect, scope)
      const channelScope = yield* Effect.scope
      const channel = yield* Scope.provide(connection.channel, channelScope)
      const consumer = yield* inbox(channel, name)
      yield* consumers(place, name, 1)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual((yield* consumer.failure).reason._tag, "ConnectionLost")
      const failures = [
        yield* Effect.flip(connection.closed),
        yield* Effect.flip(Effect.scoped(connection.channel)),
        yield* Effect.flip(channel.publish(message("m"), { exchange: "", routingKey: name }))
      ]
      for (const { reason } of failures) assert.strictEqual(reason._tag, "ConnectionLost")
      yield* consumers(place, name, 0)
    })),

  test("links do not hear of each other's end", (place) =>
    Effect.gen(function* () {
      const { name } = yield* place.queue()
      yield* Effect.scoped(Effect.flatMap(place.transport.connect, ({ channel }) => channel))
      yield* place.send(name, ["1"])
      assert.deepStrictEqual(texts(yield* drain(place.channel, name)), ["1"])
    }))
]
