/**
 * The port behind which a broker stands. It belongs to the hub, the side that uses it; a transport package provides it.
 * Differences between brokers are data (`capabilities`), not subclasses.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { Channel } from "./Channel.ts"
import type { HubError } from "./HubError.ts"

export interface Capabilities {
  readonly exchangeTypes: ReadonlySet<string>
  /** A publish that returned is stored. */
  readonly confirms: boolean
  /** A mandatory message that no queue takes fails with `Returned`. */
  readonly mandatory: boolean
  readonly exchangeBindings: boolean
  /** What `Channel.qos` bounds: the deliveries of all consumers of a channel together, or those of each. */
  readonly prefetch: "channel" | "consumer"
  readonly heartbeats: boolean
  /** Who counts deliveries: the queue (quorum), the store, or nobody, so that we republish with a count of our own. */
  readonly deliveryCount: "queue" | "store" | "republish"
  /**
   * Who keeps a message until `notBefore`: the store, a lattice of queues with a TTL, the store once a consumer has met it and
   * postpones it (`Delivery.postpone`; to a publisher it is as `worker`), or the worker that got it.
   */
  readonly delay: "store" | "lattice" | "consumer" | "worker"
  readonly priority: "highest-first" | "lowest-first"
  /**
   * Of what type the exchange of Celery's events is here (celery/events/event.py `get_exchange`): fanout on Redis, where a fanout exchange
   * goes by patterns and is kept by nobody who does not listen.
   */
  readonly eventExchange: "topic" | "fanout"
}

/** One link to the broker. */
export interface TransportConnection {
  readonly channel: Effect.Effect<Channel, HubError, Scope.Scope>
  /** Never succeeds; fails the moment the link is lost. */
  readonly closed: Effect.Effect<never, HubError>
  /** `true` while the broker refuses publishes (`connection.blocked`). */
  readonly blocked: Stream.Stream<boolean>
}

export class Transport extends Context.Service<
  Transport,
  {
    readonly name: string
    readonly capabilities: Capabilities
    /** A fresh link, closed with the scope. */
    readonly connect: Effect.Effect<TransportConnection, HubError, Scope.Scope>
  }
>()("@apium/hub/Transport") {}
