/**
 * Redis, and whoever else keeps kombu's lists, behind the hub's transport port: `RedisStore` with the hub's routing, windows and settling.
 *
 * A link is one connection, and one more when somebody listens to a fanout exchange; who waits for messages needs none. When it is lost, what it held
 * comes back as soon as the next link of the same transport is there, or when its lease is over.
 */
import type { HubError } from "@apium/hub/HubError"
import { type Capabilities, Transport } from "@apium/hub/Transport"
import * as VirtualTransport from "@apium/hub/virtual/VirtualTransport"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as RedisStore from "./RedisStore.ts"

export type Options = RedisStore.Options

export const capabilities: Capabilities = {
  exchangeTypes: new Set(["direct", "topic", "fanout"]),
  confirms: true,
  mandatory: false,
  exchangeBindings: false,
  prefetch: "channel",
  heartbeats: true,
  deliveryCount: "store",
  delay: "consumer",
  priority: "lowest-first",
  eventExchange: "fanout"
}

/** Each link opens a connection of its own. */
export const make = (
  open: Effect.Effect<RedisStore.RedisLink, HubError, Scope.Scope>,
  options: Options = {}
): Transport["Service"] => {
  const shared = RedisStore.shared()
  const link = Effect.flatMap(open, (link) => RedisStore.make(link, options, shared))
  return VirtualTransport.makeLinked("redis", link, capabilities).transport
}

export const layer = (
  open: Effect.Effect<RedisStore.RedisLink, HubError, Scope.Scope>,
  options?: Options
): Layer.Layer<Transport> => Layer.succeed(Transport, make(open, options))
