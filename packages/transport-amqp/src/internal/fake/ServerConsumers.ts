/** What one channel has delivered: tags, who consumes, and what the client has not settled yet. */
import type { Delivery } from "@apium/hub/Delivery"
import type { HubError } from "@apium/hub/HubError"
import * as HubQueue from "@apium/hub/Queue"
import * as Constants from "@apium/protocol/amqp/Constants"
import type { Content } from "@apium/protocol/amqp/FrameWriter"
import * as Method from "@apium/protocol/amqp/Method"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { refuse } from "./profiles.ts"
import type { ServerChannel } from "./ServerChannel.ts"
import type { ServerLink } from "./ServerLink.ts"

/** Who consumes from it without acknowledging gets the answers to what the same channel publishes with it as `reply_to`. */
export const replyTo = "amq.rabbitmq.reply-to"

const written = ({ message: { body, headers, properties } }: Delivery): Content => ({
  properties,
  headers: Object.keys(headers).length === 0 ? undefined : headers,
  body
})

export class ServerConsumers {
  /** Of the last `basic.qos`: what the next consumer gets. */
  prefetch = Number.POSITIVE_INFINITY
  /** Where the answers of direct reply-to go. */
  replyQueue: string | undefined
  readonly #link: ServerLink
  readonly #channel: ServerChannel
  readonly #consumers = new Map<string, Scope.Closeable>()
  readonly #unsettled = new Map<number, Delivery>()
  #tags = 0

  constructor(link: ServerLink, channel: ServerChannel) {
    this.#link = link
    this.#channel = channel
  }

  consume(method: Method.BasicConsume): Effect.Effect<void, HubError> {
    const { noAck } = method
    const tag = method.consumerTag || `amq.ctag-${crypto.randomUUID()}`
    if (this.#consumers.has(tag)) {
      return refuse(method._tag, Constants.notAllowed, `attempt to reuse consumer tag '${tag}'`)
    }
    return Effect.gen({ self: this }, function* () {
      const channel = this.#channel
      const queue = method.queue === replyTo ? yield* this.#replies(noAck) : method.queue
      const scope = yield* Scope.fork(channel.scope)
      this.#consumers.set(tag, scope)
      const pull = yield* Scope.provide(
        channel.virtual.subscribe(queue, {
          consumerTag: tag,
          noAck,
          exclusive: method.exclusive,
          prefetch: Number.isFinite(this.prefetch) ? this.prefetch : undefined,
          arguments: method.arguments
        }),
        scope
      )
      if (!method.nowait) channel.send(Method.basicConsumeOk({ consumerTag: tag }))
      // What a pull took is delivered, or given back by it: between the two nobody may be interrupted.
      const next = Effect.uninterruptibleMask((restore) =>
        Effect.flatMap(restore(pull), (deliveries) => {
          for (const delivery of deliveries) this.#deliver(tag, delivery, noAck)
          return restore(this.#link.room)
        })
      )
      yield* Effect.forever(next, { disableYield: true }).pipe(
        Effect.catchReason("HubError", "ConsumerCancelled", () => this.#cancelled(tag)),
        // The channel or the link is closed, which somebody else says.
        Effect.ignore,
        Effect.forkIn(scope)
      )
    })
  }

  /** Direct reply-to: a queue of this connection's own, and the name under which others see it. */
  #replies(noAck: boolean): Effect.Effect<string, HubError> {
    if (!noAck) return refuse("basic.consume", Constants.preconditionFailed, "reply consumer cannot acknowledge")
    if (this.replyQueue !== undefined) {
      return refuse("basic.consume", Constants.preconditionFailed, "reply consumer already set")
    }
    const name = `${replyTo}.${crypto.randomUUID()}`
    const declared = this.#channel.virtual.verbs.queueDeclare(HubQueue.temporary(name))
    return Effect.map(declared, () => (this.replyQueue = name))
  }

  cancel(tag: string): Effect.Effect<void> {
    return Effect.suspend(() => {
      const scope = this.#consumers.get(tag)
      this.#consumers.delete(tag)
      return scope === undefined ? Effect.void : Scope.close(scope, Exit.void)
    })
  }

  /** Its queue was deleted. Whoever hears of it may have the tag again, so it is gone by then; and not before who says so has ended. */
  #cancelled(tag: string): Effect.Effect<void> {
    return Effect.suspend(() => {
      const scope = this.#consumers.get(tag)
      if (scope === undefined) return Effect.void
      this.#consumers.delete(tag)
      const told = Effect.sync(() => {
        if (this.#link.can("consumer_cancel_notify")) {
          this.#channel.send(Method.basicCancel({ consumerTag: tag, nowait: true }))
        }
      })
      return Effect.asVoid(Effect.forkIn(Effect.andThen(Scope.close(scope, Exit.void), told), this.#channel.scope))
    })
  }

  #deliver(consumerTag: string, delivery: Delivery, noAck: boolean): void {
    const deliveryTag = this.#tag(delivery, noAck)
    const { redelivered, route } = delivery
    const { exchange, routingKey } = route
    const method = Method.basicDeliver({ consumerTag, deliveryTag, redelivered, exchange, routingKey })
    this.#link.content(this.#channel.id, method, written(delivery))
  }

  /** The answer to `basic.get`. */
  got(delivery: Delivery, messageCount: number, noAck: boolean): Effect.Effect<void, HubError> {
    return Effect.map(noAck ? delivery.ack : Effect.void, () => {
      const deliveryTag = this.#tag(delivery, noAck)
      const { redelivered, route } = delivery
      const { exchange, routingKey } = route
      const method = Method.basicGetOk({ deliveryTag, redelivered, exchange, routingKey, messageCount })
      this.#link.content(this.#channel.id, method, written(delivery))
    })
  }

  #tag(delivery: Delivery, noAck: boolean): number {
    const tag = ++this.#tags
    if (!noAck) this.#unsettled.set(tag, delivery)
    return tag
  }

  /** One, or all up to it (0: all there are). What goes back does so the last first, and keeps its order. */
  settle(
    {
      _tag,
      deliveryTag,
      multiple
    }: Pick<Method.BasicAck, "deliveryTag" | "multiple"> & {
      readonly _tag: "basic.ack" | "basic.nack" | "basic.reject"
    },
    how: "ack" | "release" | "discard"
  ): Effect.Effect<void, HubError> {
    const all = multiple && deliveryTag === 0
    if (!all && !this.#unsettled.has(deliveryTag)) {
      return refuse(_tag, Constants.preconditionFailed, `unknown delivery tag ${deliveryTag}`)
    }
    const tags = multiple ? [...this.#unsettled.keys()].filter((tag) => all || tag <= deliveryTag) : [deliveryTag]
    const deliveries = tags.map((tag) => this.#unsettled.get(tag)!)
    for (const tag of tags) this.#unsettled.delete(tag)
    if (how === "release") {
      // To where it was, as RabbitMQ's queues have it; `reject` of the virtual ones puts it behind the others.
      return Effect.forEach(deliveries.toReversed(), ({ release }) => release, { discard: true })
    }
    return Effect.forEach(
      deliveries,
      (delivery) => (how === "ack" ? delivery.ack : delivery.reject({ requeue: false })),
      { discard: true }
    )
  }

  get recover(): Effect.Effect<void, HubError> {
    return Effect.suspend(() => this.settle({ _tag: "basic.nack", deliveryTag: 0, multiple: true }, "release"))
  }
}
