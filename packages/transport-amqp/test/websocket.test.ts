import * as Message from "@apium/hub/Message"
import * as Queue from "@apium/hub/Queue"
import * as TransportSuite from "@apium/hub/testing/TransportSuite"
import { Transport } from "@apium/hub/Transport"
import * as Amqp from "@apium/transport-amqp/websocket"
import { assert, describe, it, layer } from "@effect/vitest"
import { Duration, Effect, Fiber, Layer, Stream } from "effect"
import { RabbitMq } from "../../../test/support/RabbitMq.ts"
import { slack, until } from "../../../test/support/Figures.ts"
import { server } from "./support/Mute.ts"
import { relay } from "./support/Relay.ts"

const socketTo = (port: number, more = "") => `ws://127.0.0.1:${port}/${more}`

const through = (port: number, url: string, options?: Amqp.TransportOptions, more?: string) =>
  Effect.flatMap(Transport, ({ connect }) => connect).pipe(
    Effect.provide(Amqp.layerTransport(socketTo(port, more), url, options))
  )

/** What any WebSocket had in its own buffer at most, in octets, after a `send`. */
const mostBuffered = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => {
      const original = globalThis.WebSocket
      const seen = { original, most: 0 }
      globalThis.WebSocket = class extends original {
        override send(data: Parameters<WebSocket["send"]>[0]): void {
          super.send(data)
          seen.most = Math.max(seen.most, this.bufferedAmount)
        }
      }
      return seen
    }),
    ({ original }) => Effect.sync(() => void (globalThis.WebSocket = original))
  ),
  (seen) => () => seen.most
)

TransportSuite.suite(
  "RabbitMQ through a WebSocket",
  Layer.unwrap(
    Effect.gen(function* () {
      const rabbit = yield* RabbitMq
      const { port } = yield* relay(rabbit.node)
      return Amqp.layerTransport(socketTo(port), rabbit.url())
    })
  ).pipe(Layer.provide(RabbitMq.shared), Layer.orDie),
  {
    timeout: "3 minutes",
    skip: {
      "a requeued message goes behind those that wait":
        "RabbitMQ's classic queues put it back where it was, if that place is still there"
    }
  }
)

layer(RabbitMq.shared, { excludeTestServices: true })("a WebSocket to a relay", (it) => {
  it.effect("asks for no subprotocol, and for one when it is told to", () =>
    Effect.gen(function* () {
      const rabbit = yield* RabbitMq
      const { port, requests } = yield* relay(rabbit.node, { subprotocol: "amqp" })
      yield* through(port, rabbit.url())
      yield* through(port, rabbit.url(), { subprotocol: "amqp" }, "amqp?token=hunter2")
      assert.notMatch(requests[0]!, /sec-websocket-protocol/i)
      assert.match(requests[1]!, /^sec-websocket-protocol: *amqp$/im)
      assert.match(requests[1]!, /^GET \/amqp\?token=hunter2 /)
    })
  )

  it.effect("holds writers while the relay takes nothing, and loses nothing of theirs", () =>
    Effect.gen(function* () {
      const rabbit = yield* RabbitMq
      const { pause, port } = yield* relay(rabbit.node)
      const most = yield* mostBuffered
      const channel = yield* (yield* through(port, rabbit.url(), { writeTimeout: "1 minute" })).channel
      const queue = Queue.make("held", { autoDelete: true })
      yield* channel.queueDeclare(queue)
      const body = new Uint8Array(1024 * 1024)
      pause(true)
      const publishing = yield* Effect.forkChild(
        Effect.forEach(
          Array.from({ length: 32 }),
          () => channel.publish(Message.make(body), { exchange: "", routingKey: queue.name, confirm: true }),
          { concurrency: "unbounded", discard: true }
        )
      )
      yield* until(Effect.sync(() => most() > body.length))
      pause(false)
      yield* Fiber.join(publishing)
      assert.isBelow(most(), 8 * body.length)
      assert.strictEqual((yield* channel.queueDeclare(queue, { passive: true })).messageCount, 32)
      const [first] = yield* channel.consume(queue.name, { prefetch: 1 }).pipe(Stream.take(1), Stream.runCollect)
      assert.strictEqual(first!.message.body.length, body.length)
    })
  )

  it.effect("says when the relay has gone", () =>
    Effect.gen(function* () {
      const rabbit = yield* RabbitMq
      const { close, port } = yield* relay(rabbit.node)
      const connection = yield* through(port, rabbit.url())
      close()
      const { reason } = yield* Effect.flip(connection.closed)
      assert.strictEqual(reason._tag, "ConnectionLost")
    })
  )

  it.effect("reaches the broker's refusals", () =>
    Effect.gen(function* () {
      const rabbit = yield* RabbitMq
      const { port } = yield* relay(rabbit.node)
      const url = rabbit.url().replace("guest:guest", "guest:hunter2")
      const error = yield* Effect.flip(through(port, url))
      assert.strictEqual((error as { reason?: { _tag: string } }).reason?._tag, "AccessRefused")
      assert.notInclude(error.message, "hunter2")
    })
  )
})

describe("a relay that is none", () => {
  const failing = (port: number, more = "?token=hunter2") =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(through(port, "amqp://guest:hunter2@/", { connectTimeout: "1 minute" }, more))
      assert.strictEqual((error as { reason?: { _tag: string } }).reason?._tag, "ConnectionLost", error.message)
      assert.include(error.message, `127.0.0.1:${port}`)
      assert.notInclude(error.message, "hunter2")
    })

  it.live("because nobody listens is lost, and its token nowhere", () => failing(1))

  it.live("because it is a web server is lost as well, within seconds", () =>
    Effect.gen(function* () {
      const { port } = yield* server((socket) => {
        socket.once("data", () => socket.end("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"))
      })
      const [took] = yield* Effect.timed(failing(port))
      assert.isBelow(Duration.toMillis(took), 5000 + slack)
    })
  )

  it.effect("because its URL is none says what one begins with", () =>
    Effect.gen(function* () {
      const refused = (relay: string, url = "amqp://h") =>
        Effect.map(Effect.flip(Effect.scoped(Layer.build(Amqp.layerTransport(relay, url)))), ({ message }) => message)
      for (const relay of ["http://h/?token=hunter2", "hunter2", "amqp://u:hunter2@h"]) {
        const message = yield* refused(relay)
        assert.include(message, "ws:// or wss://")
        assert.notInclude(message, "hunter2")
      }
      assert.include(yield* refused("wss://u:hunter2@h"), "neither a user nor a #")
      assert.include(yield* refused("wss://h", "amqps://h"), "wss://")
    })
  )
})
