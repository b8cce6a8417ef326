/**
 * The dozen verbs every transport speaks, AMQP-shaped. A channel lives in a scope: closing it cancels its consumers and
 * gives back what they hold unsettled. A request the broker refuses closes the channel (`ChannelClosed`), as AMQP 0-9-1
 * has it: everything on the channel fails with the same reason from then on.
 */
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Stream from "effect/Stream"
import type { Delivery } from "./Delivery.ts"
import type { Arguments, Exchange } from "./Exchange.ts"
import type { HubError } from "./HubError.ts"
import type { Message, Route } from "./Message.ts"
import type { Binding, Queue } from "./Queue.ts"

export interface QueueInfo {
  readonly name: string
  /** Messages that wait, without those that are delivered and unsettled. */
  readonly messageCount: number
  readonly consumerCount: number
}

export interface ConsumeOptions {
  /**
   * At most this many unsettled deliveries. 0 or `Infinity`: as many as the transport can count (AMQP 0-9-1: 65,535); left out,
   * its own default: 1,000 over AMQP, where more would wait here than somebody can look at, no bound elsewhere.
   */
  readonly prefetch?: number | undefined
  /**
   * Deliveries count as settled when they are sent: a message on its way when we die is lost. `prefetch` does not bound them.
   * Over AMQP, a consumer that is 4,096 of them or 8 MiB behind is cancelled and begins again when all of those were pulled. One
   * that may not leave (see {@link Channel.qos}), or whose queue is a quorum queue, acknowledges what is pulled instead, and up
   * to 1,000 are on their way.
   */
  readonly noAck?: boolean | undefined
  readonly exclusive?: boolean | undefined
  readonly consumerTag?: string | undefined
  readonly arguments?: Arguments | undefined
}

export interface Channel {
  /** Never succeeds; fails with what closed the channel, the moment it is closed. */
  readonly closed: Effect.Effect<never, HubError>
  readonly exchangeDeclare: (
    exchange: Exchange,
    options?: { readonly passive?: boolean | undefined }
  ) => Effect.Effect<void, HubError>
  readonly exchangeDelete: (
    name: string,
    options?: { readonly ifUnused?: boolean | undefined }
  ) => Effect.Effect<void, HubError>
  readonly exchangeBind: (destination: string, binding: Binding) => Effect.Effect<void, HubError>
  readonly exchangeUnbind: (destination: string, binding: Binding) => Effect.Effect<void, HubError>
  /** Declares the queue alone, without its bindings: `Topology.declare` does both. */
  readonly queueDeclare: (
    queue: Queue,
    options?: { readonly passive?: boolean | undefined }
  ) => Effect.Effect<QueueInfo, HubError>
  readonly queueBind: (queue: string, binding: Binding) => Effect.Effect<void, HubError>
  readonly queueUnbind: (queue: string, binding: Binding) => Effect.Effect<void, HubError>
  /** How many messages were thrown away. */
  readonly queuePurge: (queue: string) => Effect.Effect<number, HubError>
  /** How many messages went with it. */
  readonly queueDelete: (
    queue: string,
    options?: { readonly ifUnused?: boolean | undefined; readonly ifEmpty?: boolean | undefined }
  ) => Effect.Effect<number, HubError>
  /** Completes when the broker has taken the message (confirm mode) or the backend has stored it. */
  readonly publish: (message: Message, route: Route) => Effect.Effect<void, HubError>
  /** `publish` of each in order, with one wait for all; the first failure is the batch's. */
  readonly publishAll: (
    batch: ReadonlyArray<readonly [message: Message, route: Route]>
  ) => Effect.Effect<void, HubError>
  /**
   * From now on at most this many unsettled deliveries, beside what each consumer has as its own `prefetch`: over all consumers
   * of this channel, or of each (`capabilities.prefetch`). A bound below what is held takes nothing back; 0 stops all deliveries,
   * and `Infinity`, the beginning, is no bound.
   *
   * With `prefetch: "consumer"` (AMQP 0-9-1; quorum queues refuse the other, and RabbitMQ 4.3 takes it for this one) a smaller
   * bound cancels consumers and begins them again, a larger one adds a `basic.consume` for the difference. Not so where a
   * consumer's leaving would show: one that is exclusive, or whose queue was declared over the same link with `autoDelete`, as a
   * stream or with `x-single-active-consumer`. Such a consumer is sent what its own prefetch allows (1,000 where that is none and
   * the bound is smaller), and handed what the bound does.
   */
  readonly qos: (prefetch: number) => Effect.Effect<void, HubError>
  readonly get: (queue: string) => Effect.Effect<Option.Option<Delivery>, HubError>
  /**
   * Closing the stream cancels the consumer. What it emitted and nobody settled stays with the channel: it can still be
   * settled, and goes back to its queue when the channel's scope closes. It emits in batches of up to `prefetch`, and a batch
   * counts as emitted: who takes one element and leaves holds the others until the channel closes.
   */
  readonly consume: (queue: string, options?: ConsumeOptions) => Stream.Stream<Delivery, HubError>
}
