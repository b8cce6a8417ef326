/**
 * A message on its way through a consumer. A delivery acknowledges itself, once: handlers never see a tag or a channel.
 */
import type * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import type * as Option from "effect/Option"
import type { HubError } from "./HubError.ts"
import type * as Message from "./Message.ts"

export interface Delivery {
  readonly message: Message.Message
  /** Where it was published to. */
  readonly route: Message.Route
  /** Where it was taken from. */
  readonly queue: string
  /** Empty for one that was fetched by `get`. */
  readonly consumerTag: string
  readonly redelivered: boolean
  /** How often it was delivered before, where that is known. */
  readonly deliveryCount: Option.Option<number>
  /** Settling twice is a no-op that is counted: the first one wins. After a lost link, too. */
  readonly ack: Effect.Effect<void, HubError>
  readonly reject: (options: { readonly requeue: boolean }) => Effect.Effect<void, HubError>
  /** Gives back what nobody has looked at: next in line and, where the broker can tell, not counted as a delivery. */
  readonly release: Effect.Effect<void, HubError>
}

/** Settles that came too late: the delivery was settled before, or its link is gone and the broker has it back. */
export const settledTwice = Metric.counter("apium_settled_twice", {
  description: "Settles of deliveries that were settled already, or whose link was lost",
  incremental: true
})
