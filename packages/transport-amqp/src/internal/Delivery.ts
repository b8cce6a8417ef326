/** A message that was taken: read when somebody asks, settled once, and only on the link that brought it. */
import { counted, type Delivery, queueCount, settledTwice, type Unreadable } from "@apium/hub/Delivery"
import type { Message, Route } from "@apium/hub/Message"
import type { AmqpError } from "@apium/protocol/amqp/AmqpError"
import type { Content } from "@apium/protocol/amqp/Content"
import type { BasicDeliver, BasicGetOk } from "@apium/protocol/amqp/Method"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as DelayedDelivery from "../DelayedDelivery.ts"
import type { Share } from "./Consumer.ts"

/** Where a settlement goes. */
export interface Settler {
  /** False once the channel is closed: the broker has the message back. */
  readonly alive: boolean
  readonly ack: (tag: number) => void
  readonly reject: (tag: number, requeue: boolean) => void
}

const countSettledTwice = Metric.update(settledTwice, 1)

export class AmqpDelivery implements Delivery {
  readonly queue: string
  readonly consumerTag: string
  readonly #method: BasicDeliver | BasicGetOk
  readonly #content: Content
  readonly #channel: Settler
  /** Whose window it takes a place in. */
  readonly #share: Share | undefined
  #settled: boolean
  #message: Message | undefined

  constructor(
    method: BasicDeliver | BasicGetOk,
    content: Content,
    channel: Settler,
    queue: string,
    consumerTag: string,
    share?: Share,
    noAck = false
  ) {
    this.queue = queue
    this.consumerTag = consumerTag
    this.#method = method
    this.#content = content
    this.#channel = channel
    this.#share = share
    this.#settled = noAck
  }

  get message(): Message {
    return (this.#message ??= messageOf(this.#content))
  }

  get unreadable(): Unreadable | undefined {
    try {
      this.#content.headersUnsafe()
      return undefined
    } catch (error) {
      return { text: (error as AmqpError).message, headers: this.#content.headerOctets }
    }
  }

  get route(): Route {
    const { exchange, routingKey } = this.#method
    return DelayedDelivery.isLattice(exchange)
      ? DelayedDelivery.originalRoute(exchange, routingKey, this.queue)
      : { exchange, routingKey }
  }

  get redelivered(): boolean {
    return this.#method.redelivered
  }

  /** Quorum queues count in a header. Classic queues do not: what was published again to be counted carries it, and says whether it came again. */
  get deliveryCount(): Option.Option<number> {
    const count = this.message.headers[queueCount]
    const own = counted(this)
    if (typeof count === "number") return Option.some((own ?? 0) + count)
    return own === undefined ? Option.none() : Option.some(own + (this.redelivered ? 1 : 0))
  }

  get ack(): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (!this.#claim()) return countSettledTwice
      this.#ack()
      return Effect.void
    })
  }

  /** A getter, so that it can be taken off the delivery as `ack` can. */
  get reject(): (options: { readonly requeue: boolean }) => Effect.Effect<void> {
    return ({ requeue }) =>
      Effect.suspend(() => {
        if (!this.#claim()) return countSettledTwice
        this.#reject(requeue)
        return Effect.void
      })
  }

  /** RabbitMQ puts it where it was. */
  get release(): Effect.Effect<void> {
    return this.reject({ requeue: true })
  }

  /** {@link release}, at once. */
  giveBack(): void {
    if (this.#claim()) this.#reject(true)
  }

  /** {@link ack}, at once. */
  acknowledge(): void {
    if (this.#claim()) this.#ack()
  }

  // The window hears of it last: what it asks for then must not reach the broker before.

  #ack(): void {
    this.#channel.ack(this.#method.deliveryTag)
    this.#share?.settled()
  }

  #reject(requeue: boolean): void {
    this.#channel.reject(this.#method.deliveryTag, requeue)
    this.#share?.settled()
  }

  /** Whether the caller is the one who settles it. */
  #claim(): boolean {
    if (this.#settled || !this.#channel.alive) return false
    return (this.#settled = true)
  }
}

/**
 * Own properties, so that it can be spread. Who asks for the body alone does not pay for the headers, which are read when they are asked for, unless they
 * were before.
 */
const messageOf = (content: Content): Message =>
  content.hasHeaders && !content.isRead
    ? new Unread(content)
    : { body: content.body, properties: content.properties, headers: headersOf(content) }

const headersOf = (content: Content): Message["headers"] => {
  try {
    return content.headersUnsafe()
  } catch {
    return {}
  }
}

/**
 * FAST: one getter for all messages. That of an object literal is a function of its own, and so each message a hidden class of its own: 0.7 us, 1.2 kB, and
 * V8 keeps such classes in its old generation, with all that their getter knows of (the whole message: 7 of 59 MB survived each scavenge).
 */
class Unread implements Message {
  readonly body: Uint8Array
  readonly properties: Message["properties"]
  declare readonly headers: Message["headers"]
  readonly #content: Content

  constructor(content: Content) {
    this.body = content.body
    this.properties = content.properties
    this.#content = content
    Object.defineProperty(this, "headers", Unread.#headers)
  }

  static readonly #headers: PropertyDescriptor & ThisType<Unread> = {
    get() {
      return headersOf(this.#content)
    },
    enumerable: true,
    configurable: true
  }
}
