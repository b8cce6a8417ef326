/** A message that was taken: read when somebody asks, settled once, and only on the link that brought it. */
import { type Delivery, settledTwice } from "@apium/hub/Delivery"
import { DecodeFailed, HubError } from "@apium/hub/HubError"
import type { Message, Route } from "@apium/hub/Message"
import type { Content } from "@apium/protocol/amqp/Content"
import type { BasicDeliver, BasicGetOk } from "@apium/protocol/amqp/Method"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Result from "effect/Result"

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
  #settled: boolean
  #message: Message | undefined

  constructor(
    method: BasicDeliver | BasicGetOk,
    content: Content,
    channel: Settler,
    queue: string,
    consumerTag: string,
    noAck: boolean
  ) {
    this.queue = queue
    this.consumerTag = consumerTag
    this.#method = method
    this.#content = content
    this.#channel = channel
    this.#settled = noAck
  }

  get message(): Message {
    return (this.#message ??= lazily(this.#content))
  }

  get route(): Route {
    return { exchange: this.#method.exchange, routingKey: this.#method.routingKey }
  }

  get redelivered(): boolean {
    return this.#method.redelivered
  }

  /** Quorum queues count in a header; classic queues do not count. */
  get deliveryCount(): Option.Option<number> {
    const count = this.message.headers["x-delivery-count"]
    return typeof count === "number" ? Option.some(count) : Option.none()
  }

  get ack(): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (!this.#claim()) return countSettledTwice
      this.#channel.ack(this.#method.deliveryTag)
      return Effect.void
    })
  }

  /** A getter, so that it can be taken off the delivery as `ack` can. */
  get reject(): (options: { readonly requeue: boolean }) => Effect.Effect<void> {
    return ({ requeue }) =>
      Effect.suspend(() => {
        if (!this.#claim()) return countSettledTwice
        this.#channel.reject(this.#method.deliveryTag, requeue)
        return Effect.void
      })
  }

  /** RabbitMQ puts it where it was. */
  get release(): Effect.Effect<void> {
    return this.reject({ requeue: true })
  }

  /** {@link release}, at once. */
  giveBack(): void {
    if (this.#claim()) this.#channel.reject(this.#method.deliveryTag, true)
  }

  /** Whether the caller is the one who settles it. */
  #claim(): boolean {
    if (this.#settled || !this.#channel.alive) return false
    return (this.#settled = true)
  }
}

/** Own properties, so that it can be spread; each is read when it is first asked for. */
const lazily = (content: Content): Message => ({
  body: content.body,
  get properties() {
    return content.properties
  },
  get headers() {
    const headers = content.headers()
    if (Result.isSuccess(headers)) return headers.success
    throw new HubError({
      reason: new DecodeFailed({ what: "the headers of a message", text: headers.failure.message })
    })
  }
})
