/**
 * The door through a WebSocket, for browsers and wherever there is no TCP: a relay at the other end takes what comes in binary
 * messages and writes it to the broker. RabbitMQ has none for AMQP 0-9-1; cloudamqp/websocket-tcp-relay is one, LavinMQ has its own.
 *
 * ```ts
 * import * as Amqp from "@apium/transport-amqp/websocket"
 *
 * program.pipe(Effect.provide(Amqp.layer("wss://relay.example/amqp", "amqp://user:password@//vhost")))
 * ```
 *
 * The first URL is the relay's and goes to it as it is, a token in its query included. The second is what the broker is told: who
 * is asking, for which vhost, with which parameters. Where that broker is, is the relay's to know, and TLS is `wss://`.
 *
 * A WebSocket cannot be paused. What a consumer may have pushed onto it is bounded by its `prefetch`, and by nothing without.
 */
import { Connection, type Options as ConnectionOptions } from "@apium/hub/Connection"
import type { HubError } from "@apium/hub/HubError"
import { Transport } from "@apium/hub/Transport"
import * as AmqpUri from "@apium/protocol/amqp/AmqpUri"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Socket from "effect/socket/Socket"
import * as AmqpTransport from "./AmqpTransport.ts"

export interface TransportOptions extends Omit<AmqpTransport.Options, "failoverStrategy"> {
  /** Asked for in the opening handshake. A relay has to agree, or the runtime ends the connection: left out, nothing is asked for. */
  readonly subprotocol?: string | undefined
}

export type Options = TransportOptions & ConnectionOptions

/** A connection that comes back, by this relay, to its broker. */
export const layer = (
  relay: string,
  url: string,
  options: Options = {}
): Layer.Layer<Connection, HubError | AmqpUri.InvalidUri> =>
  Connection.layerWith(options).pipe(Layer.provide(layerTransport(relay, url, options)))

/** The transport alone: for whoever brings a connection of his own. */
export const layerTransport = (
  relay: string,
  url: string,
  options: TransportOptions = {}
): Layer.Layer<Transport, AmqpUri.InvalidUri> =>
  Layer.effect(
    Transport,
    Effect.gen(function* () {
      const { host, port } = yield* Effect.fromResult(placeOf(relay))
      const uri = yield* Effect.fromResult(AmqpUri.parse(url))
      if (uri.tls !== undefined) {
        return yield* new AmqpUri.InvalidUri({
          message: "A WebSocket's TLS is that of wss://, and amqps:// has none of its own there",
          suggestion: "amqp://"
        })
      }
      // Errors name the place that was tried.
      return AmqpTransport.make([{ ...uri, host, port }], () => dial(relay, options.subprotocol), options)
    })
  )

/** Of a relay's URL, which may hold a token: no text here shows more than the host. */
const placeOf = (
  relay: string
): Result.Result<{ readonly host: string; readonly port: number }, AmqpUri.InvalidUri> => {
  const url = URL.canParse(relay) ? new URL(relay) : undefined
  if (url?.protocol !== "ws:" && url?.protocol !== "wss:") {
    return Result.fail(new AmqpUri.InvalidUri({ message: "The URL of a relay begins with ws:// or wss://" }))
  }
  if (url.hash !== "" || url.username !== "" || url.password !== "") {
    return Result.fail(
      new AmqpUri.InvalidUri({
        message: "The URL of a relay has neither a user nor a #: the broker's user stands in the other URL"
      })
    )
  }
  const port = url.port === "" ? (url.protocol === "wss:" ? 443 : 80) : Number(url.port)
  return Result.succeed({ host: url.hostname.replaceAll(/[[\]]/g, ""), port })
}

/** Octets that may wait in the runtime's own buffer before whoever writes does. */
const highWater = 1024 * 1024

/** A fresh WebSocket. Writing waits while the peer takes nothing: its own `send` never does. */
export const dial = (relay: string, subprotocol?: string): Effect.Effect<Socket.Socket> => {
  let current: WebSocket | undefined
  const acquire = Effect.acquireRelease(
    Effect.try({
      try: () => (current = new WebSocket(relay, subprotocol === undefined ? [] : [subprotocol])),
      catch: (cause) => new Socket.SocketError({ reason: new Socket.SocketOpenError({ kind: "Unknown", cause }) })
    }),
    (ws) => Effect.sync(() => ws.close(1000))
  )
  // Nobody is told when there is room again. workerd does not even count.
  const room: Effect.Effect<void> = Effect.suspend(() =>
    (current?.bufferedAmount ?? 0) > highWater && current?.readyState === WebSocket.OPEN
      ? Effect.andThen(Effect.sleep("5 millis"), room)
      : Effect.void
  )
  return Effect.map(Socket.fromWebSocket(acquire), (socket) =>
    Socket.make({
      reader: socket.reader,
      writer: Effect.map(socket.writer, (writer) => ({
        write: (chunk) => Effect.andThen(writer.write(chunk), room),
        writeAll: (chunks) => Effect.andThen(writer.writeAll(chunks), room)
      }))
    })
  )
}
