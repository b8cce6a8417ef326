/**
 * The door for Node.js, Bun and Deno, over `redis` (node-redis), which you install.
 *
 * ```ts
 * import * as Redis from "@apium/transport-redis/node"
 *
 * program.pipe(Effect.provide(Redis.layer("redis://localhost:6379/0")))
 * ```
 *
 * `rediss://` verifies the certificate and the host name unless the URL says otherwise (`ssl_cert_reqs=none`).
 */
import { Connection, type Options as ConnectionOptions } from "@apium/hub/Connection"
import { ConnectionLost, HubError, TlsFailed } from "@apium/hub/HubError"
import type { Transport } from "@apium/hub/Transport"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redis from "effect/persistence/Redis"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { readFileSync } from "node:fs"
import { isIP } from "node:net"
import { createClient } from "redis"
import * as errors from "./internal/errors.ts"
import type { RedisLink } from "./RedisStore.ts"
import * as RedisTransport from "./RedisTransport.ts"
import * as RedisUri from "./RedisUri.ts"

export type Options = RedisTransport.Options & ConnectionOptions

/** A connection that comes back, to the Redis of this URL. */
export const layer = (url: string, options: Options = {}): Layer.Layer<Connection, HubError | RedisUri.InvalidUri> =>
  Connection.layerWith(options).pipe(Layer.provide(layerTransport(url, options)))

/** The transport alone: for whoever brings a connection of his own. */
export const layerTransport = (
  url: string,
  options?: RedisTransport.Options
): Layer.Layer<Transport, RedisUri.InvalidUri> =>
  Layer.unwrap(Effect.map(Effect.fromResult(RedisUri.parse(url)), (uri) => RedisTransport.layer(open(uri), options)))

/** In milliseconds, from the first packet to the answer to the login: a Redis that hangs takes packets. */
const patience = 5000

type Client = ReturnType<typeof clientOf>

/** A client that does not reconnect: what a link was used for is not true of the next one. */
const clientOf = ({ database, host, password, port, tls, username }: RedisUri.RedisUri, ca: string | undefined) =>
  createClient({
    database,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password: Redacted.value(password) }),
    disableOfflineQueue: true,
    socket: {
      host,
      port,
      connectTimeout: patience,
      reconnectStrategy: false,
      ...(tls === undefined
        ? {}
        : // An address is no name to ask for (RFC 6066).
          {
            tls: true,
            servername: isIP(host) === 0 ? host : "",
            rejectUnauthorized: tls.verify,
            ...(ca === undefined ? {} : { ca })
          })
    }
  })

const sendWith =
  (client: Client): Redis.Redis["Service"]["send"] =>
  <A>(command: string, ...args: ReadonlyArray<string>) =>
    Effect.tryPromise({
      try: () => client.sendCommand<A>([command, ...args]),
      catch: (cause) => new Redis.RedisError({ cause })
    })

/** A fresh connection, closed with the scope. */
export const open = (uri: RedisUri.RedisUri): Effect.Effect<RedisLink, HubError, Scope.Scope> =>
  Effect.gen(function* () {
    const ca = uri.tls?.caCerts === undefined ? undefined : yield* authorities(uri.tls.caCerts)
    /**
     * Those that are open, or on their way, and how to end the wait for them: a link that is cut leaves none behind. A client that is
     * destroyed in the middle of its login never says so.
     */
    const clients = new Map<Client, (cause: unknown) => void>()
    let over = false
    const destroy = (client: Client, cause: unknown): void => {
      clients.get(client)?.(cause)
      clients.delete(client)
      if (client.isOpen) client.destroy()
    }
    const closed = () => new Error("the link was closed")
    const cut = Effect.sync(() => {
      over = true
      for (const client of clients.keys()) destroy(client, closed())
    })

    const connect = (gone: (cause: unknown) => void): Effect.Effect<Client, Redis.RedisError> =>
      Effect.tryPromise({
        try: async () => {
          if (over) throw closed()
          const client = clientOf(uri, ca)
          let failure: unknown
          // An `error` nobody listens to would end the process.
          client.on("error", (cause) => {
            failure = cause
            gone(cause)
          })
          client.on("end", () => gone(failure ?? new Error("the connection was closed")))
          const destroyed = new Promise<never>((_, reject) => void clients.set(client, reject))
          const timer = setTimeout(() => destroy(client, new Error(`no answer within ${patience} ms`)), patience)
          try {
            await Promise.race([client.connect(), destroyed])
            clients.set(client, () => {})
            return client
          } catch (cause) {
            destroy(client, cause)
            throw failure ?? cause
          } finally {
            clearTimeout(timer)
          }
        },
        catch: (cause) => new Redis.RedisError({ cause })
      })

    const lost = Deferred.makeUnsafe<never, HubError>()
    const gone = (cause: unknown) =>
      Deferred.doneUnsafe(
        lost,
        Effect.fail(new HubError({ reason: new ConnectionLost({ cause: "closed", text: errors.textOf(cause) }) }))
      )
    const client = yield* Effect.acquireRelease(connect(gone), () => cut).pipe(
      Effect.mapError(({ cause }) => unreachable(uri, cause))
    )
    const redis = yield* Redis.make({
      send: sendWith(client),
      connect: Effect.map(
        connect(() => {}),
        (reserved) => ({ send: sendWith(reserved), close: Effect.sync(() => destroy(reserved, closed())) })
      ),
      // `listen` has patterns, and one connection for all.
      subscribe: () => Effect.fail(new Redis.RedisError({ cause: new Error("a link listens by patterns only") }))
    })
    // What is published while it is away is heard by nobody: with it the link is lost, and whoever listened knows.
    const subscriber = yield* Effect.cached(connect(gone))
    const listen: RedisLink["listen"] = (pattern, heard) =>
      Effect.flatMap(subscriber, (client) => {
        const listener = (text: string): void => heard(text)
        return Effect.asVoid(
          Effect.acquireRelease(
            Effect.tryPromise({
              try: () => client.pSubscribe(pattern, listener),
              catch: (cause) => new Redis.RedisError({ cause })
            }),
            // Nobody waits for it: a client that is gone never answers.
            () =>
              Effect.sync(() => {
                if (client.isReady) client.pUnsubscribe(pattern, listener).catch(() => {})
              })
          )
        )
      })
    return { redis, database: uri.database, listen, lost: Deferred.await(lost), cut }
  })

const authorities = (path: string): Effect.Effect<string, HubError> =>
  Effect.try({
    try: () => readFileSync(path, "utf8"),
    catch: () => new HubError({ reason: new TlsFailed({ kind: `cannot read ${path}` }) })
  })

/** Codes of certificates that are not believed, and of handshakes that fail. */
const ofTls = /CERT|SELF_SIGNED|UNABLE_TO|ERR_TLS|ERR_SSL|EPROTO|SSL routines|certificate/i

const unreachable = ({ host, port, tls }: RedisUri.RedisUri, cause: unknown): HubError => {
  const text = errors.textOf(cause)
  const code: unknown = Reflect.get(Object(cause), "code")
  if (tls !== undefined && ofTls.test(`${String(code)} ${text}`)) {
    return new HubError({ reason: new TlsFailed({ kind: text }) })
  }
  const reason = errors.reasonOf(cause)
  return new HubError({
    reason:
      reason._tag === "ConnectionLost"
        ? new ConnectionLost({ cause: "unreachable", text: `${host}:${port}: ${text}` })
        : reason
  })
}
