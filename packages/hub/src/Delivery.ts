/**
 * A message on its way through a consumer. A delivery acknowledges itself, once: handlers never see a tag or a channel.
 */
import type * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import type { HubError } from "./HubError.ts"
import type * as Message from "./Message.ts"

/** Headers of a message that cannot be read, which are `{}` then. */
export interface Unreadable {
  readonly text: string
  /** As they came. */
  readonly headers: Uint8Array
}

export interface Delivery {
  readonly message: Message.Message
  /** Why its headers cannot be read; left out, or `undefined`: they can. Whoever asks reads them. */
  readonly unreadable?: Unreadable | undefined
  /** Where it was published to. */
  readonly route: Message.Route
  /** Where it was taken from. */
  readonly queue: string
  /** Empty for one that was fetched by `get`. */
  readonly consumerTag: string
  readonly redelivered: boolean
  /** How often it was delivered before, where that is known. */
  readonly deliveryCount: Option.Option<number>
  /**
   * Whether it is for sure still ours, asked in the moment before its work begins: a process that was stopped for a while (a laptop asleep)
   * may find that others have its messages by now. `false`: leave it, and `release` it. Left out: only a lost link takes it away.
   */
  readonly held?: (() => boolean) | undefined
  /** Settling twice is a no-op that is counted: the first one wins. After a lost link, too. */
  readonly ack: Effect.Effect<void, HubError>
  readonly reject: (options: { readonly requeue: boolean }) => Effect.Effect<void, HubError>
  /** Gives back what nobody has looked at: next in line and, where the broker can tell, not counted as a delivery. */
  readonly release: Effect.Effect<void, HubError>
  /**
   * Gives back what is not to be dealt with before this time (milliseconds since the epoch, by this machine's clock): until then it
   * waits in the transport's store, holds neither memory nor prefetch here, and outlives us. It keeps its priority, and this is not
   * counted as a delivery. It may come up to half a second before its time, for whoever takes it to hold that long. When it
   * fails, the delivery is unsettled as before. Left out where the transport cannot, and without acknowledgements.
   */
  readonly postpone?: ((notBefore: number) => Effect.Effect<void, HubError>) | undefined
}

/** How often the queue has delivered it before: quorum queues write it into the headers of what comes again. */
export const queueCount = "x-delivery-count"

/** How often it was delivered before it was published again to say so, where the queue does not count. */
export const ownCount = "x-apium-deliveries"

/** What the header {@link ownCount} says; `undefined` without one, and for what is no count. */
export const counted = ({ message: { headers } }: Delivery): number | undefined => {
  const count = headers[ownCount]
  return typeof count === "number" && Number.isSafeInteger(count) && count >= 0 ? count : undefined
}

/** How often it was delivered before, as far as anybody knows: that it was, a classic queue does say. */
export const deliveries = (delivery: Delivery): number =>
  Option.getOrElse(delivery.deliveryCount, () => (delivery.redelivered ? 1 : 0))

/** Settles that came too late: the delivery was settled before, or its link is gone and the broker has it back. */
export const settledTwice = Metric.counter("apium_settled_twice", {
  description: "Settles of deliveries that were settled already, or whose link was lost",
  incremental: true
})
