/** What a channel of a `VirtualBroker` delivers: settled once, by whoever is first. */
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import { type Delivery, settledTwice } from "../Delivery.ts"
import type { HubError } from "../HubError.ts"
import type { Message, Route } from "../Message.ts"
import type { Prefetch } from "./Prefetch.ts"
import type { VirtualChannel } from "./VirtualChannel.ts"
import type { StoredMessage } from "./VirtualStore.ts"

const countSettledTwice = Metric.update(settledTwice, 1)

/** Where the link was lost, the store gives back what was held on it: who settles now comes too late. */
const unlessLost = (settle: Effect.Effect<void, HubError>): Effect.Effect<void, HubError> =>
  Effect.catchIf(
    settle,
    ({ reason }) => reason._tag === "ConnectionLost",
    () => countSettledTwice
  )

export class VirtualDelivery implements Delivery {
  readonly stored: StoredMessage
  readonly consumerTag: string
  readonly #channel: VirtualChannel
  readonly #window: Prefetch | undefined
  readonly #noAck: boolean
  #settled: boolean

  constructor(
    stored: StoredMessage,
    channel: VirtualChannel,
    consumerTag: string,
    window: Prefetch | undefined,
    noAck: boolean
  ) {
    this.stored = stored
    this.consumerTag = consumerTag
    this.#channel = channel
    this.#window = window
    this.#noAck = noAck
    this.#settled = noAck
    if (!noAck) channel.held.add(this)
  }

  get message(): Message {
    return this.stored.message
  }

  get route(): Route {
    return { exchange: this.stored.exchange, routingKey: this.stored.routingKey }
  }

  get queue(): string {
    return this.stored.queue
  }

  get redelivered(): boolean {
    return this.stored.redelivered
  }

  get deliveryCount(): Option.Option<number> {
    return Option.some(this.stored.deliveryCount)
  }

  /** Without acknowledgements it is nobody else's from the beginning. */
  get held(): (() => boolean) | undefined {
    const { store } = this.#channel.broker
    return store.held === undefined || this.#noAck ? undefined : () => !this.#settled && store.held!(this.stored.tag)
  }

  // Uninterruptible: once claimed, a message that is neither settled nor restored would be nobody's.
  get ack(): Effect.Effect<void, HubError> {
    return Effect.uninterruptibleMask(() =>
      this.claim() ? unlessLost(this.#channel.broker.store.settle([this.stored.tag])) : countSettledTwice
    )
  }

  /** A getter, so that it can be taken off the delivery as `ack` can. */
  get reject(): (options: { readonly requeue: boolean }) => Effect.Effect<void, HubError> {
    return (options) =>
      Effect.uninterruptibleMask(() => {
        if (!this.claim()) return countSettledTwice
        const { broker } = this.#channel
        return unlessLost(
          options.requeue
            ? broker.store.restore([this.stored.tag], { side: "far" })
            : broker.discard(this.stored, "rejected")
        )
      })
  }

  get release(): Effect.Effect<void, HubError> {
    return Effect.uninterruptibleMask(() =>
      this.claim()
        ? unlessLost(this.#channel.broker.store.restore([this.stored.tag], { side: "near", counted: false }))
        : countSettledTwice
    )
  }

  get postpone(): ((notBefore: number) => Effect.Effect<void, HubError>) | undefined {
    const { postpone } = this.#channel.broker.store
    if (postpone === undefined || this.#noAck) return undefined
    return (notBefore) =>
      Effect.uninterruptibleMask(() =>
        this.claim()
          ? unlessLost(Effect.onError(postpone([this.stored.tag], notBefore), () => this.#unclaim()))
          : countSettledTwice
      )
  }

  /** It is held as if nobody had settled it; a channel that was closed meanwhile has given back the others. */
  #unclaim(): Effect.Effect<void> {
    const channel = this.#channel
    if (channel.isClosed) {
      return Effect.ignore(channel.broker.store.restore([this.stored.tag], { side: "near", counted: false }))
    }
    this.#settled = false
    channel.held.add(this)
    if (this.#window !== undefined) {
      this.#window.hold(1)
      channel.window.hold(1)
    }
    return Effect.void
  }

  /** Whether the caller is the one who settles it. */
  claim(): boolean {
    if (this.#settled) return false
    this.#settled = true
    this.#channel.held.delete(this)
    if (this.#window !== undefined) {
      this.#window.hold(-1)
      this.#channel.window.hold(-1)
    }
    return true
  }
}
