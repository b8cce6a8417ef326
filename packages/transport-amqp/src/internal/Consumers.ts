/** The consumers of one channel: how they begin and end, and how much each may hold. */
import type { ConsumeOptions } from "@apium/hub/Channel"
import { ConsumerCancelled, HubError } from "@apium/hub/HubError"
import * as Constants from "@apium/protocol/amqp/Constants"
import type { Content } from "@apium/protocol/amqp/Content"
import * as Method from "@apium/protocol/amqp/Method"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { Consumer, Share } from "./Consumer.ts"
import { AmqpDelivery, type Settler } from "./Delivery.ts"
import { refused } from "./errors.ts"
import { farewell, type Requests } from "./Requests.ts"

/** What consumers ask of their channel. */
export interface Consuming extends Settler {
  /** Why it is closed. */
  readonly cause: HubError | undefined
  readonly close: (cause: HubError) => Effect.Effect<void>
  readonly blocked: boolean
  /** A delivery that needs no acknowledgement. */
  readonly settledOnDelivery: (tag: number) => void
  /** Whether consumers of this queue must not leave for a moment. */
  readonly holds: (queue: string, noAck: boolean) => boolean
}

/** Tags that are remembered, the newest. */
const mostLate = 100

export class Consumers {
  readonly #channel: Consuming
  readonly #requests: Requests
  readonly #id: number
  readonly #consumers = new Map<string, Consumer>()
  /** Ended by the broker, and still pulled: their tags may be used again. */
  readonly #ended = new Set<Consumer>()
  /** By the tags that the broker knows. */
  readonly #shares = new Map<string, Share>()
  /** Without acknowledgements, and over: nobody else has what a quorum queue sends behind its answer, and it cannot be given back. */
  readonly #late = new Map<string, Share>()
  #tags = 0
  /** What the next consumer would get as its prefetch, as the broker has it. */
  #prefetch = 0
  /** Of each consumer. */
  #bound = Number.POSITIVE_INFINITY
  readonly #waiting = new Map<Consumer, Set<(error: HubError | undefined) => void>>()
  readonly #toWake = new Set<Consumer>()

  constructor(channel: Consuming, requests: Requests, id: number) {
    this.#channel = channel
    this.#requests = requests
    this.#id = id
  }

  deliver(method: Method.BasicDeliver, content: Content): void {
    const share = this.#shares.get(method.consumerTag) ?? this.#late.get(method.consumerTag)
    if (share === undefined) return this.#channel.reject(method.deliveryTag, true)
    const { consumer } = share
    const { queue, tag } = consumer
    if (consumer.wireNoAck) {
      this.#channel.settledOnDelivery(method.deliveryTag)
      if (consumer.left) return
      consumer.offer(new AmqpDelivery(method, content, this.#channel, queue, tag, undefined, true), content.body.length)
    } else {
      share.unsettled++
      consumer.offer(new AmqpDelivery(method, content, this.#channel, queue, tag, share), 0)
    }
    this.#toWake.add(consumer)
  }

  /** All that was read at once has been delivered. */
  received(): void {
    for (const consumer of this.#toWake) consumer.wake()
    this.#toWake.clear()
  }

  /** The broker has ended it. */
  cancelled(tag: string): void {
    const share = this.#shares.get(tag)
    if (share === undefined) return
    const { consumer } = share
    this.#over(share)
    // Whoever declares its queue again may choose the same tag.
    if (this.#consumers.get(consumer.tag) === consumer) this.#consumers.delete(consumer.tag)
    if (!consumer.left) this.#ended.add(consumer)
    consumer.end(new HubError({ reason: new ConsumerCancelled({ queue: consumer.queue }) }))
    this.#tune(consumer)
  }

  fail(error: HubError): void {
    const consumers = [...this.#consumers.values(), ...this.#ended]
    this.#consumers.clear()
    this.#ended.clear()
    this.#shares.clear()
    for (const consumer of consumers) consumer.fail(error)
    for (const consumer of this.#waiting.keys()) this.#tuned(consumer, error)
  }

  subscribe(queue: string, options: ConsumeOptions): Effect.Effect<Consumer, HubError, Scope.Scope> {
    // Only the wait may be interrupted: a consumer has to have somebody who leaves it.
    return Effect.uninterruptibleMask((restore) =>
      Effect.acquireRelease(
        Effect.suspend(() => {
          if (this.#channel.cause !== undefined) return Effect.fail(this.#channel.cause)
          const tag = options.consumerTag ?? this.#freeTag(`ctag-${this.#id}.`)
          if (this.#has(tag)) return this.#refuseTag(tag)
          const stays =
            options.exclusive === true ||
            options.arguments?.["x-stream-offset"] !== undefined ||
            this.#channel.holds(queue, options.noAck === true)
          const consumer = new Consumer(tag, queue, options, stays, this.#bound, (changed) => this.#tune(changed))
          this.#consumers.set(tag, consumer)
          return Effect.as(
            Effect.onError(restore(this.#tuning(consumer)), () => Effect.sync(() => this.#leave(consumer))),
            consumer
          )
        }),
        (consumer) =>
          Effect.suspend(() => {
            this.#leave(consumer)
            // A broker that blocks publishers reads nothing before it has memory again, and may do so without having said it yet.
            if (this.#channel.blocked) return Effect.void
            return Effect.ignore(Effect.timeoutOption(Effect.interruptible(this.#tuning(consumer)), farewell))
          })
      )
    )
  }

  /** RabbitMQ would close the whole connection for that (530). */
  #refuseTag(tag: string): Effect.Effect<never, HubError> {
    const replyText = `NOT_ALLOWED - attempt to reuse consumer tag '${tag}'`
    const error = refused(
      Method.channelClose({ replyCode: Constants.notAllowed, replyText, classId: 60, methodId: 20 })
    )
    return Effect.andThen(this.#channel.close(error), Effect.fail(error))
  }

  #has(tag: string): boolean {
    return this.#consumers.has(tag) || this.#shares.has(tag)
  }

  #freeTag(prefix: string): string {
    let tag: string
    do tag = `${prefix}${++this.#tags}`
    while (this.#has(tag))
    return tag
  }

  /** Cancels it, gives back what nobody has pulled, and frees its tag. */
  #leave(consumer: Consumer): void {
    consumer.left = true
    this.#tune(consumer)
  }

  /** What a consumer may hold is another number: `min` of its own prefetch and this. */
  qos(prefetch: number): Effect.Effect<void, HubError> {
    return Effect.suspend(() => {
      if (this.#channel.cause !== undefined) return Effect.fail(this.#channel.cause)
      this.#bound = prefetch
      const consumers = [...this.#consumers.values()]
      for (const consumer of consumers) {
        consumer.bound = prefetch
        this.#tune(consumer)
        // It may be handed more of what has come.
        consumer.wake()
      }
      return Effect.forEach(consumers, (consumer) => this.#tuning(consumer), { discard: true })
    })
  }

  /** Completes when nothing is left to be asked for it: interrupting it interrupts nothing of that. */
  #tuning(consumer: Consumer): Effect.Effect<void, HubError> {
    return Effect.callback((resume) => {
      if (this.#channel.cause !== undefined) return resume(Effect.fail(this.#channel.cause))
      this.#tune(consumer)
      if (!consumer.busy) return resume(Effect.void)
      const waiting = this.#waiting.get(consumer) ?? new Set()
      this.#waiting.set(consumer, waiting)
      const tuned = (error: HubError | undefined): void =>
        resume(error === undefined ? Effect.void : Effect.fail(error))
      waiting.add(tuned)
      return Effect.sync(() => void waiting.delete(tuned))
    })
  }

  #tuned(consumer: Consumer, error?: HubError): void {
    const waiting = this.#waiting.get(consumer)
    if (waiting === undefined) return
    this.#waiting.delete(consumer)
    for (const tuned of waiting) tuned(error)
  }

  /** One request of a consumer at a time, until its shares are as they should be. */
  #tune(consumer: Consumer): void {
    if (consumer.busy || !this.#channel.alive) return
    const next = consumer.next()
    if (next === undefined) {
      if (consumer.left) this.#gone(consumer)
      return this.#tuned(consumer)
    }
    consumer.busy = true
    if (next instanceof Share) {
      this.#requests.tell(Method.basicCancel({ consumerTag: next.tag }), () => {
        consumer.busy = false
        this.#over(next)
        this.#tune(consumer)
      })
    } else {
      this.#begin(consumer, next)
    }
  }

  /** The prefetch counts for the consumers that begin after it, so nothing may come between the two requests. */
  #begin(consumer: Consumer, prefetch: number): void {
    const { options, queue, tag, wireNoAck } = consumer
    // Not twice the same: a quorum queue goes on counting where the consumer of that tag left off, and RabbitMQ 3.10 sends what
    // it believes missing once more, or gives up the connection (541).
    const share = new Share(consumer, consumer.begun ? this.#freeTag(`${tag}.`) : tag, prefetch)
    consumer.begun = true
    consumer.shares.push(share)
    this.#shares.set(share.tag, share)
    if (prefetch !== this.#prefetch && !wireNoAck) {
      this.#prefetch = prefetch
      this.#requests.tell(Method.basicQos({ prefetchCount: prefetch }))
    }
    const begun = Method.basicConsume({
      queue,
      consumerTag: share.tag,
      noAck: wireNoAck,
      exclusive: options.exclusive,
      arguments: options.arguments
    })
    this.#requests.tell(begun, (error) => {
      consumer.busy = false
      if (error !== undefined) {
        this.#over(share)
        consumer.fail(error)
        this.#tuned(consumer, error)
      }
      this.#tune(consumer)
    })
  }

  #over(share: Share): void {
    this.#shares.delete(share.tag)
    share.consumer.over(share)
    if (!share.consumer.wireNoAck) return
    this.#late.set(share.tag, share)
    if (this.#late.size > mostLate) this.#late.delete(this.#late.keys().next().value!)
  }

  #gone(consumer: Consumer): void {
    if (this.#consumers.get(consumer.tag) === consumer) this.#consumers.delete(consumer.tag)
    this.#ended.delete(consumer)
    consumer.giveBack()
  }
}
