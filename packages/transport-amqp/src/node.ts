/**
 * The door for Node.js, Bun and Deno.
 *
 * ```ts
 * import * as Amqp from "@apium/transport-amqp/node"
 *
 * program.pipe(Effect.provide(Amqp.layer("amqp://guest:guest@localhost:5672//")))
 * ```
 *
 * `amqps://` verifies the certificate and the host name unless the URL says otherwise (`ssl_cert_reqs=none`).
 */
import { Connection, type Options as ConnectionOptions } from "@apium/hub/Connection"
import { HubError, TlsFailed } from "@apium/hub/HubError"
import type { Transport } from "@apium/hub/Transport"
import type { AmqpUri, InvalidUri, Tls } from "@apium/protocol/amqp/AmqpUri"
import * as NodeSocket from "@effect/platform-node-shared/NodeSocket"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Socket from "effect/socket/Socket"
import { readFileSync } from "node:fs"
import { isIP } from "node:net"
import * as AmqpTransport from "./AmqpTransport.ts"

export type Options = AmqpTransport.Options & ConnectionOptions

/** A connection that comes back, to the broker of this URL, or to one of several parted by `;`. */
export const layer = (url: string, options: Options = {}): Layer.Layer<Connection, HubError | InvalidUri> =>
  Connection.layerWith(options).pipe(Layer.provide(layerTransport(url, options)))

/** The transport alone: for whoever brings a connection of his own. */
export const layerTransport = (url: string, options?: AmqpTransport.Options): Layer.Layer<Transport, InvalidUri> =>
  AmqpTransport.layer(url, dial, options)

/** A fresh socket, over TLS where the URL is `amqps://`. */
export const dial = ({ host, port, tls }: AmqpUri): Effect.Effect<Socket.Socket, HubError> =>
  tls === undefined
    ? NodeSocket.makeNet({ host, port, noDelay: true })
    : Effect.flatMap(tlsOptions(host, tls), (options) => NodeSocket.makeTls({ ...options, host, port }))

const tlsOptions = (host: string, tls: Tls) =>
  Effect.gen(function* () {
    const ca = yield* file(tls.caCerts)
    const cert = yield* file(tls.certFile)
    const key = yield* file(tls.keyFile)
    return {
      noDelay: true,
      rejectUnauthorized: tls.verify !== "none",
      // An address is no name to ask for (RFC 6066).
      servername: tls.serverName ?? (isIP(host) === 0 ? host : ""),
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
      ...(tls.checkHostname === false ? { checkServerIdentity: () => undefined } : {})
    }
  })

const file = (path: string | undefined): Effect.Effect<Buffer | undefined, HubError> =>
  path === undefined
    ? Effect.succeed(undefined)
    : Effect.try({
        try: () => readFileSync(path),
        catch: () => new HubError({ reason: new TlsFailed({ kind: `cannot read ${path}` }) })
      })
