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
import type { HubError } from "@apium/hub/HubError"
import { layerCompression } from "@apium/hub/node/compression"
import type { Subscriptions } from "@apium/hub/Subscriptions"
import type { Transport } from "@apium/hub/Transport"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Redis from "effect/persistence/Redis"
import { open } from "./node/link.ts"
import * as Subscriber from "./node/Subscriber.ts"
import * as RedisClient from "./RedisClient.ts"
import * as RedisTransport from "./RedisTransport.ts"
import * as RedisUri from "./RedisUri.ts"

export { open } from "./node/link.ts"

/** `masterName` and `sentinelKwargs` are for `sentinel://`; `globalKeyprefix` holds a hash tag for `redis+cluster://`. */
export type TransportOptions = RedisTransport.Options & RedisUri.Options

export type Options = TransportOptions & ConnectionOptions

/** A connection that comes back, to the Redis of this URL; and the compressions of `node:zlib`. */
export const layer = (url: string, options: Options = {}): Layer.Layer<Connection, HubError | RedisUri.InvalidUri> =>
  Connection.layerWith(options).pipe(Layer.provide(layerTransport(url, options)), Layer.merge(layerCompression))

/** The transport alone: for whoever brings a connection of his own. */
export const layerTransport = (url: string, options?: TransportOptions): Layer.Layer<Transport, RedisUri.InvalidUri> =>
  Layer.unwrap(
    Effect.map(Effect.fromResult(RedisUri.parse(url, options)), (uri) => {
      const subscriber = Subscriber.make()
      return RedisTransport.layer(open(uri, subscriber), options)
    })
  )

/** `globalKeyprefix` is here for `redis+cluster://`, as for the transport; the backend has to be told the same. */
export type ClientOptions = RedisClient.Options & RedisUri.Options

/**
 * A `Redis` that comes back, for results (`RedisBackend`) and for your own. All it subscribes to is on one connection, and whoever listens
 * there is told of gaps.
 */
export const layerRedis = (
  url: string,
  options: ClientOptions = {}
): Layer.Layer<Redis.Redis | Subscriptions, HubError | RedisUri.InvalidUri> =>
  Layer.unwrap(
    Effect.map(Effect.fromResult(RedisUri.parse(url, options)), (uri) => RedisClient.layer(open(uri), options))
  )

/** `layer` and `layerRedis` of the same Redis, which share the connection they listen with. */
export const layerAll = (
  url: string,
  options: Options = {}
): Layer.Layer<Connection | Redis.Redis | Subscriptions, HubError | RedisUri.InvalidUri> =>
  Layer.unwrap(
    Effect.map(Effect.fromResult(RedisUri.parse(url, options)), (uri) => {
      const connect = open(uri, Subscriber.make())
      return Layer.mergeAll(
        Connection.layerWith(options).pipe(Layer.provide(RedisTransport.layer(connect, options))),
        RedisClient.layer(connect, options),
        layerCompression
      )
    })
  )
