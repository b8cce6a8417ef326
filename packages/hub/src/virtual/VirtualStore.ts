/**
 * The small port behind the port: what a backend without a broker has to do so that `VirtualTransport` can add exchanges,
 * routing, prefetch and settling once for all of them (kombu splits transport/virtual/base.py the same way).
 *
 * Waiting and taking are two verbs. `ready` waits, may be interrupted, and takes nothing; `take` never waits and marks what
 * it takes in one step. So no interruption can fall between a message's leaving its queue and somebody's holding it, which
 * is where kombu's BRPOP loses messages.
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import type * as Effect from "effect/Effect"
import type { Arguments, Exchange } from "../Exchange.ts"
import type { HubError } from "../HubError.ts"
import type { Message } from "../Message.ts"
import type { Queue } from "../Queue.ts"

export interface StoredMessage {
  /** Names this one delivery. */
  readonly tag: string
  readonly queue: string
  readonly message: Message
  /** Where it was published to; the store keeps it with the message. */
  readonly exchange: string
  readonly routingKey: string
  readonly redelivered: boolean
  /** How often it was delivered before. */
  readonly deliveryCount: number
  /** Past its time to live: to be dead-lettered or dropped, not delivered. */
  readonly expired: boolean
}

export interface VirtualBinding {
  readonly queue: string
  readonly routingKey: string
  readonly arguments: Arguments
}

export interface Put {
  readonly message: Message
  readonly exchange: string
  readonly routingKey: string
  /** Not takeable before this time, in milliseconds since the epoch; kept by the store, not by a worker. */
  readonly notBefore?: number | undefined
}

export interface VirtualStore {
  /**
   * Which of the queues that are consumed on one channel comes first where there is room for one message: in turn (the default), by
   * name, or as they were consumed (kombu's `queue_order_strategy`).
   */
  readonly queueOrder?: "round_robin" | "sorted" | "priority" | undefined
  /** A take goes over a network: the next is asked for while a consumer is handed the last. Left out: it takes no time. */
  readonly remote?: boolean | undefined
  readonly declare: (queue: Queue) => Effect.Effect<void, HubError>
  /**
   * Whether there is a queue of this name that nobody declared here, for others share the store: it can be consumed, purged and deleted
   * then as if it had been. `exchanges`: those known here, which it may be bound to. Left out: what was declared here is all there is.
   */
  readonly has?: ((queue: string, exchanges: ReadonlyArray<string>) => Effect.Effect<boolean, HubError>) | undefined
  /** How many messages went with it. */
  readonly remove: (queue: string) => Effect.Effect<number, HubError>
  /** In order. `false`: there is no such queue, and nothing was stored. A store that cannot know stores. */
  readonly put: (queue: string, puts: ReadonlyArray<Put>) => Effect.Effect<boolean, HubError>
  /** Waits until one of the queues may have a message. Wakes one waiter per message; may wake for nothing. */
  readonly ready: (queues: NonEmptyReadonlyArray<string>) => Effect.Effect<void, HubError>
  /** Passes the wake-up on: a waiter that may have been woken leaves without taking. */
  readonly wake: (queues: NonEmptyReadonlyArray<string>) => Effect.Effect<void>
  /**
   * At most `max` of what is there, marked unacked in one step; never waits. `consumer`: who takes, for a store that is to be fair
   * to several.
   */
  readonly take: (
    queues: NonEmptyReadonlyArray<string>,
    max: number,
    consumer?: object
  ) => Effect.Effect<ReadonlyArray<StoredMessage>, HubError>
  readonly settle: (tags: ReadonlyArray<string>) => Effect.Effect<void, HubError>
  /**
   * Whether what was taken is for sure still ours, as far as is known without asking. `false`: others may have it by now, and what was
   * not begun is not to be. Left out: nothing but the loss of its link takes a message away.
   */
  readonly held?: ((tag: string) => boolean) | undefined
  /**
   * Back to their queues with their priority, marked redelivered: `near` is next, in the order given (a restore), `far` is
   * behind the others (a requeue). `counted: false`: it was never looked at, and its delivery count stays.
   */
  readonly restore: (
    tags: ReadonlyArray<string>,
    options: { readonly side: "near" | "far"; readonly counted?: boolean | undefined }
  ) => Effect.Effect<void, HubError>
  /**
   * Back to their queues at that time (milliseconds since the epoch, by our clock) or up to half a second sooner, with their priority,
   * their delivery count and whether they were redelivered: nobody has looked at them. The store keeps them, whatever becomes of us.
   * When it fails, they are held as before. Left out: it cannot.
   */
  readonly postpone?: ((tags: ReadonlyArray<string>, notBefore: number) => Effect.Effect<void, HubError>) | undefined
  /**
   * Where a fanout exchange is the store's own publish and subscribe: to whoever consumes a queue that is bound to it, now. Left out: it
   * routes to its queues as the others do.
   */
  readonly broadcast?: ((put: Put) => Effect.Effect<void, HubError>) | undefined
  readonly size: (queue: string) => Effect.Effect<number, HubError>
  readonly purge: (queue: string) => Effect.Effect<number, HubError>
  readonly bindings: {
    readonly add: (exchange: Exchange, binding: VirtualBinding) => Effect.Effect<void, HubError>
    readonly remove: (exchange: string, binding: VirtualBinding) => Effect.Effect<void, HubError>
    readonly list: (exchange: string) => Effect.Effect<ReadonlyArray<VirtualBinding>, HubError>
  }
}
