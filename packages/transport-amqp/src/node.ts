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
import { layerCompression } from "@apium/hub/node/compression"
import type { Transport } from "@apium/hub/Transport"
import type { AmqpUri, InvalidUri, Tls } from "@apium/protocol/amqp/AmqpUri"
import * as NodeSocket from "@effect/platform-node-shared/NodeSocket"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Socket from "effect/socket/Socket"
import { createPrivateKey, X509Certificate } from "node:crypto"
import { readFileSync } from "node:fs"
import { isIP } from "node:net"
import * as AmqpTransport from "./AmqpTransport.ts"

export type Options = AmqpTransport.Options & ConnectionOptions

/** A connection that comes back, to the broker of this URL, or to one of several parted by `;`; and the compressions of `node:zlib`. */
export const layer = (url: string, options: Options = {}): Layer.Layer<Connection, HubError | InvalidUri> =>
  Connection.layerWith(options).pipe(Layer.provide(layerTransport(url, options)), Layer.merge(layerCompression))

/** The transport alone: for whoever brings a connection of his own. */
export const layerTransport = (url: string, options?: AmqpTransport.Options): Layer.Layer<Transport, InvalidUri> =>
  AmqpTransport.layer(url, dial, options)

/** A fresh socket, over TLS where the URL is `amqps://`. */
export const dial = ({ host, port, tls }: AmqpUri): Effect.Effect<Socket.Socket, HubError> =>
  tls === undefined
    ? NodeSocket.makeNet({ host, port, noDelay: true })
    : Effect.flatMap(tlsOptions(host, tls), (options) =>
        Effect.zipWith(
          NodeSocket.makeTls({ ...options, host, port }),
          NodeSocket.makeTls({ ...options, host, port }),
          (socket, silent) => judged(thrown(socket), silent)
        )
      )

/**
 * With TLS 1.3 a broker judges our certificate when our side of the handshake is through and the protocol header on its way. It
 * resets for that header, and the reset overtakes the alert that says why (84 of 150 times on Node.js). `silent` connects once
 * more and says nothing: then the alert arrives.
 */
const judged = ({ reader, writer }: Socket.Socket, silent: Socket.Socket): Socket.Socket => {
  let heard = false
  const explained = (error: Socket.SocketError): Effect.Effect<never, Socket.SocketError> =>
    Effect.scoped(Effect.flatMap(silent.reader, ({ pull }) => pull)).pipe(
      Effect.timeoutOption("500 millis"),
      Effect.matchEffect({
        onSuccess: () => Effect.fail(error),
        onFailure: (verdict) =>
          Effect.fail(/ALERT/.test(codeOf(Reflect.get(verdict.reason, "cause"))) ? verdict : error)
      })
    )
  return Socket.make({
    reader: Effect.map(reader, ({ pull, upgrade }) => {
      const first = Effect.tap(Effect.catch(pull, explained), () => Effect.sync(() => void (heard = true)))
      return { upgrade, pull: Effect.suspend(() => (heard ? pull : first)) }
    }),
    writer: Effect.map(writer, ({ write, writeAll }) => ({
      write,
      writeAll: (chunks) => (heard ? writeAll(chunks) : Effect.catch(writeAll(chunks), explained))
    }))
  })
}

const codeOf = (cause: unknown): string => {
  const code: unknown = Reflect.get(Object(cause), "code")
  return typeof code === "string" ? code : String(cause)
}

/** `tls.connect` throws for a key of another certificate, and the socket lets it through as a defect. */
const thrown = ({ reader, writer }: Socket.Socket): Socket.Socket =>
  Socket.make({
    writer,
    reader: Effect.catchDefect(reader, (cause) => {
      const kind = `ERR_TLS_CERTIFICATE (${codeOf(cause)})`
      return Effect.fail(
        new Socket.SocketError({
          reason: new Socket.SocketOpenError({ kind: "Unknown", cause: { code: kind, cause } })
        })
      )
    })
  })

const tlsOptions = (host: string, tls: Tls) =>
  Effect.gen(function* () {
    const ca = yield* pem(tls.caCerts, "certificate", (text) => new X509Certificate(text))
    const cert = yield* pem(tls.certFile, "certificate", (text) => new X509Certificate(text))
    const key = yield* pem(tls.keyFile, "private key without a passphrase", createPrivateKey)
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

/** Looked into before a socket is: of what is no PEM Deno has no error, but the end of the process. */
const pem = (
  path: string | undefined,
  what: string,
  read: (text: Buffer) => unknown
): Effect.Effect<Buffer | undefined, HubError> => {
  if (path === undefined) return Effect.succeed(undefined)
  const failed = (kind: string) => () => new HubError({ reason: new TlsFailed({ kind }) })
  return Effect.try({ try: () => readFileSync(path), catch: failed(`cannot read ${path}`) }).pipe(
    Effect.tap((text) => Effect.try({ try: () => read(text), catch: failed(`${path} holds no ${what}`) }))
  )
}
