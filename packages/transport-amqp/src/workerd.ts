/**
 * The door for workerd (Cloudflare Workers): TCP by `cloudflare:sockets`.
 *
 * ```ts
 * import * as Amqp from "@apium/transport-amqp/workerd"
 *
 * export default {
 *   fetch: (request, env) => Effect.runPromise(program.pipe(Effect.provide(Amqp.layer(env.BROKER_URL))))
 * }
 * ```
 *
 * A socket belongs to the request that opened it: provide the layer inside of the handler, never at module scope.
 *
 * `amqps://` verifies the certificate and the host name against the runtime's own authorities, always, and a client has no
 * certificate to show. What a URL wants beyond that is refused as `TlsFailed`.
 */
// Whoever compiles this file finds it, with our tsconfig or without.
// oxlint-disable-next-line typescript/triple-slash-reference
/// <reference path="../types/cloudflare-sockets.d.ts" />
import { Connection, type Options as ConnectionOptions } from "@apium/hub/Connection"
import { fail, type HubError, TlsFailed } from "@apium/hub/HubError"
import type { Transport } from "@apium/hub/Transport"
import type { AmqpUri, InvalidUri } from "@apium/protocol/amqp/AmqpUri"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"
import { connect } from "cloudflare:sockets"
import * as AmqpTransport from "./AmqpTransport.ts"

export type Options = AmqpTransport.Options & ConnectionOptions

/** A connection that comes back, to the broker of this URL, or to one of several parted by `;`. */
export const layer = (url: string, options: Options = {}): Layer.Layer<Connection, HubError | InvalidUri> =>
  Connection.layerWith(options).pipe(Layer.provide(layerTransport(url, options)))

/** The transport alone: for whoever brings a connection of his own. */
export const layerTransport = (url: string, options?: AmqpTransport.Options): Layer.Layer<Transport, InvalidUri> =>
  AmqpTransport.layer(url, dial, options)

/** A fresh socket, over TLS where the URL is `amqps://`. */
export const dial = (uri: AmqpUri): Effect.Effect<Socket.Socket, HubError> => {
  if (uri.tls === undefined) return Socket.fromTransformStream(open(uri, "off"))
  const excess = beyond(uri)
  if (excess !== undefined) return fail(new TlsFailed({ kind: `${excess} is not to be had on workerd` }))
  return Socket.fromTransformStream(
    // One text for a broker that nobody reaches and one that nobody trusts: who takes a plain connection is the latter.
    Effect.catch(open(uri, "on"), (error) =>
      Effect.matchEffect(Effect.scoped(open(uri, "off")), {
        onFailure: () => Effect.fail(error),
        onSuccess: () => Effect.fail(notOpened({ code: "ERR_TLS_HANDSHAKE", cause: error }))
      })
    )
  )
}

/** What the runtime cannot do: less than it does would be no TLS to whoever asked for it. */
const beyond = ({ host, tls }: AmqpUri): string | undefined => {
  if (tls?.caCerts !== undefined) return "ssl_ca_certs"
  if (tls?.certFile !== undefined) return "ssl_certfile"
  if (tls?.keyFile !== undefined) return "ssl_keyfile"
  if (tls?.checkHostname === false) return "ssl_check_hostname=false"
  if (tls?.verify !== "required") return `ssl_cert_reqs=${tls?.verify}`
  return tls.serverName === undefined || tls.serverName === host ? undefined : "ssl_server_hostname"
}

type TcpSocket = ReturnType<typeof connect>

const open = (
  { host, port }: AmqpUri,
  secureTransport: "on" | "off"
): Effect.Effect<TcpSocket, Socket.SocketError, Scope.Scope> =>
  Effect.gen(function* () {
    const hostname = host.includes(":") ? `[${host}]` : host
    const socket = yield* Effect.acquireRelease(
      Effect.try({ try: () => connect({ hostname, port }, { secureTransport }), catch: notOpened }),
      (socket) => Effect.promise(() => socket.close().catch(() => {}))
    )
    // Rejected when `opened` is, and by then nobody listens.
    socket.closed.catch(() => {})
    yield* Effect.tryPromise({ try: () => socket.opened, catch: notOpened })
    return socket
  })

const notOpened = (cause: unknown): Socket.SocketError =>
  new Socket.SocketError({ reason: new Socket.SocketOpenError({ kind: "Unknown", cause }) })
