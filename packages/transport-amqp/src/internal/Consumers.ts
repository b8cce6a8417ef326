/** The consumers of one channel: how they begin and end, and how much all of them may hold. */
import type { ConsumeOptions } from "@apium/hub/Channel"
import { ConsumerCancelled, HubError } from "@apium/hub/HubError"
import * as Constants from "@apium/protocol/amqp/Constants"
import type { Content } from "@apium/protocol/amqp/Content"
import * as Method from "@apium/protocol/amqp/Method"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import { Consumer } from "./Consumer.ts"
import { AmqpDelivery, type Settler } from "./Delivery.ts"
import { refused } from "./errors.ts"
import type { Requests } from "./Requests.ts"

/** What consumers ask of their channel. */
export interface Consuming extends Settler {
  /** Why it is closed. */
  readonly cause: HubError | undefined
  readonly close: (cause: HubError) => Effect.Effect<void>
  /** A delivery that needs no acknowledgement. */
  readonly settledOnDelivery: (tag: number) => void
}

/** `basic.qos` counts in two octets, and 0 is no bound. */
const wireCount = (prefetch: number): number => (prefetch > 65_535 ? 0 : Math.max(1, Math.floor(prefetch)))

export class Consumers {
  readonly #channel: Consuming
  readonly #requests: Requests
  readonly #id: number
  readonly #consumers = new Map<string, Consumer>()
  #tags = 0
  /** What the next consumer would get as its prefetch, as the broker has it. */
  #prefetch = 0
  /** Over all consumers. */
  #bound = Number.POSITIVE_INFINITY
  readonly #tuning = Semaphore.makeUnsafe(1)
  readonly #toWake = new Set<Consumer>()

  constructor(channel: Consuming, requests: Requests, id: number) {
    this.#channel = channel
    this.#requests = requests
    this.#id = id
  }

  deliver(method: Method.BasicDeliver, content: Content): void {
    const consumer = this.#consumers.get(method.consumerTag)
    if (consumer === undefined) return this.#channel.reject(method.deliveryTag, true)
    if (consumer.noAck) this.#channel.settledOnDelivery(method.deliveryTag)
    consumer.offer(new AmqpDelivery(method, content, this.#channel, consumer.queue, consumer.tag, consumer.noAck))
    this.#toWake.add(consumer)
  }

  /** All that was read at once has been delivered. */
  received(): void {
    for (const consumer of this.#toWake) consumer.wake()
    this.#toWake.clear()
  }

  /** The broker has ended it. */
  cancelled(tag: string): void {
    const consumer = this.#consumers.get(tag)
    if (consumer === undefined) return
    this.#consumers.delete(tag)
    consumer.end(new HubError({ reason: new ConsumerCancelled({ queue: consumer.queue }) }))
  }

  fail(error: HubError): void {
    const consumers = [...this.#consumers.values()]
    this.#consumers.clear()
    for (const consumer of consumers) consumer.fail(error)
  }

  subscribe(queue: string, options: ConsumeOptions): Effect.Effect<Consumer, HubError, Scope.Scope> {
    return Effect.acquireRelease(
      Effect.suspend(() => {
        if (this.#channel.cause !== undefined) return Effect.fail(this.#channel.cause)
        const tag = options.consumerTag ?? this.#freeTag()
        if (this.#consumers.has(tag)) return this.#refuseTag(tag)
        const consumer = new Consumer(tag, queue, options)
        this.#consumers.set(tag, consumer)
        if (this.#bound === 0 && !consumer.noAck) return Effect.succeed(consumer)
        return Effect.as(this.#start(consumer), consumer).pipe(
          Effect.onError(() => Effect.sync(() => this.#leave(consumer, () => {})))
        )
      }),
      (consumer) =>
        Effect.callback<void>((resume) => {
          this.#leave(consumer, () => resume(Effect.void))
        }),
      { interruptible: true }
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

  #freeTag(): string {
    let tag: string
    do tag = `ctag-${this.#id}.${++this.#tags}`
    while (this.#consumers.has(tag))
    return tag
  }

  /** The prefetch counts for the consumers that begin after it, so nothing may come between the two requests. */
  #start(consumer: Consumer): Effect.Effect<void, HubError> {
    return Effect.suspend(() => {
      consumer.started = true
      const { options, queue, tag, noAck } = consumer
      const prefetch = noAck || !options.prefetch ? 0 : wireCount(options.prefetch)
      if (prefetch !== this.#prefetch && !noAck) {
        this.#prefetch = prefetch
        this.#requests.tell(Method.basicQos({ prefetchCount: prefetch }))
        // RabbitMQ forgets the bound of the channel over that of its consumers.
        const whole = Method.basicQos({ prefetchCount: wireCount(this.#bound), global: true })
        if (whole.prefetchCount > 0) this.#requests.tell(whole)
      }
      return Effect.asVoid(
        this.#requests.ask(
          Method.basicConsume({
            queue,
            consumerTag: tag,
            noAck,
            exclusive: options.exclusive,
            arguments: options.arguments
          })
        )
      )
    })
  }

  /** Cancels it, gives back what nobody has pulled, and frees its tag. */
  #leave(consumer: Consumer, done: () => void): void {
    consumer.left = true
    const gone = (): void => {
      consumer.giveBack()
      if (this.#consumers.get(consumer.tag) === consumer) this.#consumers.delete(consumer.tag)
      done()
    }
    if (!consumer.started || this.#consumers.get(consumer.tag) !== consumer || !this.#channel.alive) return gone()
    this.#requests.tell(Method.basicCancel({ consumerTag: consumer.tag }), gone)
  }

  /**
   * `basic.qos` with `global`, in which 0 is no bound: to stop all deliveries, the consumers are cancelled, and begin again when
   * there is a bound other than 0.
   */
  qos(prefetch: number): Effect.Effect<void, HubError> {
    const acking = () => [...this.#consumers.values()].filter(({ left, noAck }) => !noAck && !left)
    return this.#tuning.withPermits(1)(
      Effect.suspend(() => {
        if (this.#channel.cause !== undefined) return Effect.fail(this.#channel.cause)
        const before = this.#bound
        if (prefetch === before) return Effect.void
        this.#bound = prefetch
        if (prefetch === 0) {
          return Effect.forEach(
            acking().filter(({ started }) => started),
            (consumer) => {
              consumer.started = false
              return this.#requests.ask(Method.basicCancel({ consumerTag: consumer.tag }), () => consumer.giveBack())
            },
            { discard: true }
          )
        }
        return Effect.andThen(
          this.#requests.ask(Method.basicQos({ prefetchCount: wireCount(prefetch), global: true })),
          Effect.suspend(() =>
            Effect.forEach(
              acking().filter(({ started }) => !started),
              (consumer) => this.#start(consumer),
              { discard: true }
            )
          )
        )
      })
    )
  }
}
