import * as HubExchange from "@apium/hub/Exchange"
import type { HubError } from "@apium/hub/HubError"
import * as Message from "@apium/hub/Message"
import * as HubQueue from "@apium/hub/Queue"
import * as Method from "@apium/protocol/amqp/Method"
import * as AmqpConnection from "@apium/transport-amqp/AmqpConnection"
import * as Amqp from "@apium/transport-amqp/node"
import * as FakeBroker from "@apium/transport-amqp/testing/FakeBroker"
import * as NodeSocketServer from "@effect/platform-node-shared/NodeSocketServer"
import * as AmqpUri from "@apium/protocol/amqp/AmqpUri"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Option, type Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import { bytes, connect, logged, message, settle, tags, until, world } from "../support/Fake.ts"

describe("every method a client can send", () => {
  const made: Partial<Record<Method.Tag, Method.Method>> = {
    "queue.bind": Method.queueBind({ exchange: "amq.topic", routingKey: "#" }),
    "queue.unbind": Method.queueUnbind({ exchange: "amq.topic", routingKey: "#" }),
    "exchange.declare": Method.exchangeDeclare({ exchange: "mine", type: "fanout" }),
    "exchange.bind": Method.exchangeBind({ destination: "amq.fanout", source: "amq.direct" }),
    "exchange.unbind": Method.exchangeUnbind({ destination: "amq.fanout", source: "amq.direct" }),
    "exchange.delete": Method.exchangeDelete({ exchange: "mine" }),
    "basic.recover": Method.basicRecover({ requeue: true }),
    "channel.flow": Method.channelFlow({ active: true })
  }
  const skipped = /^(connection\.(start|secure|tune|open|blocked|unblocked|close)|channel\.(open|close)|basic\.publish)/

  const asked = Object.entries(Method.infos).filter(
    ([tag, { replies, sentBy }]) => sentBy !== "server" && replies.length > 0 && !skipped.test(tag)
  )

  it.effect("is understood by the broker's side, and has one of its answers, or its refusal", () =>
    Effect.gen(function* () {
      const fake = yield* FakeBroker.make()
      for (const [tag, { classId, replies }] of asked) {
        const client = yield* logged(fake)
        // A name left out is the last queue's.
        yield* client.say(1, Method.queueDeclare({ exclusive: true }))
        yield* client.expect("queue.declare-ok")
        const bare = { ...Object.values(Method).find(isMaker(tag))?.({}), _tag: tag } as Method.Method
        yield* client.say(classId === 10 ? 0 : 1, made[tag as Method.Tag] ?? bare)
        const { method } = yield* client.heard
        if (tag.startsWith("tx.")) {
          assert.deepStrictEqual(
            { ...method, replyText: "" },
            Method.connectionClose({ replyCode: 540, classId: 90, methodId: Method.infos[tag as "tx.select"].methodId })
          )
        } else {
          assert.include(replies, method._tag, tag)
        }
      }
      assert.strictEqual(asked.length, 21)
    })
  )

  const isMaker =
    (tag: string) =>
    (value: unknown): value is (fields: object) => object =>
      typeof value === "function" && value.name.toLowerCase() === tag.replaceAll(/[.-]/g, "").toLowerCase()

  it.effect("without an answer that is asked for gets none, and is done", () =>
    Effect.gen(function* () {
      const fake = yield* FakeBroker.make()
      const client = yield* logged(fake)
      yield* client.say(1, Method.exchangeDeclare({ exchange: "e", type: "topic", nowait: true }))
      yield* client.say(1, Method.queueDeclare({ queue: "q", durable: true, nowait: true }))
      yield* client.say(1, Method.queueBind({ queue: "q", exchange: "e", routingKey: "#", nowait: true }))
      yield* client.say(1, Method.confirmSelect({ nowait: true }))
      yield* client.publish(1, Method.basicPublish({ exchange: "e", routingKey: "a.b" }), {
        properties: {},
        body: bytes("m")
      })
      assert.deepStrictEqual(yield* client.expect("basic.ack"), Method.basicAck({ deliveryTag: 1 }))
      yield* client.say(1, Method.queuePurge({ queue: "q", nowait: true }))
      yield* client.say(1, Method.queueDelete({ queue: "q", nowait: true }))
      yield* client.say(1, Method.queueDeclare({ queue: "q", passive: true }))
      const { classId, methodId, replyCode } = yield* client.expect("channel.close")
      assert.deepStrictEqual([replyCode, classId, methodId], [404, 50, 10])
    })
  )
})

describe("the broker", () => {
  it.effect("has RabbitMQ's own exchanges, and they are as they are", () =>
    Effect.gen(function* () {
      const { channel, connection, name } = yield* world()
      for (const [exchange, key] of [
        [HubExchange.direct("amq.direct"), name],
        [HubExchange.topic("amq.topic"), "#"],
        [HubExchange.fanout("amq.fanout"), ""],
        [HubExchange.headers("amq.headers"), ""],
        [HubExchange.headers("amq.match"), ""]
      ] as const) {
        yield* channel.exchangeDeclare(exchange)
        yield* channel.queueBind(name, { exchange, routingKey: key, arguments: {} })
        yield* channel.publish(message(exchange.name), { exchange: exchange.name, routingKey: name, mandatory: true })
      }
      assert.strictEqual(yield* channel.queuePurge(name), 5)
      const refused = (work: Effect.Effect<unknown, HubError, Scope.Scope>) =>
        Effect.map(Effect.flip(work), (error) => error.message)
      const other = Effect.flatMap(connection.channel, (one) => one.exchangeDelete("amq.topic"))
      assert.include(yield* refused(other), "403 ACCESS_REFUSED - deletion of system exchange 'amq.topic'")
      const own = Effect.flatMap(connection.channel, (one) => one.queueDeclare(HubQueue.make("amq.mine")))
      assert.include(yield* refused(own), "403 ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.*'")
      const odd = Effect.flatMap(connection.channel, (one) => one.exchangeDeclare(HubExchange.make("e", "x-odd")))
      assert.include(yield* refused(odd), "503 COMMAND_INVALID - unknown exchange type 'x-odd'")
    })
  )

  it.effect("confirms in numbers, returns what no queue takes before it confirms it, and returns it whole", () =>
    Effect.gen(function* () {
      const { channel, fake, route } = yield* world()
      yield* Effect.all(
        Array.from({ length: 500 }, () => channel.publish(message("m"), route)),
        {
          concurrency: "unbounded"
        }
      )
      const lost = { exchange: "", routingKey: "nowhere", mandatory: true }
      const batch = yield* Effect.all(
        [
          channel.publish(message("a"), route),
          channel.publish(message("b"), lost),
          channel.publish(message("c"), route)
        ].map(Effect.exit),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(
        batch.map(({ _tag }) => _tag),
        ["Success", "Failure", "Success"]
      )
      assert.strictEqual(yield* channel.queuePurge(route.routingKey), 502)
      assert.strictEqual(tags(fake).filter((tag) => tag === "basic.publish").length, 503)
    })
  )

  it.effect("answers over amq.rabbitmq.reply-to, to the channel that asked", () =>
    Effect.gen(function* () {
      const { channel, connection, name, route } = yield* world()
      const server = yield* connection.channel
      yield* Effect.forkScoped(
        Stream.runForEach(server.consume(name, { noAck: true }), ({ message: { body, properties } }) =>
          server.publish(Message.make(body), { exchange: "", routingKey: properties.replyTo ?? "" })
        )
      )
      const answer = yield* Effect.forkScoped(Stream.runHead(channel.consume("amq.rabbitmq.reply-to", { noAck: true })))
      yield* settle
      yield* channel.publish(message("ping", { replyTo: "amq.rabbitmq.reply-to" }), route)
      assert.deepStrictEqual(Option.getOrThrow(yield* Fiber.join(answer)).message.body, bytes("ping"))
      const { reason } = yield* Effect.flip(
        Effect.flatMap(connection.channel, (other) =>
          other.publish(message("x", { replyTo: "amq.rabbitmq.reply-to" }), route)
        )
      )
      assert.include(reason.message, "406 PRECONDITION_FAILED - fast reply consumer does not exist")
    })
  )

  it.effect(
    "dead-letters what expires when its time has come, though nobody takes it, and what is behind it not before",
    () =>
      Effect.gen(function* () {
        const { channel, name, route } = yield* world()
        const waiting = HubQueue.deadLetter("", name)(HubQueue.ttl("10 seconds")(HubQueue.make("waiting")))
        yield* channel.queueDeclare(waiting)
        const to = { ...route, routingKey: "waiting" }
        yield* channel.publish(message("all of it"), to)
        yield* channel.publish(message("soon, but not first", { expiration: "1000" }), to)
        yield* channel.publish(message("later"), to)
        yield* TestClock.adjust("9999 millis")
        yield* settle
        assert.isTrue(Option.isNone(yield* channel.get(name)))
        yield* TestClock.adjust("1 millis")
        yield* settle
        const dead = yield* Effect.replicateEffect(Effect.map(channel.get(name), Option.getOrThrow), 3)
        assert.deepStrictEqual(
          dead.map(({ message: { body } }) => new TextDecoder().decode(body)),
          ["all of it", "soon, but not first", "later"]
        )
        assert.strictEqual(dead[0]?.message.headers["x-first-death-reason"], "expired")
      })
  )

  it.effect("tells a consumer whose queue is deleted, if the client knows what that means", () =>
    Effect.gen(function* () {
      const { channel, connection, fake, name } = yield* world()
      const consumer = yield* Effect.forkScoped(Effect.flip(Stream.runDrain(channel.consume(name))))
      yield* until(() => tags(fake).includes("basic.consume"))
      yield* (yield* connection.channel).queueDelete(name)
      assert.strictEqual((yield* Fiber.join(consumer)).reason._tag, "ConsumerCancelled")

      for (const knows of [true, false]) {
        const client = yield* logged(fake, { consumer_cancel_notify: knows })
        yield* client.say(1, Method.queueDeclare({ exclusive: true }))
        yield* client.expect("queue.declare-ok")
        yield* client.say(1, Method.basicConsume({ consumerTag: "c" }))
        yield* client.expect("basic.consume-ok")
        yield* client.say(1, Method.queueDelete())
        // In either order, as from RabbitMQ.
        const heard = [yield* client.heard, ...(knows ? [yield* client.heard] : [])].map(({ method }) => method)
        assert.deepInclude(heard, Method.queueDeleteOk())
        if (knows) assert.deepInclude(heard, Method.basicCancel({ consumerTag: "c", nowait: true }))
        yield* settle
        yield* client.say(1, Method.basicQos())
        yield* client.expect("basic.qos-ok")
      }
    })
  )

  it.effect("reads no publishes while it is blocked, and takes them all when it is not any more", () =>
    Effect.gen(function* () {
      const { channel, connection, fake, name, route } = yield* world()
      const seen = yield* Effect.forkScoped(Stream.runCollect(Stream.take(Stream.changes(connection.blocked), 3)))
      yield* settle
      yield* fake.block("low on memory")
      yield* settle
      const publishing = yield* Effect.forkScoped(channel.publish(message("m"), route))
      yield* settle
      assert.isUndefined(publishing.pollUnsafe())
      // Who does not listen is held back all the same.
      const deaf = yield* logged(fake)
      yield* deaf.publish(1, Method.basicPublish(route), { properties: {}, body: bytes("m") })
      yield* settle
      const late = yield* connect(fake)
      // It hears so with its first breath.
      yield* Stream.runHead(Stream.filter(late.blocked, (blocked) => blocked))
      yield* fake.unblock
      yield* Fiber.join(publishing)
      assert.deepStrictEqual(yield* Fiber.join(seen), [false, true, false])
      assert.strictEqual(yield* channel.queuePurge(name), 2)
    })
  )

  it.effect("sends heartbeats, and gives up a client that is silent for two periods", () =>
    Effect.gen(function* () {
      const fake = yield* FakeBroker.make({ limits: { heartbeat: 10 } })
      const alive = yield* connect(fake)
      const channel = yield* alive.channel
      for (let round = 0; round < 20; round++) yield* Effect.andThen(TestClock.adjust("5 seconds"), settle)
      yield* channel.queueDeclare(HubQueue.temporary())
      assert.strictEqual(fake.connections().length, 1)
      const silent = yield* logged(fake, {}, 10)
      yield* TestClock.adjust("19 seconds")
      yield* settle
      assert.strictEqual(fake.connections().length, 2)
      yield* TestClock.adjust("6 seconds")
      // Heartbeats, and then the end.
      const rest = yield* silent.rest
      assert.strictEqual(rest.replaceAll("\b\0\0\0\0\0\0\u00ce", ""), "")
      assert.isAbove(rest.length, 0)
      yield* until(() => fake.connections().length === 1)
    })
  )

  it.effect("serves sockets that others accept: clients over TCP", () =>
    Effect.gen(function* () {
      const fake = yield* FakeBroker.make()
      const server = yield* NodeSocketServer.make({ port: 0, host: "127.0.0.1" })
      yield* Effect.forkScoped(server.run((socket) => fake.serve(socket)))
      const port = "port" in server.address ? server.address.port : 0
      const uri = AmqpUri.parseAllUnsafe(`amqp://127.0.0.1:${port}//`)[0]
      const connection = yield* AmqpConnection.make({ uri, socket: Amqp.dial(uri) })
      const channel = yield* connection.channel
      const { name } = yield* channel.queueDeclare(HubQueue.temporary())
      const body = new Uint8Array(3_000_000).fill(7)
      yield* channel.publish(Message.make(body), { exchange: "", routingKey: name })
      assert.deepStrictEqual(Option.getOrThrow(yield* channel.get(name)).message.body, body)
      yield* fake.closeConnections()
      assert.include((yield* Effect.flip(connection.closed)).message, "320 CONNECTION_FORCED")
    })
  )
})
