/** What a message carries, and that it comes out as it went in. */
import { assert } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Arguments } from "../../Exchange.ts"
import * as Message from "../../Message.ts"
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
  test,
  textOf,
  texts
} from "./harness.ts"

/** Of every kind a field table has; a timestamp there counts whole seconds. */
const headers: Arguments = {
  empty: "",
  text: "déjà vu 🌱",
  long: "x".repeat(70_000),
  yes: true,
  no: false,
  small: 7,
  negative: -129,
  word: 70_000,
  beyondInt32: 2 ** 40,
  mostSafe: Number.MAX_SAFE_INTEGER,
  int64: 2n ** 60n,
  fraction: 0.1,
  tiny: 5e-324,
  nothing: null,
  at: new Date(1_700_000_000_000),
  bytes: Uint8Array.of(0, 1, 206, 255),
  list: ["a", 1, false, null, [2]],
  emptyList: [],
  table: { inner: { deep: "er" }, list: [{ a: 1 }] },
  emptyTable: {}
}

const properties = (userId: string): Message.Properties => ({
  contentType: "application/json",
  contentEncoding: "utf-8",
  deliveryMode: "persistent",
  priority: 3,
  correlationId: "correlation",
  replyTo: "reply.here",
  expiration: "600000",
  messageId: "id-1",
  timestamp: new Date(1_700_000_000_000),
  type: "kind",
  userId,
  appId: "app",
  clusterId: "cluster"
})

/** Bytes that differ, so that a part which is missing, doubled or moved shows. */
const pattern = (size: number): Uint8Array => {
  const words = new Uint32Array(Math.ceil(size / 4))
  for (let index = 0; index < words.length; index++) words[index] = Math.imul(index, 2_654_435_761)
  return new Uint8Array(words.buffer, 0, size)
}

/** Chai takes minutes to compare millions of numbers. */
const sameBytes = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && a.every((octet, index) => octet === b[index])

const body = (size: number, name: string): Case =>
  test(`a body of ${name} comes out as it went in`, ({ channel, queue }) =>
    Effect.gen(function* () {
      const { name } = yield* queue()
      const sent = pattern(size)
      yield* channel.publish(Message.make(sent), { exchange: "", routingKey: name })
      yield* channel.publish(message("after"), { exchange: "", routingKey: name })
      const received = yield* getOne(channel, name)
      assert.isTrue(sameBytes(received.message.body, sent))
      yield* received.ack
      assert.strictEqual(textOf(yield* getOne(channel, name)), "after")
    }))

const priorities = ({ channel, queue, transport }: Place) =>
  Effect.gen(function* () {
    const { name } = yield* queue(Queue.priority(9)(Queue.make("")))
    for (const [text, priority] of [
      ["a", 0],
      ["b", 9],
      ["c", 3],
      ["d", 9],
      ["e", 0],
      ["f", 6]
    ] as const) {
      yield* channel.publish(message(text, { priority }), { exchange: "", routingKey: name })
    }
    const highestFirst = ["b", "d", "f", "c", "a", "e"]
    const lowestFirst = ["a", "e", "c", "f", "b", "d"]
    assert.deepStrictEqual(
      texts(yield* drain(channel, name)),
      transport.capabilities.priority === "highest-first" ? highestFirst : lowestFirst
    )
  })

export const messages = (userId: string): ReadonlyArray<Case> => [
  body(0, "no bytes"),
  body(1, "one byte"),
  body(2 ** 20, "1 MiB"),
  body(2 ** 24, "16 MiB"),

  test("headers of every kind a field table has come out as they went in", ({ channel, queue }) =>
    Effect.gen(function* () {
      const { name } = yield* queue()
      yield* channel.publish(message("m", {}, headers), { exchange: "", routingKey: name })
      assert.deepStrictEqual((yield* getOne(channel, name)).message.headers, headers)
    })),

  test("all properties come out as they went in", ({ channel, queue }) =>
    Effect.gen(function* () {
      const { name } = yield* queue()
      const sent = properties(userId)
      yield* channel.publish(message("m", sent), { exchange: "", routingKey: name })
      const received = (yield* getOne(channel, name)).message.properties
      for (const [key, value] of Object.entries(sent)) assert.deepStrictEqual(Reflect.get(received, key), value, key)
    })),

  test("a property that was not set is not there", ({ channel, queue }) =>
    Effect.gen(function* () {
      const { name } = yield* queue()
      yield* channel.publish(message("m", { messageId: "only" }), { exchange: "", routingKey: name })
      const received = (yield* getOne(channel, name)).message
      assert.strictEqual(received.properties.messageId, "only")
      for (const key of ["contentType", "correlationId", "replyTo", "expiration", "type", "appId"]) {
        assert.isUndefined(Reflect.get(received.properties, key), key)
      }
      assert.deepStrictEqual(received.headers, {})
    })),

  test("a delivery says where it was published to and which queue it came from", ({ channel, boundTo, exchange }) =>
    Effect.gen(function* () {
      const topic = yield* exchange("topic")
      const name = yield* boundTo(topic, "a.#")
      yield* channel.publish(message("m"), { exchange: topic.name, routingKey: "a.b" })
      const delivery = yield* getOne(channel, name)
      assert.deepStrictEqual(
        [delivery.route.exchange, delivery.route.routingKey, delivery.queue, delivery.consumerTag],
        [topic.name, "a.b", name, ""]
      )
      assert.isFalse(delivery.redelivered)
    })),

  test("messages come out in the order they went in", ({ channel, queue, send }) =>
    Effect.gen(function* () {
      const { name } = yield* queue()
      yield* send(name, numbered(100))
      const consumer = yield* inbox(channel, name)
      assert.deepStrictEqual(texts(yield* consumer.take(100)), numbered(100))
    })),

  test("a batch comes out in its order", ({ channel, queue }) =>
    Effect.gen(function* () {
      const { name } = yield* queue()
      yield* channel.publishAll([])
      yield* channel.publishAll(
        numbered(1000).map((text) => [message(text), { exchange: "", routingKey: name }] as const)
      )
      assert.deepStrictEqual(texts(yield* drain(channel, name)), numbered(1000))
    })),

  test("messages of many publishers are all there, each publisher's in order", ({ channel, queue }) =>
    Effect.gen(function* () {
      const { name } = yield* queue()
      const publishers = ["a", "b", "c", "d", "e"]
      yield* Effect.forEach(
        publishers,
        (publisher) =>
          Effect.forEach(numbered(40), (number) =>
            channel.publish(message(`${publisher}${number}`), { exchange: "", routingKey: name })
          ),
        { concurrency: "unbounded", discard: true }
      )
      const received = texts(yield* drain(channel, name))
      assert.strictEqual(received.length, 200)
      for (const publisher of publishers) {
        const own = received.filter((text) => text.startsWith(publisher)).map((text) => text.slice(1))
        assert.deepStrictEqual(own, numbered(40))
      }
    })),

  test("messages of one priority come out in order, and priorities in the order the transport says", priorities),

  test("a queue without priorities ignores them", ({ channel, queue }) =>
    Effect.gen(function* () {
      const { name } = yield* queue()
      for (const priority of [0, 9, 3]) {
        yield* channel.publish(message(String(priority), { priority }), { exchange: "", routingKey: name })
      }
      assert.deepStrictEqual(texts(yield* drain(channel, name)), ["0", "9", "3"])
    })),

  test("a mandatory message that no queue takes fails with Returned, and the channel lives on", ({
    channel,
    queue,
    transport
  }) =>
    Effect.gen(function* () {
      const nowhere = fresh("nowhere")
      const exit = yield* Effect.exit(
        channel.publish(message("m"), { exchange: "", routingKey: nowhere, mandatory: true })
      )
      if (transport.capabilities.mandatory) {
        const error = yield* Effect.flip(exit)
        assert.strictEqual(error.reason._tag, "Returned")
        if (error.reason._tag === "Returned") {
          assert.deepStrictEqual(
            [error.reason.replyCode, error.reason.exchange, error.reason.routingKey],
            [312, "", nowhere]
          )
        }
      } else {
        yield* exit
      }
      const { name } = yield* queue()
      yield* channel.publish(message("m"), { exchange: "", routingKey: name, mandatory: true })
      assert.strictEqual((yield* drain(channel, name)).length, 1)
    })),

  test("a mandatory message that an exchange routes nowhere fails with Returned", ({
    channel,
    exchange,
    transport,
    boundTo
  }) =>
    Effect.gen(function* () {
      const direct = yield* exchange("direct")
      const name = yield* boundTo(direct, "right")
      yield* channel.publish(message("m"), { exchange: direct.name, routingKey: "right", mandatory: true })
      const wrong = channel.publish(message("m"), { exchange: direct.name, routingKey: "wrong", mandatory: true })
      if (transport.capabilities.mandatory) assert.strictEqual((yield* Effect.flip(wrong)).reason._tag, "Returned")
      else yield* wrong
      assert.strictEqual((yield* drain(channel, name)).length, 1)
    })),

  test("a batch with a message that is returned fails with that, and the others are in their queue", ({
    channel,
    queue,
    transport
  }) =>
    Effect.gen(function* () {
      const { name } = yield* queue()
      const to = (routingKey: string) => ({ exchange: "", routingKey, mandatory: true })
      const batch = channel.publishAll([
        [message("1"), to(name)],
        [message("2"), to(fresh("nowhere"))],
        [message("3"), to(name)]
      ])
      if (transport.capabilities.mandatory) assert.strictEqual((yield* Effect.flip(batch)).reason._tag, "Returned")
      else yield* batch
      assert.deepStrictEqual(texts(yield* drain(channel, name)), ["1", "3"])
    })),

  test("a message that is not mandatory and that no queue takes is gone without a word", ({ channel, exchange }) =>
    Effect.gen(function* () {
      const direct = yield* exchange("direct")
      yield* channel.publish(message("m"), { exchange: "", routingKey: fresh("nowhere") })
      yield* channel.publish(message("m"), { exchange: direct.name, routingKey: "nowhere" })
    })),

  test("a message whose time to live is over is not delivered", ({ channel, queue }) =>
    Effect.gen(function* () {
      const { name } = yield* queue()
      yield* channel.publish(message("short", { expiration: "0" }), { exchange: "", routingKey: name })
      yield* channel.publish(message("long", { expiration: "600000" }), { exchange: "", routingKey: name })
      assert.deepStrictEqual(texts(yield* drain(channel, name)), ["long"])
    })),

  test(
    "a message that is not to be delivered before its time is not",
    ({ channel, queue, transport }) =>
      Effect.gen(function* () {
        const { name } = yield* queue()
        const notBefore = (yield* Clock.currentTimeMillis) + 300
        yield* channel.publish(message("later"), { exchange: "", routingKey: name, notBefore })
        yield* channel.publish(message("now"), { exchange: "", routingKey: name })
        const consumer = yield* inbox(channel, name)
        const received = yield* consumer.take(2)
        const { delay } = transport.capabilities
        if (delay === "worker" || delay === "consumer") {
          assert.deepStrictEqual(texts(received), ["later", "now"])
        } else {
          assert.deepStrictEqual(texts(received), ["now", "later"])
          assert.isAtLeast(yield* Clock.currentTimeMillis, notBefore)
        }
      }),
    ({ delay }) => (delay === "lattice" ? "a lattice keeps whole seconds" : undefined)
  ),

  test("a message whose time has passed is delivered at once", ({ channel, queue }) =>
    Effect.gen(function* () {
      const { name } = yield* queue()
      yield* channel.publish(message("m"), { exchange: "", routingKey: name, notBefore: 1 })
      assert.strictEqual(textOf(yield* getOne(channel, name)), "m")
    })),

  test(
    "a delivery that is postponed comes when it is due, or half a second sooner, as if nobody had had it",
    ({ channel, queue }) =>
      Effect.gen(function* () {
        const { name } = yield* queue()
        for (const text of ["later", "now", "settled"]) {
          yield* channel.publish(message(text, { priority: 0 }), { exchange: "", routingKey: name })
        }
        const consumer = yield* inbox(channel, name, { prefetch: 3 })
        const [later, now, settled] = yield* consumer.take(3)
        const notBefore = (yield* Clock.currentTimeMillis) + 800
        yield* settled!.ack
        yield* settled!.postpone!(notBefore)
        yield* later!.postpone!(notBefore)
        // Somebody else's from now on.
        yield* later!.ack
        const again = yield* consumer.next
        assert.isAtLeast(yield* Clock.currentTimeMillis, notBefore - 500)
        assert.deepStrictEqual(
          [textOf(again), again.redelivered, again.deliveryCount, again.message.properties.priority],
          ["later", false, later!.deliveryCount, 0]
        )
        yield* again.ack
        yield* now!.postpone!(1)
        const due = yield* consumer.next
        assert.strictEqual(textOf(due), "now")
        yield* due.ack
      }),
    ({ delay }) => (delay === "lattice" || delay === "worker" ? "it cannot be postponed" : undefined)
  ),

  test(
    "what is postponed does not count as waiting, and is thrown away with its queue",
    ({ channel, queue }) =>
      Effect.gen(function* () {
        const { name } = yield* queue()
        const later = (yield* Clock.currentTimeMillis) + 3_600_000
        for (const text of ["1", "2"]) yield* channel.publish(message(text), { exchange: "", routingKey: name })
        for (const _ of ["1", "2"]) {
          const delivery = yield* getOne(channel, name)
          yield* delivery.postpone!(later)
        }
        yield* channel.publish(message("3"), { exchange: "", routingKey: name })
        const { messageCount } = yield* channel.queueDeclare(Queue.make(name), { passive: true })
        assert.strictEqual(messageCount, 1)
        assert.strictEqual(yield* channel.queuePurge(name), 3)
        assert.strictEqual(yield* channel.queuePurge(name), 0)
      }),
    ({ delay }) => (delay === "lattice" || delay === "worker" ? "it cannot be postponed" : undefined)
  ),

  test("delivery counts begin at none and grow with each time a message is given back", ({
    channel,
    queue,
    transport
  }) =>
    Effect.gen(function* () {
      const counts = transport.capabilities.deliveryCount
      const { name } = yield* queue(counts === "queue" ? Queue.quorum(Queue.make("")) : {})
      yield* channel.publish(message("m"), { exchange: "", routingKey: name })
      for (const expected of [0, 1, 2]) {
        const delivery = yield* eventually(channel.get(name), Option.isSome)
        assert.isTrue(Option.isSome(delivery))
        if (Option.isNone(delivery)) return
        assert.strictEqual(delivery.value.redelivered, expected > 0)
        assert.deepStrictEqual(
          delivery.value.deliveryCount,
          counts === "republish" ? Option.none() : Option.some(expected)
        )
        yield* delivery.value.reject({ requeue: true })
      }
    }))
]
