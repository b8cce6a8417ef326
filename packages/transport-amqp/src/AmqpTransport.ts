/** RabbitMQ, and whoever else speaks AMQP 0-9-1, behind the hub's transport port. */
import * as Failover from "@apium/hub/Failover"
import type { HubError } from "@apium/hub/HubError"
import { type Capabilities, Transport } from "@apium/hub/Transport"
import * as AmqpUri from "@apium/protocol/amqp/AmqpUri"
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Socket from "effect/socket/Socket"
import * as AmqpConnection from "./AmqpConnection.ts"

export type Options = Omit<AmqpConnection.Options, "uri" | "socket"> & {
  /** How the next of several brokers is chosen. Default `round-robin`. */
  readonly failoverStrategy?: Failover.FailoverStrategy | undefined
}

/** Opens a fresh socket to where the URL points: each runtime has its own. */
export type Dial = (uri: AmqpUri.AmqpUri) => Effect.Effect<Socket.Socket, HubError>

export const capabilities: Capabilities = {
  exchangeTypes: new Set(["direct", "topic", "fanout", "headers"]),
  confirms: true,
  mandatory: true,
  exchangeBindings: true,
  prefetch: "consumer",
  heartbeats: true,
  deliveryCount: "republish",
  delay: "lattice",
  priority: "highest-first",
  eventExchange: "topic"
}

/** One broker, or several that stand in for each other. */
export const make = (
  uris: Arr.NonEmptyReadonlyArray<AmqpUri.AmqpUri>,
  dial: Dial,
  options: Options = {}
): Transport["Service"] =>
  Failover.make(
    Arr.map(uris, (uri) => ({
      name: "amqp",
      capabilities,
      connect: AmqpConnection.make({ ...options, uri, socket: dial(uri) })
    })),
    options.failoverStrategy
  )

/** Of a URL as Kombu reads it; `;` parts alternatives. One that is none fails the layer, and shows nothing of a password. */
export const layer = (url: string, dial: Dial, options?: Options): Layer.Layer<Transport, AmqpUri.InvalidUri> =>
  Layer.effect(
    Transport,
    Effect.map(Effect.fromResult(AmqpUri.parseAll(url)), (uris) => make(uris, dial, options))
  )
