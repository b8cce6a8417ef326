import { assert, describe, it, layer } from "@effect/vitest"
import { connect } from "amqplib"
import { Effect } from "effect"
import * as FaultPipe from "../FaultPipe.ts"
import * as FaultProxy from "../FaultProxy.ts"
import { RabbitMq, RabbitMqServer } from "../RabbitMq.ts"
import * as Wire from "./Wire.ts"

const hello = Buffer.from("AMQP\0\0\u0009\u0001", "latin1")

/** The frame type, the channel, and the numbers of class and method of the broker's first frame. */
const start = [1, 0, 10, 10]

/** What the broker answers to the protocol header, or how the wire ended. */
const greet = (wire: Wire.Wire): Effect.Effect<ReadonlyArray<number> | string> =>
  Effect.gen(function* () {
    yield* wire.send(hello)
    yield* wire.until(11)
    const bytes = wire.bytes()
    if (bytes.length < 11) return yield* wire.ended
    return [bytes[0]!, bytes.readUInt16BE(1), bytes.readUInt16BE(7), bytes.readUInt16BE(9)]
  })

const greeted = (port: number) => Effect.flatMap(Wire.dial(port), greet)

/** A connection of amqplib's, and how it ended. */
const client = (url: string) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const connection = await connect(url)
      const ended = new Promise<string>((resolve) => {
        connection.on("error", () => {})
        connection.once("close", (error?: Error) => resolve(error?.message ?? "closed"))
      })
      return { connection, ended: Effect.promise(() => ended) }
    }),
    ({ connection }) => Effect.promise(() => connection.close().catch(() => {}))
  )

describe("RabbitMq.shared", () => {
  it.effect("gives every layer a virtual host of its own, which goes with it", () =>
    Effect.gen(function* () {
      const use = Effect.gen(function* () {
        const rabbit = yield* RabbitMq
        const { connection } = yield* client(rabbit.url())
        const channel = yield* Effect.promise(() => connection.createChannel())
        yield* Effect.promise(() => channel.assertQueue("mine"))
        assert.deepStrictEqual(yield* rabbit.queues, [
          { name: "mine", type: "classic", ready: 0, unacked: 0, consumers: 0 }
        ])
        return rabbit
      }).pipe(Effect.scoped, Effect.provide(RabbitMq.shared))
      const [one, other] = yield* Effect.all([use, use], { concurrency: "unbounded" })
      assert.strictEqual(one.node.port, other.node.port)
      assert.notStrictEqual(one.vhost, other.vhost)
      const left = (yield* one.evaluate("rabbit_vhost:list_names()")) as ReadonlyArray<string>
      assert.isFalse(left.includes(one.vhost) || left.includes(other.vhost))
    })
  )
})

layer(RabbitMq.layer({ tls: true, management: true }))("RabbitMq", (it) => {
  it.effect("answers the protocol header, plainly and through TLS that is verified", () =>
    Effect.gen(function* () {
      const { port, tls } = (yield* RabbitMq).node
      assert.deepStrictEqual(yield* greeted(port), start)
      const secured = yield* Wire.secure(tls!.port, { ca: tls!.authority, ...tls!.client })
      assert.deepStrictEqual(yield* greet(secured), start)
      // What it offers to whom has a certificate.
      assert.include(secured.text(), "EXTERNAL")
      const wary = yield* Wire.secure(tls!.port, {})
      assert.include(["SELF_SIGNED_CERT_IN_CHAIN", "UNABLE_TO_VERIFY_LEAF_SIGNATURE"], yield* wary.ended)
    })
  )

  it.effect("shows queues, consumers and connections as they are at this moment", () =>
    Effect.gen(function* () {
      const rabbit = yield* RabbitMq
      const { connection } = yield* client(`${rabbit.url()}?heartbeat=7`)
      const channel = yield* Effect.promise(() => connection.createConfirmChannel())
      yield* Effect.promise(async () => {
        await channel.assertQueue("seen", { arguments: { "x-queue-type": "quorum" } })
        for (let i = 0; i < 5; i++) channel.sendToQueue("seen", Buffer.from("x"))
        await channel.waitForConfirms()
        await channel.prefetch(2)
        await new Promise((resolve) => void channel.consume("seen", resolve, { consumerTag: "tag" }))
      })
      assert.deepStrictEqual(yield* rabbit.consumers, [{ queue: "seen", tag: "tag", prefetch: 2, ackRequired: true }])
      assert.deepStrictEqual(yield* rabbit.queues, [
        { name: "seen", type: "quorum", ready: 3, unacked: 2, consumers: 1 }
      ])
      const [one, ...more] = yield* rabbit.connections
      assert.deepInclude(one, { user: "guest", vhost: "/", state: "running", channels: 1, heartbeat: 7 })
      assert.deepStrictEqual(more, [])
      yield* Effect.promise(() => channel.deleteQueue("seen"))
    }).pipe(Effect.scoped)
  )

  it.effect("closes all connections, and says why", () =>
    Effect.gen(function* () {
      const rabbit = yield* RabbitMq
      const clients = [yield* client(rabbit.url()), yield* client(rabbit.url())]
      // One of a test before may be on its way out.
      yield* Effect.repeat(rabbit.connections, { until: ({ length }) => length === 2 })
      assert.strictEqual(yield* rabbit.closeConnections("out, all of you"), 2)
      for (const { ended } of clients) assert.include(yield* ended, "CONNECTION_FORCED - out, all of you")
    }).pipe(Effect.scoped)
  )

  it.effect("blocks publishers while it has its memory alarm", () =>
    Effect.gen(function* () {
      const rabbit = yield* RabbitMq
      const { connection } = yield* client(rabbit.url())
      const said: Array<string> = []
      const event = (name: "blocked" | "unblocked") =>
        new Promise<void>((resolve) => connection.once(name, () => resolve(void said.push(name))))
      const events = [event("blocked"), event("unblocked")]
      const channel = yield* Effect.promise(() => connection.createChannel())
      yield* Effect.promise(() => channel.assertQueue("", { exclusive: true }))
      yield* rabbit.memoryAlarm(true)
      // Only who publishes is told.
      channel.publish("", "nowhere", Buffer.from("x"))
      yield* Effect.promise(() => events[0]!)
      yield* rabbit.memoryAlarm(false)
      yield* Effect.promise(() => events[1]!)
      assert.deepStrictEqual(said, ["blocked", "unblocked"])
    }).pipe(Effect.scoped)
  )

  it.effect("has users and virtual hosts for as long as a scope", () =>
    Effect.gen(function* () {
      const rabbit = yield* RabbitMq
      const login = (user: string, vhost: string) => {
        const url = `amqp://${user}:secret@127.0.0.1:${rabbit.node.port}/${vhost}`
        return Effect.promise(() =>
          connect(url).then(
            async (connection) => {
              await connection.close()
              return "in"
            },
            () => "out"
          )
        )
      }
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* rabbit.addUser("ada", "secret")
          yield* rabbit.addUser("bob", "secret", "nothing")
          yield* rabbit.addVhost("other")
          assert.strictEqual(yield* login("ada", "%2F"), "in")
          assert.strictEqual(yield* login("ada", "other"), "out")
          assert.strictEqual(yield* login("bob", "%2F"), "out")
        })
      )
      assert.strictEqual(yield* login("ada", "%2F"), "out")
    })
  )

  it.effect("says what was wrong with what it was asked to do", () =>
    Effect.gen(function* () {
      const rabbit = yield* RabbitMq
      assert.match(
        (yield* Effect.flip(rabbit.evaluate("no:such()"))).message,
        /did not do this:\nno:such\(\)\n.*undef/s
      )
      assert.match((yield* Effect.flip(rabbit.evaluate("1 +"))).message, /syntax error/)
      const many = yield* rabbit.evaluate("lists:seq(1, 100000)")
      assert.strictEqual((many as ReadonlyArray<number>).length, 100_000)
    })
  )

  it.effect("answers its management API", () =>
    Effect.gen(function* () {
      const { management } = (yield* RabbitMq).node
      const overview = yield* Effect.promise(async () => {
        const response = await fetch(`http://127.0.0.1:${management}/api/overview`, {
          headers: { authorization: `Basic ${btoa("guest:guest")}` }
        })
        return (await response.json()) as { readonly product_name: string }
      })
      assert.strictEqual(overview.product_name, "RabbitMQ")
    })
  )

  it.effect(
    "greets through a proxy that is slow, narrow or slices, and not through one that cuts, refuses or hides it",
    () =>
      Effect.gen(function* () {
        const { node } = yield* RabbitMq
        const proxy = yield* FaultProxy.make(node)
        for (const shape of [
          { latency: 20 },
          { bandwidth: 5_000 },
          { slice: 1 },
          { slice: FaultPipe.between(3, 1, 4) }
        ]) {
          yield* proxy.shape("both", shape)
          assert.deepStrictEqual(yield* greeted(proxy.port), start)
          yield* proxy.heal
        }
        const cutDown = yield* proxy.cut({ direction: "down", when: FaultPipe.after(7) })
        assert.strictEqual(yield* greeted(proxy.port), "ECONNRESET")
        yield* cutDown
        const cutUp = yield* proxy.cut({ direction: "up", when: FaultPipe.seen(hello), how: "close" })
        assert.strictEqual(yield* greeted(proxy.port), "end")
        yield* cutUp
        yield* proxy.refuse
        assert.strictEqual(yield* greeted(proxy.port), "ECONNREFUSED")
        yield* proxy.heal
        yield* proxy.blackHole
        const hidden = yield* Wire.dial(proxy.port)
        yield* hidden.send(hello)
        yield* greeted(node.port)
        assert.strictEqual(hidden.text(), "")
        yield* proxy.heal
        yield* hidden.until(11)
        assert.strictEqual(hidden.bytes()[0], 1)
      }).pipe(Effect.scoped)
  )

  it.effect("keeps what it confirmed when it is killed, and comes back at its ports", () =>
    Effect.gen(function* () {
      const [rabbit, server] = [yield* RabbitMq, yield* RabbitMqServer]
      const { connection, ended } = yield* client(rabbit.url())
      const channel = yield* Effect.promise(() => connection.createConfirmChannel())
      yield* Effect.promise(async () => {
        await channel.assertQueue("kept", { durable: true })
        for (let i = 0; i < 100; i++) channel.sendToQueue("kept", Buffer.from("x"), { persistent: true })
        await channel.waitForConfirms()
      })
      yield* rabbit.flush
      yield* server.kill
      yield* ended
      assert.strictEqual(yield* greeted(rabbit.node.port), "ECONNREFUSED")
      assert.match((yield* Effect.flip(rabbit.queues)).message, /^erl_call ended with 1/)
      yield* server.start
      assert.deepStrictEqual(yield* rabbit.queues, [
        { name: "kept", type: "classic", ready: 100, unacked: 0, consumers: 0 }
      ])
      assert.deepStrictEqual(yield* greeted(rabbit.node.port), start)
    }).pipe(Effect.scoped)
  )
})
