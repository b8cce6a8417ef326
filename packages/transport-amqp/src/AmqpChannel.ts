/**
 * A channel on the wire: the verbs of the hub's port as methods of AMQP 0-9-1. Its scope is its life: closing it sends what was
 * settled, closes the channel, and waits for the broker to have said so; only then is its number free for another one.
 */
import type { Channel, QueueInfo } from "@apium/hub/Channel"
import type { Delivery } from "@apium/hub/Delivery"
import type { HubError } from "@apium/hub/HubError"
import type { Message, Route } from "@apium/hub/Message"
import type { Queue } from "@apium/hub/Queue"
import { AmqpError } from "@apium/protocol/amqp/AmqpError"
import * as Constants from "@apium/protocol/amqp/Constants"
import type { Content } from "@apium/protocol/amqp/Content"
import * as Method from "@apium/protocol/amqp/Method"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Consumers, type Consuming } from "./internal/Consumers.ts"
import { AmqpDelivery } from "./internal/Delivery.ts"
import { exchangeOf, fromExchange, queueOf, toQueue } from "./internal/entities.ts"
import { lost, noneLeft, refused } from "./internal/errors.ts"
import type { Link, Receiver } from "./internal/Link.ts"
import { Publisher } from "./internal/Publisher.ts"
import { type Answer, farewell, Requests } from "./internal/Requests.ts"
import { Settled } from "./internal/Settled.ts"

export const openChannel = (link: Link): Effect.Effect<Channel, HubError, Scope.Scope> =>
  // Only the wait may be interrupted: one that is open has to have somebody who closes it.
  Effect.uninterruptibleMask((restore) =>
    Effect.acquireRelease(
      Effect.suspend(() => {
        if (link.cause !== undefined) return Effect.fail(link.cause)
        const id = link.ids.allocate()
        if (id === undefined) return Effect.fail(noneLeft(link.ids.channelMax))
        const channel = new AmqpChannel(link, id)
        link.channels.set(id, channel)
        const opened = Effect.onError(restore(channel.open), () => Effect.sync(() => channel.abandon()))
        return Effect.as(opened, channel)
      }),
      (channel) => channel.close(lost("closed", "the channel was closed"))
    )
  ).pipe(Effect.map((channel) => channel.verbs))

class AmqpChannel implements Receiver, Consuming {
  readonly #link: Link
  readonly #id: number
  readonly #requests: Requests
  readonly #publisher: Publisher
  readonly #settled: Settled
  readonly #closed = Deferred.makeUnsafe<never, HubError>()
  #cause: HubError | undefined
  /** We have said goodbye. */
  #leaving = false
  /** That is answered, or will not be. */
  readonly #left = Deferred.makeUnsafe<void>()
  readonly #consumers: Consumers

  constructor(link: Link, id: number) {
    this.#link = link
    this.#id = id
    this.#requests = new Requests((method) => this.#send(method), link.now)
    this.#publisher = new Publisher(link, id)
    this.#settled = new Settled(id)
    this.#consumers = new Consumers(this, this.#requests, id)
  }

  get asking(): Method.Tag | undefined {
    return this.#requests.asking
  }

  get cause(): HubError | undefined {
    return this.#cause
  }

  get alive(): boolean {
    return this.#cause === undefined
  }

  get open(): Effect.Effect<void, HubError> {
    return this.#ask(Method.channelOpen)
  }

  /** Nobody waits for it. */
  abandon(): void {
    this.#goodbye(200, "Goodbye")
  }

  close(cause: HubError, replyCode = 200, replyText = "Goodbye"): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.#cause !== undefined) return Effect.void
      this.#goodbye(replyCode, replyText, cause)
      // A broker that blocks publishers reads nothing before it has memory again.
      if (this.#link.blocked) return Effect.void
      return Effect.asVoid(Effect.timeoutOption(Effect.interruptible(Deferred.await(this.#left)), farewell))
    })
  }

  #goodbye(replyCode: number, replyText: string, cause: HubError = lost("closed", "the channel was closed")): void {
    if (this.#cause !== undefined) return
    this.#send(Method.channelClose({ replyCode, replyText: replyText.slice(0, 200) }))
    this.#leaving = true
    this.#fail(cause)
  }

  #fail(error: HubError): void {
    if (this.#cause !== undefined) return
    this.#cause = error
    this.#requests.fail(error)
    this.#publisher.fail(error)
    this.#consumers.fail(error)
    Deferred.doneUnsafe(this.#closed, Effect.fail(error))
  }

  get blocked(): boolean {
    return this.#link.blocked
  }

  holds(queue: string, noAck: boolean): boolean {
    return this.#link.held.has(queue, noAck)
  }

  // ---- from the link

  /** A request that was sent before this has no answer: whoever asked is told, and the channel is no good any more. */
  expire(before: number): void {
    if (this.#cause !== undefined) return
    const { asking, since = Number.POSITIVE_INFINITY } = this.#requests
    const late =
      since <= before ? asking : this.#publisher.stuck(before, this.#link.now()) ? "basic.publish" : undefined
    if (late === undefined) return
    this.#goodbye(200, `no answer to ${late}`, lost("requestTimeout", `the broker has not answered ${late} in time`))
  }

  lost(error: HubError): void {
    this.#fail(error)
    Deferred.doneUnsafe(this.#left, Effect.void)
  }

  /** For good, to whoever would try again: the message comes again, too. */
  refuse({ message: replyText, replyCode }: AmqpError): void {
    const { classId, methodId } = Method.infos["basic.deliver"]
    this.#goodbye(replyCode, replyText, refused(Method.channelClose({ replyCode, replyText, classId, methodId })))
  }

  resume(): void {
    this.#publisher.resume()
  }

  received(): void {
    this.#consumers.received()
    this.#publisher.resume()
  }

  receive(method: Method.Method, content: Content | undefined): void {
    if (method._tag === "channel.close") {
      this.#link.outbox.frames.method(this.#id, Method.channelCloseOk)
      this.#link.outbox.wake()
      this.#fail(refused(method))
      // Where both have said it, the answer to ours is still to come.
      if (!this.#leaving) this.#link.forget(this.#id)
      return
    }
    if (this.#cause !== undefined) {
      if (method._tag !== "channel.close-ok") return
      this.#link.forget(this.#id)
      return void Deferred.doneUnsafe(this.#left, Effect.void)
    }
    switch (method._tag) {
      case "basic.deliver":
        return this.#consumers.deliver(method, content!)
      case "basic.ack":
        return this.#publisher.confirmed(method.deliveryTag, method.multiple, true)
      case "basic.nack":
        return this.#publisher.confirmed(method.deliveryTag, method.multiple, false)
      case "basic.return":
        return this.#publisher.returned(method, content!)
      case "basic.cancel":
        return this.#consumers.cancelled(method.consumerTag)
      case "channel.flow":
        this.#send(Method.channelFlowOk({ active: method.active }))
        return this.#publisher.flow(method.active)
      default:
        if (this.#requests.answer({ method, content })) return
        throw new AmqpError({
          message: `${method._tag}, for which nobody has asked`,
          replyCode: Constants.commandInvalid,
          channel: this.#id
        })
    }
  }

  // ---- settling

  settledOnDelivery(tag: number): void {
    this.#settled.mark(tag)
  }

  ack(tag: number): void {
    if (!this.#settled.ack(tag)) return
    this.#link.outbox.beforeFlush.push(() => {
      if (this.alive) this.#settled.write(this.#link.outbox.frames)
    })
    this.#link.outbox.wake()
  }

  reject(tag: number, requeue: boolean): void {
    const { outbox } = this.#link
    this.#settled.write(outbox.frames)
    outbox.frames.reject(this.#id, tag, requeue)
    this.#settled.mark(tag)
    outbox.wake()
  }

  /** What was acknowledged before goes out before. */
  #send(method: Method.Method): void {
    const { outbox } = this.#link
    this.#settled.write(outbox.frames)
    outbox.frames.method(this.#id, method)
    outbox.wake()
  }

  // ---- the verbs

  #ask(method: Method.Method): Effect.Effect<void, HubError> {
    return Effect.asVoid(this.#requests.ask(method))
  }

  #count(method: Method.Method): Effect.Effect<number, HubError> {
    return Effect.map(this.#requests.ask(method), ({ method }) => ("messageCount" in method ? method.messageCount : 0))
  }

  #queueDeclare(queue: Queue, passive = false): Effect.Effect<QueueInfo, HubError> {
    const declare = Method.queueDeclare({ ...queueOf(queue), passive })
    return Effect.map(this.#requests.ask(declare), ({ method }) => {
      const { consumerCount, messageCount, queue: name } = method as Method.QueueDeclareOk
      if (!passive) this.#link.held.declared(name, queue)
      return { name, messageCount, consumerCount }
    })
  }

  /** Who is interrupted when it has come gives it back: nobody else has it. */
  #get(queue: string): Effect.Effect<Option.Option<Delivery>, HubError> {
    let delivery: AmqpDelivery | undefined
    const taken = ({ content, method }: Answer, wanted: boolean): void => {
      if (method._tag !== "basic.get-ok") return
      delivery = new AmqpDelivery(method, content!, this, queue, "")
      if (!wanted) delivery.giveBack()
    }
    return Effect.uninterruptibleMask((restore) =>
      Effect.catchCause(
        // Twice: behind the answer there is another moment to be interrupted in, and behind the value none (`Consumer.pull`).
        Effect.flatMap(restore(this.#requests.ask(Method.basicGet({ queue }), taken)), () =>
          restore(Effect.succeed(Option.fromUndefinedOr(delivery)))
        ),
        (cause) => {
          delivery?.giveBack()
          return Effect.failCause(cause)
        }
      )
    )
  }

  /** What is to wait goes into the lattice. */
  #publish(batch: ReadonlyArray<readonly [message: Message, route: Route]>): Effect.Effect<void, HubError> {
    const { lattice } = this.#link
    if (batch.every(([, { notBefore }]) => notBefore === undefined)) return this.#publisher.publishAll(batch)
    return Effect.flatMap(lattice.prepare(batch), (ready) =>
      Effect.tapError(this.#publisher.publishAll(ready), (error) => Effect.sync(() => lattice.failed(error)))
    )
  }

  readonly verbs: Channel = {
    closed: Effect.suspend(() => Deferred.await(this.#closed)),
    exchangeDeclare: (exchange, options) =>
      this.#ask(Method.exchangeDeclare({ ...exchangeOf(exchange), passive: options?.passive })),
    exchangeDelete: (exchange, options) => this.#ask(Method.exchangeDelete({ exchange, ifUnused: options?.ifUnused })),
    exchangeBind: (destination, binding) => this.#ask(Method.exchangeBind({ destination, ...fromExchange(binding) })),
    exchangeUnbind: (destination, binding) =>
      this.#ask(Method.exchangeUnbind({ destination, ...fromExchange(binding) })),
    queueDeclare: (queue, options) => this.#queueDeclare(queue, options?.passive),
    queueBind: (queue, binding) => this.#ask(Method.queueBind({ queue, ...toQueue(binding) })),
    queueUnbind: (queue, binding) => this.#ask(Method.queueUnbind({ queue, ...toQueue(binding) })),
    queuePurge: (queue) => this.#count(Method.queuePurge({ queue })),
    queueDelete: (queue, options = {}) => this.#count(Method.queueDelete({ queue, ...options })),
    publish: (message, route) =>
      route.notBefore === undefined ? this.#publisher.publish(message, route) : this.#publish([[message, route]]),
    publishAll: (batch) => this.#publish(batch),
    qos: (prefetch) => this.#consumers.qos(prefetch),
    get: (queue) => Effect.suspend(() => this.#get(queue)),
    consume: (queue, options = {}) =>
      Stream.unwrap(
        Effect.map(this.#consumers.subscribe(queue, options), (consumer) =>
          Stream.fromPull(Effect.succeed(consumer.pull))
        )
      )
  }
}
