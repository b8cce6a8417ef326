/** Declaring, asking, deleting: what is refused, with which code, and what goes along with what. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import type { Channel } from "../../Channel.ts"
import * as Exchange from "../../Exchange.ts"
import type { HubError } from "../../HubError.ts"
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
  refuses,
  test,
  texts
} from "./harness.ts"

const isThere = (place: Place, ask: (channel: Channel) => Effect.Effect<unknown, HubError>) =>
  Effect.map(Effect.exit(Effect.scoped(Effect.flatMap(place.connection.channel, ask))), Exit.isSuccess)

const hasQueue = (place: Place, name: string) =>
  isThere(place, (channel) => channel.queueDeclare(Queue.make(name), { passive: true }))

const hasExchange = (place: Place, name: string) =>
  isThere(place, (channel) => channel.exchangeDeclare(Exchange.direct(name), { passive: true }))

const gone = (there: Effect.Effect<boolean>) => eventually(there, (yes) => !yes)

export const topology: ReadonlyArray<Case> = [
  test("declaring a queue again changes nothing, and says how much is in it", ({ channel, queue, send }) =>
    Effect.gen(function* () {
      const declared = yield* queue(Queue.ttl("1 hour")(Queue.make("")))
      yield* send(declared.name, ["1", "2"])
      yield* getOne(channel, declared.name)
      const again = yield* channel.queueDeclare(declared)
      assert.deepStrictEqual([again.name, again.messageCount, again.consumerCount], [declared.name, 1, 0])
    })),

  test("declaring a queue with other properties is refused with 406", (place) =>
    Effect.gen(function* () {
      const queue = yield* place.queue()
      yield* refuses(place, 406, (channel) => channel.queueDeclare({ ...queue, durable: false }))
      yield* refuses(place, 406, (channel) => channel.queueDeclare({ ...queue, autoDelete: true }))
      yield* refuses(place, 406, (channel) => channel.queueDeclare(Queue.ttl("1 minute")(queue)))
      yield* place.channel.queueDeclare(queue)
    })),

  test("asking passively for a queue takes any properties, and one that is not there is refused with 404", (place) =>
    Effect.gen(function* () {
      const queue = yield* place.queue(Queue.ttl("1 hour")(Queue.make("")))
      const info = yield* place.channel.queueDeclare(Queue.make(queue.name, { durable: false }), { passive: true })
      assert.deepStrictEqual(info, { name: queue.name, messageCount: 0, consumerCount: 0 })
      yield* refuses(place, 404, (channel) => channel.queueDeclare(Queue.make(fresh("nowhere")), { passive: true }))
    })),

  test("a queue without a name gets one from the broker, another each time", ({ channel, send }) =>
    Effect.gen(function* () {
      const one = yield* channel.queueDeclare(Queue.temporary())
      const other = yield* channel.queueDeclare(Queue.temporary())
      assert.isAbove(one.name.length, 0)
      assert.notStrictEqual(one.name, other.name)
      yield* send(one.name, ["m"])
      assert.deepStrictEqual(texts(yield* drain(channel, one.name)), ["m"])
    })),

  test("an exclusive queue is its link's alone: any other is refused with 405", (place) =>
    Effect.gen(function* () {
      const queue = yield* place.queue({ exclusive: true, durable: false })
      const elsewhere = { ...place, connection: yield* place.transport.connect }
      yield* refuses(elsewhere, 405, (channel) => channel.queueDeclare(queue))
      yield* refuses(elsewhere, 405, (channel) => channel.queueDeclare(queue, { passive: true }))
      yield* refuses(elsewhere, 405, (channel) => channel.get(queue.name))
      yield* refuses(elsewhere, 405, (channel) => channel.queuePurge(queue.name))
      yield* refuses(elsewhere, 405, (channel) => channel.queueDelete(queue.name))
      yield* place.channel.queueDeclare(queue)
    })),

  test("anybody may publish to an exclusive queue", (place) =>
    Effect.gen(function* () {
      const { name } = yield* place.queue({ exclusive: true, durable: false })
      const channel = yield* (yield* place.transport.connect).channel
      yield* channel.publish(message("m"), { exchange: "", routingKey: name, mandatory: true })
      assert.deepStrictEqual(texts(yield* drain(place.channel, name)), ["m"])
    })),

  test("an exclusive queue goes with its link", (place) =>
    Effect.gen(function* () {
      const queue = Queue.make(fresh("queue"), { exclusive: true, durable: false })
      const scope = yield* Scope.make()
      const connection = yield* Scope.provide(place.transport.connect, scope)
      const channel = yield* Scope.provide(connection.channel, scope)
      yield* channel.queueDeclare(queue)
      yield* Scope.close(scope, Exit.void)
      yield* gone(hasQueue(place, queue.name))
    })),

  test("an auto-delete queue goes with its last consumer, and not before its first", (place) =>
    Effect.gen(function* () {
      const { name } = yield* place.queue({ autoDelete: true })
      yield* place.send(name, ["1", "2"])
      assert.isTrue(yield* hasQueue(place, name))
      const one = yield* inbox(place.channel, name, { prefetch: 1 })
      const other = yield* inbox(place.channel, name, { prefetch: 1 })
      yield* one.next
      yield* other.next
      yield* one.cancel
      assert.isTrue(yield* hasQueue(place, name))
      yield* other.cancel
      yield* gone(hasQueue(place, name))
    })),

  test("an auto-delete queue goes with the channel of its last consumer", (place) =>
    Effect.gen(function* () {
      const { name } = yield* place.queue({ autoDelete: true })
      yield* place.send(name, ["1"])
      yield* Effect.scoped(
        Effect.gen(function* () {
          const consumer = yield* inbox(yield* place.connection.channel, name)
          yield* consumer.next
        })
      )
      yield* gone(hasQueue(place, name))
    })),

  test("deleting a queue says how many messages went with it, and deleting it again that none did", (place) =>
    Effect.gen(function* () {
      const { name } = yield* place.queue()
      yield* place.send(name, numbered(3))
      assert.strictEqual(yield* place.channel.queueDelete(name), 3)
      assert.isFalse(yield* hasQueue(place, name))
      assert.strictEqual(yield* place.channel.queueDelete(name), 0)
    })),

  test("a queue deleted and declared again is empty and bound to nothing", ({ boundTo, channel, exchange, send }) =>
    Effect.gen(function* () {
      const fanout = yield* exchange("fanout")
      const name = yield* boundTo(fanout)
      yield* send(name, numbered(3))
      yield* channel.queueDelete(name)
      yield* channel.queueDeclare(Queue.make(name))
      yield* channel.publish(message("m"), { exchange: fanout.name, routingKey: "" })
      assert.deepStrictEqual(yield* drain(channel, name), [])
    })),

  test("a queue in use or not empty is not deleted by who asks for that: 406", (place) =>
    Effect.gen(function* () {
      const { name } = yield* place.queue()
      yield* place.send(name, ["1"])
      yield* refuses(place, 406, (channel) => channel.queueDelete(name, { ifEmpty: true }))
      const consumer = yield* inbox(place.channel, name)
      yield* (yield* consumer.next).ack
      yield* refuses(place, 406, (channel) => channel.queueDelete(name, { ifUnused: true }))
      yield* consumer.cancel
      yield* eventually(place.info(name), ({ consumerCount }) => consumerCount === 0)
      assert.strictEqual(yield* place.channel.queueDelete(name, { ifEmpty: true, ifUnused: true }), 0)
      assert.isFalse(yield* hasQueue(place, name))
    })),

  test("a purge throws away what waits, not what is held, and says how much", (place) =>
    Effect.gen(function* () {
      const { name } = yield* place.queue()
      yield* place.send(name, numbered(5))
      const held = yield* getOne(place.channel, name)
      assert.strictEqual(yield* place.channel.queuePurge(name), 4)
      assert.strictEqual(yield* place.channel.queuePurge(name), 0)
      yield* held.reject({ requeue: true })
      yield* eventually(place.info(name), ({ messageCount }) => messageCount === 1)
      yield* place.send(name, ["6"])
      assert.deepStrictEqual(texts(yield* drain(place.channel, name)), ["1", "6"])
    })),

  test("what is asked of a queue that is not there is refused with 404", (place) =>
    Effect.gen(function* () {
      const nowhere = fresh("nowhere")
      const exchange = yield* place.exchange("direct")
      yield* refuses(place, 404, (channel) => channel.get(nowhere))
      yield* refuses(place, 404, (channel) => channel.queuePurge(nowhere))
      yield* refuses(place, 404, (channel) => channel.queueBind(nowhere, { exchange, routingKey: "", arguments: {} }))
    })),

  test("declaring an exchange again changes nothing, and otherwise is refused with 406", (place) =>
    Effect.gen(function* () {
      const exchange = yield* place.exchange("direct")
      yield* place.channel.exchangeDeclare(exchange)
      yield* refuses(place, 406, (channel) => channel.exchangeDeclare({ ...exchange, type: "fanout" }))
      yield* refuses(place, 406, (channel) => channel.exchangeDeclare({ ...exchange, durable: false }))
      yield* place.channel.exchangeDeclare(exchange, { passive: true })
    })),

  test("an exchange that is not there is refused with 404, to ask for, to bind to and to publish to", (place) =>
    Effect.gen(function* () {
      const nowhere = Exchange.direct(fresh("nowhere"))
      const { name } = yield* place.queue()
      yield* refuses(place, 404, (channel) => channel.exchangeDeclare(nowhere, { passive: true }))
      yield* refuses(place, 404, (channel) =>
        channel.queueBind(name, { exchange: nowhere, routingKey: "", arguments: {} })
      )
      yield* refuses(place, 404, (channel) =>
        channel.publish(message("m"), { exchange: nowhere.name, routingKey: name })
      )
    })),

  test("the nameless exchange is neither declared, bound nor deleted: 403", (place) =>
    Effect.gen(function* () {
      const { name } = yield* place.queue()
      const binding = { exchange: Exchange.defaultExchange, routingKey: "", arguments: {} }
      yield* refuses(place, 403, (channel) => channel.exchangeDeclare(Exchange.defaultExchange))
      yield* refuses(place, 403, (channel) => channel.exchangeDelete(""))
      yield* refuses(place, 403, (channel) => channel.queueBind(name, binding))
    })),

  test("a deleted exchange routes no more, and deleting it again is no error", (place) =>
    Effect.gen(function* () {
      const exchange = yield* place.exchange("fanout")
      const name = yield* place.boundTo(exchange)
      yield* place.channel.exchangeDelete(exchange.name)
      yield* place.channel.exchangeDelete(exchange.name)
      yield* refuses(place, 404, (channel) =>
        channel.publish(message("m"), { exchange: exchange.name, routingKey: "" })
      )
      yield* place.channel.exchangeDeclare(exchange)
      yield* place.channel.publish(message("m"), { exchange: exchange.name, routingKey: "" })
      assert.deepStrictEqual(yield* drain(place.channel, name), [])
    })),

  test("an exchange in use is not deleted by who asks for that: 406", (place) =>
    Effect.gen(function* () {
      const exchange = yield* place.exchange("direct")
      const name = yield* place.boundTo(exchange, "a")
      yield* refuses(place, 406, (channel) => channel.exchangeDelete(exchange.name, { ifUnused: true }))
      yield* place.channel.queueDelete(name)
      yield* place.channel.exchangeDelete(exchange.name, { ifUnused: true })
      assert.isFalse(yield* hasExchange(place, exchange.name))
    })),

  test("an auto-delete exchange goes with its last binding, and not before its first", (place) =>
    Effect.gen(function* () {
      const exchange = yield* place.exchange("direct", { autoDelete: true })
      assert.isTrue(yield* hasExchange(place, exchange.name))
      const one = yield* place.boundTo(exchange, "a")
      const other = yield* place.boundTo(exchange, "b")
      yield* place.channel.queueUnbind(one, { exchange, routingKey: "a", arguments: {} })
      assert.isTrue(yield* hasExchange(place, exchange.name))
      yield* place.channel.queueDelete(other)
      yield* gone(hasExchange(place, exchange.name))
    }))
]
