/** Acknowledge, reject, give back; what a prefetch allows; and what becomes of what nobody settled. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { type Delivery, settledTwice } from "../../Delivery.ts"
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
  stillWaiting,
  test,
  textOf,
  texts
} from "./harness.ts"

const counted = Effect.map(Metric.value(settledTwice), ({ count }) => count)

/** How often settling came too late while this ran. */
const tooLate = <E, R>(work: Effect.Effect<unknown, E, R>): Effect.Effect<number, E, R> =>
  Effect.gen(function* () {
    const before = yield* counted
    yield* work
    return (yield* counted) - before
  })

/** Interrupts a consumer somewhere, and says what it had seen and acknowledged by then. */
const interruptedConsumer = (place: Place, queue: string, after: number, steps: number, prefetch: number) =>
  Effect.gen(function* () {
    const seen = new Set<string>()
    const acked = new Set<string>()
    const consumer = yield* Effect.gen(function* () {
      const channel = yield* place.connection.channel
      yield* channel.consume(queue, { prefetch }).pipe(
        Stream.runForEach((delivery) =>
          Effect.gen(function* () {
            seen.add(textOf(delivery))
            yield* Effect.yieldNow
            yield* delivery.ack
            acked.add(textOf(delivery))
            yield* Effect.yieldNow
          })
        )
      )
    }).pipe(Effect.scoped, Effect.forkChild)
    yield* eventually(
      Effect.sync(() => seen.size),
      (size) => size >= after
    )
    yield* Effect.replicateEffect(Effect.yieldNow, steps, { discard: true })
    yield* Fiber.interrupt(consumer)
    return { seen, acked }
  })

const interruptions = (place: Place) =>
  Effect.gen(function* () {
    const { name } = yield* place.queue()
    const sent = numbered(20)
    for (let round = 0; round < 40; round++) {
      yield* place.send(name, sent)
      const after = yield* Random.nextIntBetween(0, 15)
      const steps = yield* Random.nextIntBetween(0, 12)
      const prefetch = yield* Random.nextIntBetween(1, 8)
      const { acked, seen } = yield* interruptedConsumer(place, name, after, steps, prefetch)
      // An acknowledgement that was interrupted may have been sent or not: at most one of them.
      yield* eventually(place.info(name), ({ messageCount }) => messageCount >= sent.length - acked.size - 1)
      const left = yield* drain(place.channel, name)
      const where = `round ${round}: ${steps} steps after ${after} messages, prefetch ${prefetch}`
      for (const text of sent) {
        const again = left.filter((delivery) => textOf(delivery) === text)
        assert.isAtMost(again.length, 1, `${where}: ${text} is there twice`)
        if (again.length === 0) assert.isTrue(seen.has(text), `${where}: ${text} is lost`)
        else assert.isFalse(acked.has(text), `${where}: ${text} was acknowledged and came again`)
        if (again[0] !== undefined && seen.has(text)) {
          assert.isTrue(again[0].redelivered, `${where}: ${text} came again and does not say so`)
        }
      }
      assert.isAtLeast(left.length, sent.length - acked.size - 1, where)
      assert.deepStrictEqual(
        texts(left),
        sent.filter((text) => texts(left).includes(text)),
        `${where}: out of order`
      )
    }
  }).pipe(Random.withSeed("apium"))

/** What a channel holds unsettled when its scope closes. */
const holding = Effect.fnUntraced(function* (place: Place, queue: string, count: number) {
  const scope = yield* Scope.make()
  const channel = yield* Scope.provide(place.connection.channel, scope)
  const held: Array<Delivery> = []
  for (let index = 0; index < count; index++) held.push(yield* getOne(channel, queue))
  return { held, close: Scope.close(scope, Exit.void), channel }
})

export const settling: ReadonlyArray<Case> = [
  test("what is released is next in line, in the order it had, and was not looked at", ({ channel, queue, send }) =>
    Effect.gen(function* () {
      const { name } = yield* queue()
      yield* send(name, ["1", "2", "3", "4"])
      const taken = [yield* getOne(channel, name), yield* getOne(channel, name), yield* getOne(channel, name)]
      const counts = taken.map(({ deliveryCount }) => deliveryCount)
      for (const delivery of taken.slice(1).toReversed()) yield* delivery.release
      const again = [yield* getOne(channel, name), yield* getOne(channel, name)]
      assert.deepStrictEqual(texts(again), ["2", "3"])
      assert.isTrue(again.every(({ redelivered }) => redelivered))
      assert.deepStrictEqual(
        again.map(({ deliveryCount }) => deliveryCount),
        counts.slice(1)
      )
      assert.strictEqual(yield* tooLate(taken[1]!.release), 1)
    })),

  test("an acknowledged message is gone", (place) =>
    Effect.gen(function* () {
      const { name } = yield* place.queue()
      yield* place.send(name, ["1", "2"])
      const { close, held } = yield* holding(place, name, 2)
      yield* held[0]!.ack
      yield* close
      yield* eventually(place.info(name), ({ messageCount }) => messageCount === 1)
      assert.deepStrictEqual(texts(yield* drain(place.channel, name)), ["2"])
    })),

  test("an empty queue has nothing to get", ({ channel, queue }) =>
    Effect.gen(function* () {
      const { name } = yield* queue()
      assert.isTrue(Option.isNone(yield* channel.get(name)))
    })),

  test("a rejected message that is not to be requeued is gone", ({ channel, queue, send, info }) =>
    Effect.gen(function* () {
      const { name } = yield* queue()
      yield* send(name, ["1", "2"])
      yield* (yield* getOne(channel, name)).reject({ requeue: false })
      assert.deepStrictEqual(texts(yield* drain(channel, name)), ["2"])
      assert.strictEqual((yield* info(name)).messageCount, 0)
    })),

  test("a requeued message is delivered again, and says so", ({ channel, queue, send }) =>
    Effect.gen(function* () {
      const { name } = yield* queue()
      yield* send(name, ["1"])
      const first = yield* getOne(channel, name)
      assert.isFalse(first.redelivered)
      yield* first.reject({ requeue: true })
      const again = yield* eventually(channel.get(name), Option.isSome)
      assert.isTrue(Option.isSome(again) && again.value.redelivered)
    })),

  test("a requeued message goes behind those that wait", ({ channel, queue, send, info }) =>
    Effect.gen(function* () {
      const { name } = yield* queue()
      yield* send(name, ["1", "2", "3"])
      yield* (yield* getOne(channel, name)).reject({ requeue: true })
      yield* eventually(info(name), ({ messageCount }) => messageCount === 3)
      assert.deepStrictEqual(texts(yield* drain(channel, name)), ["2", "3", "1"])
    })),

  test("what a closed channel held comes next, in its order, and says that it was delivered before", (place) =>
    Effect.gen(function* () {
      const { name } = yield* place.queue()
      yield* place.send(name, numbered(8))
      const { close, held } = yield* holding(place, name, 5)
      yield* held[1]!.ack
      yield* held[3]!.ack
      yield* close
      yield* eventually(place.info(name), ({ messageCount }) => messageCount === 6)
      const left = yield* drain(place.channel, name)
      assert.deepStrictEqual(texts(left), ["1", "3", "5", "6", "7", "8"])
      assert.deepStrictEqual(
        left.map(({ redelivered }) => redelivered),
        [true, true, true, false, false, false]
      )
    })),

  test("what a closed link held comes next, in its order", (place) =>
    Effect.gen(function* () {
      const { name } = yield* place.queue()
      yield* place.send(name, numbered(6))
      yield* Effect.scoped(
        Effect.gen(function* () {
          const channel = yield* (yield* place.transport.connect).channel
          const consumer = yield* inbox(channel, name, { prefetch: 4 })
          yield* consumer.take(4)
        })
      )
      yield* eventually(place.info(name), ({ messageCount }) => messageCount === 6)
      assert.deepStrictEqual(texts(yield* drain(place.channel, name)), numbered(6))
    })),

  test("settling twice does nothing, and is counted", ({ channel, queue, send, info }) =>
    Effect.gen(function* () {
      const { name } = yield* queue()
      yield* send(name, ["1", "2", "3"])
      const [first, second, third] = [
        yield* getOne(channel, name),
        yield* getOne(channel, name),
        yield* getOne(channel, name)
      ]
      yield* first.ack
      yield* second.reject({ requeue: true })
      yield* third.reject({ requeue: false })
      const count = yield* tooLate(
        Effect.gen(function* () {
          yield* first.ack
          yield* first.reject({ requeue: true })
          yield* second.ack
          yield* third.reject({ requeue: true })
        })
      )
      assert.strictEqual(count, 4)
      yield* eventually(info(name), ({ messageCount }) => messageCount === 1)
      assert.deepStrictEqual(texts(yield* drain(channel, name)), ["2"])
    })),

  test("of many that settle a delivery at once, one does", ({ channel, queue, send }) =>
    Effect.gen(function* () {
      const { name } = yield* queue()
      yield* send(name, ["1"])
      const { ack, reject } = yield* getOne(channel, name)
      const count = yield* tooLate(
        Effect.all([ack, ack, reject({ requeue: true }), reject({ requeue: false }), ack], {
          concurrency: "unbounded"
        })
      )
      assert.strictEqual(count, 4)
      assert.deepStrictEqual(yield* drain(channel, name), [])
    })),

  test("settling after the channel closed does nothing, and is counted: the broker has the message back", (place) =>
    Effect.gen(function* () {
      const { name } = yield* place.queue()
      yield* place.send(name, ["1", "2"])
      const { close, held } = yield* holding(place, name, 2)
      yield* close
      const count = yield* tooLate(Effect.andThen(held[0]!.ack, held[1]!.reject({ requeue: false })))
      assert.strictEqual(count, 2)
      yield* eventually(place.info(name), ({ messageCount }) => messageCount === 2)
      assert.deepStrictEqual(texts(yield* drain(place.channel, name)), ["1", "2"])
    })),

  test("a consumer never holds more than its prefetch, and one settle makes room for one", (place) =>
    Effect.gen(function* () {
      const { channel } = place
      const { name } = yield* place.queue()
      yield* place.send(name, numbered(10))
      const consumer = yield* inbox(channel, name, { prefetch: 3 })
      const [first, second] = yield* consumer.take(3)
      yield* stillWaiting(place, name, 7)
      yield* first!.ack
      const fourth = yield* consumer.next
      yield* stillWaiting(place, name, 6)
      yield* second!.reject({ requeue: false })
      const fifth = yield* consumer.next
      yield* stillWaiting(place, name, 5)
      yield* fourth.ack
      yield* fifth.ack
      assert.deepStrictEqual(texts(yield* consumer.take(2)), ["6", "7"])
      yield* stillWaiting(place, name, 3)
    })),

  test("messages that come later do not pass a full prefetch", (place) =>
    Effect.gen(function* () {
      const { name } = yield* place.queue()
      yield* place.send(name, numbered(2))
      const consumer = yield* inbox(place.channel, name, { prefetch: 2 })
      yield* consumer.take(2)
      yield* place.send(name, ["3", "4", "5"])
      yield* stillWaiting(place, name, 3)
    })),

  test("each consumer of a channel has a prefetch of its own", (place) =>
    Effect.gen(function* () {
      const one = (yield* place.queue()).name
      const other = (yield* place.queue()).name
      yield* place.send(one, numbered(5))
      yield* place.send(other, numbered(5))
      const first = yield* inbox(place.channel, one, { prefetch: 1 })
      yield* first.next
      const second = yield* inbox(place.channel, other, { prefetch: 3 })
      yield* second.take(3)
      yield* stillWaiting(place, one, 4)
      yield* stillWaiting(place, other, 2)
    })),

  test("a prefetch of 1 goes through a whole queue, one by one", ({ channel, queue, send }) =>
    Effect.gen(function* () {
      const { name } = yield* queue()
      yield* send(name, numbered(200))
      let running = 0
      const handled = yield* channel.consume(name, { prefetch: 1 }).pipe(
        Stream.take(200),
        Stream.mapEffect(
          (delivery) =>
            Effect.gen(function* () {
              assert.strictEqual(++running, 1)
              yield* Effect.yieldNow
              running--
              yield* delivery.ack
              return textOf(delivery)
            }),
          { concurrency: 5 }
        ),
        Stream.runCollect
      )
      assert.deepStrictEqual(handled, numbered(200))
    })),

  test("without acknowledgements a delivery is settled when it is sent", (place) =>
    Effect.gen(function* () {
      const { name } = yield* place.queue()
      yield* place.send(name, numbered(5))
      yield* Effect.scoped(
        Effect.gen(function* () {
          const channel = yield* place.connection.channel
          const consumer = yield* inbox(channel, name, { noAck: true, prefetch: 1 })
          const received = yield* consumer.take(5)
          assert.deepStrictEqual(texts(received), numbered(5))
          yield* received[0]!.ack
          yield* received[1]!.reject({ requeue: true })
        })
      )
      yield* stillWaiting(place, name, 0)
    })),

  test("a rejected message goes to the dead-letter exchange of its queue, and x-death tells its story", (place) =>
    Effect.gen(function* () {
      const { channel } = place
      const dead = yield* place.exchange("direct")
      const grave = yield* place.boundTo(dead, "buried")
      const { name } = yield* place.queue({
        arguments: { "x-dead-letter-exchange": dead.name, "x-dead-letter-routing-key": "buried" }
      })
      yield* channel.publish(message("m", { messageId: "id" }, { own: 1 }), { exchange: "", routingKey: name })
      yield* (yield* getOne(channel, name)).reject({ requeue: false })
      const found = yield* eventually(channel.get(grave), Option.isSome)
      if (Option.isNone(found)) return
      const { headers, properties } = found.value.message
      assert.strictEqual(textOf(found.value), "m")
      assert.strictEqual(properties.messageId, "id")
      assert.strictEqual(headers["own"], 1)
      assert.strictEqual(headers["x-first-death-queue"], name)
      assert.strictEqual(headers["x-first-death-reason"], "rejected")
      const death: unknown = Array.isArray(headers["x-death"]) ? headers["x-death"][0] : undefined
      assert.deepInclude(death as object, {
        queue: name,
        reason: "rejected",
        count: 1,
        exchange: "",
        "routing-keys": [name]
      })
      assert.instanceOf(Reflect.get(death as object, "time"), Date)
    })),

  test("x-death counts how often a message died in the same queue, the newest death first", (place) =>
    Effect.gen(function* () {
      const { channel } = place
      const dead = yield* place.exchange("fanout")
      const grave = yield* place.boundTo(dead)
      const { name } = yield* place.queue({ arguments: { "x-dead-letter-exchange": dead.name } })
      yield* channel.publish(message("m"), { exchange: "", routingKey: name })
      for (const count of [1, 2, 3]) {
        const living = yield* eventually(channel.get(name), Option.isSome)
        if (Option.isNone(living)) return
        yield* living.value.reject({ requeue: false })
        const found = yield* eventually(channel.get(grave), Option.isSome)
        if (Option.isNone(found)) return
        const deaths = found.value.message.headers["x-death"]
        assert.isTrue(Array.isArray(deaths) && deaths.length === 1)
        assert.deepInclude((deaths as ReadonlyArray<object>)[0]!, { queue: name, count })
        yield* found.value.ack
        yield* channel.publish(found.value.message, { exchange: "", routingKey: name })
      }
    })),

  test("a message whose time is over goes to the dead-letter exchange", (place) =>
    Effect.gen(function* () {
      const { channel } = place
      const dead = yield* place.exchange("fanout")
      const grave = yield* place.boundTo(dead)
      const { name } = yield* place.queue({ arguments: { "x-dead-letter-exchange": dead.name } })
      yield* channel.publish(message("m", { expiration: "0" }), { exchange: "", routingKey: name })
      assert.isTrue(Option.isNone(yield* channel.get(name)))
      const found = yield* eventually(channel.get(grave), Option.isSome)
      if (Option.isNone(found)) return
      assert.strictEqual(found.value.message.headers["x-first-death-reason"], "expired")
      // Or it would die again where it is now.
      assert.isUndefined(found.value.message.properties.expiration)
    })),

  test("a dead-letter exchange that is not there drops the message, and nothing else happens", ({
    channel,
    queue,
    send
  }) =>
    Effect.gen(function* () {
      const { name } = yield* queue({ arguments: { "x-dead-letter-exchange": fresh("nowhere") } })
      yield* send(name, ["1", "2"])
      yield* (yield* getOne(channel, name)).reject({ requeue: false })
      assert.deepStrictEqual(texts(yield* drain(channel, name)), ["2"])
    })),

  test("a message that would be dead-lettered in a circle by its age alone is dropped", (place) =>
    Effect.gen(function* () {
      const name = fresh("circle")
      const circle = {
        name,
        durable: true,
        exclusive: true,
        autoDelete: false,
        bindings: [],
        arguments: { "x-message-ttl": 0, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": name }
      }
      yield* place.channel.queueDeclare(circle)
      yield* place.send(name, ["m"])
      assert.isTrue(Option.isNone(yield* place.channel.get(name)))
      yield* stillWaiting(place, name, 0)
    })),

  test("a consumer that is interrupted anywhere loses nothing, and doubles nothing without saying so", interruptions)
]
