/**
 * Redis as broker and result backend. A module of its own, which is loaded when a URL asks for it: node-redis takes as long to load as all else
 * that the command needs.
 */
import type { Connection } from "@apium/hub/Connection"
import type { HubError } from "@apium/hub/HubError"
import * as Redis from "@apium/transport-redis/node"
import type { InvalidUri } from "@apium/transport-redis/RedisUri"
import * as RedisBackend from "@apium/worker/client/backends/RedisBackend"
import type { ResultBackend } from "@apium/worker/client/ResultBackend"
import * as Layer from "effect/Layer"
import type * as TransportOptions from "./TransportOptions.ts"

export const broker = (
  url: string,
  options: TransportOptions.OfBroker
): Layer.Layer<Connection, HubError | InvalidUri> => Redis.layer(url, options)

export const results = (
  url: string,
  options: TransportOptions.OfResults
): Layer.Layer<ResultBackend, HubError | InvalidUri> =>
  RedisBackend.layerWith(options).pipe(Layer.provide(Redis.layerRedis(url, options)))

/** Both at one Redis. A cluster has its keys on one node if they have one prefix. */
export const both = (
  url: string,
  options: TransportOptions.OfBroker,
  ofResults: TransportOptions.OfResults
): Layer.Layer<Connection | ResultBackend, HubError | InvalidUri> =>
  Layer.provideMerge(
    RedisBackend.layerWith(
      /^rediss?\+cluster:/i.test(url) ? { globalKeyprefix: options.globalKeyprefix, ...ofResults } : ofResults
    ),
    Redis.layerAll(url, options)
  )
