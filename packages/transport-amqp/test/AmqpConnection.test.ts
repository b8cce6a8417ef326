import type { HubError } from "@apium/hub/HubError"
import { Transport } from "@apium/hub/Transport"
import * as Amqp from "@apium/transport-amqp/node"
import { assert, layer } from "@effect/vitest"
import { Effect, Metric, Option } from "effect"
import * as Message from "@apium/hub/Message"
import * as HubQueue from "@apium/hub/Queue"
import { settledTwice } from "@apium/hub/Delivery"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import * as Figures from "../../../test/support/Figures.ts"
import * as Ports from "../../../test/support/Ports.ts"
import { RabbitMq } from "../../../test/support/RabbitMq.ts"
import * as Mute from "./support/Mute.ts"

const secret = "correct-horse"

const connect = (url: string) =>
  Effect.flatMap(Transport, (transport) => transport.connect).pipe(Effect.provide(Amqp.layerTransport(url)))

/** Why it could not connect; its text holds no password. */
const refusal = (url: string) =>
  Effect.map(Effect.flip(Effect.scoped(connect(url))), (error) => {
    assert.strictEqual(error._tag, "HubError")
    assert.notInclude(`${String(error)} ${JSON.stringify(error)}`, secret)
    return (error as HubError).reason
  })

const tooLate = Effect.map(Metric.value(settledTwice), ({ count }) => count)

layer(RabbitMq.shared, { excludeTestServices: true })("AmqpConnection", (it) => {
  it.effect("refused credentials are AccessRefused, with the broker's words and without the password", () =>
    Effect.gen(function* () {
      const rabbit = yield* RabbitMq
      const { host, port } = rabbit.node
      const reason = yield* refusal(`amqp://nobody:${secret}@${host}:${port}/${rabbit.vhost}`)
      assert.strictEqual(reason._tag, "AccessRefused")
      if (reason._tag === "AccessRefused") assert.match(reason.replyText, /ACCESS_REFUSED.*PLAIN/)
    })
  )

  it.effect("a virtual host that is not there is VhostNotFound, and one that is closed to the user AccessRefused", () =>
    Effect.gen(function* () {
      const rabbit = yield* RabbitMq
      const { host, port } = rabbit.node
      const missing = yield* refusal(`amqp://guest:guest@${host}:${port}/no-such-vhost`)
      assert.strictEqual(missing._tag, "VhostNotFound")
      if (missing._tag === "VhostNotFound") assert.strictEqual(missing.vhost, "no-such-vhost")
      yield* rabbit.addUser("outsider", secret, "nothing")
      const closed = yield* refusal(`amqp://outsider:${secret}@${host}:${port}/${rabbit.vhost}`)
      assert.strictEqual(closed._tag, "AccessRefused")
    })
  )

  it.effect("an HTTP server is a ProtocolMismatch", () =>
    Effect.gen(function* () {
      const http = yield* Effect.acquireRelease(
        Effect.callback<ReturnType<typeof createServer>>((resume) => {
          const made = createServer()
          made.listen(0, "127.0.0.1", () => resume(Effect.succeed(made)))
        }),
        (made) => Effect.sync(() => made.close())
      )
      const { port } = http.address() as AddressInfo
      const reason = yield* refusal(`amqp://guest:${secret}@127.0.0.1:${port}//`)
      assert.strictEqual(reason._tag, "ProtocolMismatch")
      if (reason._tag === "ProtocolMismatch") assert.strictEqual(reason.offered, "HTTP")
    })
  )

  it.effect("a peer of another version is a ProtocolMismatch that names it", () =>
    Effect.gen(function* () {
      const { port } = yield* Mute.server((socket) => socket.end("AMQP\0\u0001\0\0"))
      const reason = yield* refusal(`amqp://guest:${secret}@127.0.0.1:${port}//`)
      assert.strictEqual(reason._tag, "ProtocolMismatch")
      if (reason._tag === "ProtocolMismatch") assert.match(reason.offered, /AMQP 1/)
    })
  )

  it.effect("TLS to a port without it is TlsFailed", () =>
    Effect.gen(function* () {
      const { host, port } = (yield* RabbitMq).node
      const reason = yield* refusal(`amqps://guest:${secret}@${host}:${port}//`)
      assert.strictEqual(reason._tag, "TlsFailed")
    })
  )

  it.effect("a port nobody listens on is unreachable, and the text says which", () =>
    Effect.gen(function* () {
      const port = yield* Ports.free
      const reason = yield* refusal(`amqp://guest:${secret}@127.0.0.1:${port}//`)
      assert.strictEqual(reason._tag, "ConnectionLost")
      assert.include(reason.message, "ECONNREFUSED")
      assert.include(reason.message, `guest:**@127.0.0.1:${port}`)
    })
  )

  it.effect("a peer that says nothing is given up at the deadline, and the text names the step", () =>
    Effect.gen(function* () {
      const { port } = yield* Mute.server(() => {})
      const reason = yield* refusal(`amqp://guest:${secret}@127.0.0.1:${port}//?connect_timeout=2`)
      assert.strictEqual(reason._tag, "ConnectionLost")
      assert.include(reason.message, "while connection.start was due")
    })
  )

  it.effect("a peer that falls silent is found within two heartbeats, and everybody who waits hears of it", () =>
    Effect.gen(function* () {
      const rabbit = yield* RabbitMq
      const wire = yield* Mute.proxy(rabbit.node)
      const connection = yield* connect(`${rabbit.url(wire.port)}?heartbeat=1`)
      const channel = yield* connection.channel
      wire.mute()
      const asked = Effect.flip(channel.queueDeclare(HubQueue.temporary()))
      const began = performance.now()
      const [waiting, stalled] = yield* Figures.withStalls(asked)
      const took = performance.now() - began - stalled
      assert.strictEqual(waiting.reason._tag, "ConnectionLost")
      assert.strictEqual(waiting.reason.cause, "heartbeat")
      assert.isBelow(took, 2200)
      assert.strictEqual((yield* Effect.flip(connection.closed)).reason, waiting.reason)
    })
  )

  it.effect(
    "what an administrator closes is lost with his words, and a delivery of it settles as a counted no-op",
    () =>
      Effect.gen(function* () {
        const rabbit = yield* RabbitMq
        const connection = yield* connect(rabbit.url())
        const channel = yield* connection.channel
        const { name } = yield* channel.queueDeclare(HubQueue.make("held"))
        yield* channel.publish(Message.make(new Uint8Array(1)), { exchange: "", routingKey: name })
        const held = Option.getOrThrow(yield* channel.get(name))
        yield* rabbit.closeConnections("for a test")
        const { reason } = yield* Effect.flip(connection.closed)
        assert.strictEqual(reason._tag, "ConnectionLost")
        assert.include(reason.message, "320 CONNECTION_FORCED - for a test")
        const before = yield* tooLate
        yield* held.ack
        assert.strictEqual((yield* tooLate) - before, 1)
      })
  )
})
