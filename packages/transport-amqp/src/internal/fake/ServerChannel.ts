/**
 * A channel as the broker has it: its methods as verbs of a virtual channel, which is where messages are. What that refuses is
 * the link's to say (`channel.close` or `connection.close`).
 */
import type { Binding } from "@apium/hub/Queue"
import type { HubError, Returned } from "@apium/hub/HubError"
import type { Message } from "@apium/hub/Message"
import { VirtualChannel } from "@apium/hub/virtual/VirtualChannel"
import * as Constants from "@apium/protocol/amqp/Constants"
import type { AmqpError } from "@apium/protocol/amqp/AmqpError"
import type { Content } from "@apium/protocol/amqp/Content"
import * as Method from "@apium/protocol/amqp/Method"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import { lost } from "../errors.ts"
import { checkQos, checkQueue, refuse } from "./profiles.ts"
import { replyTo, ServerConsumers } from "./ServerConsumers.ts"
import type { ServerLink } from "./ServerLink.ts"

const exchangeTypes: ReadonlySet<string> = new Set(["direct", "topic", "fanout", "headers"])

export class ServerChannel {
  readonly id: number
  readonly virtual: VirtualChannel
  readonly scope: Scope.Closeable
  /** We have closed it, and wait for `channel.close-ok`: all else is passed over. */
  closing = false
  readonly #link: ServerLink
  readonly #consumers: ServerConsumers
  /** Stands for a queue without a name. */
  #lastQueue = ""
  /** In confirm mode, publishes so far. */
  #published: number | undefined
  /** Taken, and not yet confirmed to the client. */
  #taken: Array<number> = []
  /** All up to here are confirmed. */
  #confirmed = 0

  constructor(link: ServerLink, id: number, scope: Scope.Closeable) {
    this.#link = link
    this.id = id
    this.scope = scope
    this.virtual = new VirtualChannel(link.vhost.broker, link)
    this.#consumers = new ServerConsumers(link, this)
  }

  /** Consumers first: what they hold unsettled goes back in order. */
  get end(): Effect.Effect<void> {
    return Effect.andThen(
      Scope.close(this.scope, Exit.void),
      Effect.suspend(() => this.virtual.close(lost("closed", "the channel was closed")))
    )
  }

  send(method: Method.Method): void {
    this.#link.send(this.id, method)
  }

  /** Confirms what was taken in this turn, together where that is all before it. */
  confirm(): void {
    const taken = this.#taken
    const last = taken.at(-1)
    if (last === undefined) return
    this.#taken = []
    if (last - this.#confirmed === taken.length) {
      this.#confirmed = last
      return this.send(Method.basicAck({ deliveryTag: last, multiple: taken.length > 1 }))
    }
    for (const deliveryTag of taken) this.send(Method.basicAck({ deliveryTag }))
  }

  /** A publish that a script lets go by has its number all the same, and is never confirmed. */
  passedOver(method: Method.Method): void {
    if (method._tag === "basic.publish" && this.#published !== undefined) this.#published++
  }

  handle(method: Method.Method, content: Content | undefined): Effect.Effect<void, HubError> {
    const { virtual } = this
    const { verbs } = virtual
    const { broker, name: vhost } = this.#link.vhost
    /** The answer, unless none is wanted. */
    const reply = (answer: Method.Method) => () => {
      if (!("nowait" in method && method.nowait)) this.send(answer)
    }
    const done = <A>(request: Effect.Effect<A, HubError>, answer: Method.Method): Effect.Effect<void, HubError> =>
      Effect.map(request, reply(answer))
    const named = (queue: string): string => queue || this.#lastQueue

    switch (method._tag) {
      case "exchange.declare": {
        const { exchange: name, type, durable, autoDelete, internal, passive, arguments: args } = method
        if (!passive && !exchangeTypes.has(type)) {
          return refuse(method._tag, Constants.commandInvalid, `unknown exchange type '${type}'`)
        }
        const exchange = { name, type, durable, autoDelete, internal, arguments: args }
        return done(verbs.exchangeDeclare(exchange, { passive }), Method.exchangeDeclareOk)
      }
      case "exchange.delete":
        if (method.exchange.startsWith("amq.")) {
          const text = `deletion of system exchange '${method.exchange}' in vhost '${vhost}' not allowed`
          return refuse(method._tag, Constants.accessRefused, text)
        }
        return done(verbs.exchangeDelete(method.exchange, method), Method.exchangeDeleteOk)
      case "exchange.bind":
        return done(verbs.exchangeBind(method.destination, bound(method.source, method)), Method.exchangeBindOk)
      case "exchange.unbind":
        return done(verbs.exchangeUnbind(method.destination, bound(method.source, method)), Method.exchangeUnbindOk)
      case "queue.declare":
        return Effect.map(this.#declare(method), (answer) => reply(answer)())
      case "queue.bind":
        return done(verbs.queueBind(named(method.queue), bound(method.exchange, method)), Method.queueBindOk)
      case "queue.unbind":
        return done(verbs.queueUnbind(named(method.queue), bound(method.exchange, method)), Method.queueUnbindOk)
      case "queue.purge":
        return Effect.map(verbs.queuePurge(named(method.queue)), (messageCount) =>
          reply(Method.queuePurgeOk({ messageCount }))()
        )
      case "queue.delete":
        return Effect.map(verbs.queueDelete(named(method.queue), method), (messageCount) =>
          reply(Method.queueDeleteOk({ messageCount }))()
        )
      case "basic.publish":
        return this.#publish(method, content!)
      case "basic.get":
        return Effect.flatMap(verbs.get(named(method.queue)), (delivery) => {
          if (Option.isNone(delivery)) return Effect.sync(reply(Method.basicGetEmpty))
          return Effect.flatMap(broker.store.size(delivery.value.queue), (messageCount) =>
            this.#consumers.got(delivery.value, messageCount, method.noAck)
          )
        })
      case "basic.consume":
        return this.#consumers.consume({ ...method, queue: named(method.queue) })
      case "basic.cancel":
        return done(this.#consumers.cancel(method.consumerTag), Method.basicCancelOk(method))
      case "basic.qos":
        return Effect.andThen(checkQos(this.#link.host.profile, method), () => {
          const bound = method.prefetchCount || Number.POSITIVE_INFINITY
          if (!method.global) this.#consumers.prefetch = bound
          return done(method.global ? verbs.qos(bound) : Effect.void, Method.basicQosOk)
        })
      case "basic.ack":
        return this.#consumers.settle(method, "ack")
      case "basic.nack":
      case "basic.reject": {
        const { _tag, deliveryTag, requeue } = method
        const multiple = method._tag === "basic.nack" && method.multiple
        return this.#consumers.settle({ _tag, deliveryTag, multiple }, requeue ? "release" : "discard")
      }
      case "basic.recover":
      case "basic.recover-async": {
        if (!method.requeue) return refuse(method._tag, Constants.notImplemented, "requeue=false")
        return Effect.map(this.#consumers.recover, () => {
          if (method._tag === "basic.recover") this.send(Method.basicRecoverOk)
        })
      }
      case "confirm.select":
        this.#published ??= 0
        return Effect.sync(reply(Method.confirmSelectOk))
      case "channel.flow":
        return method.active
          ? Effect.sync(reply(Method.channelFlowOk({ active: true })))
          : refuse(method._tag, Constants.notImplemented, "active=false")
      case "access.request":
        return Effect.sync(reply(Method.accessRequestOk({ ticket: 1 })))
      case "tx.select":
      case "tx.commit":
      case "tx.rollback":
        return refuse(method._tag, Constants.notImplemented, "transactions; confirms do what they were for")
      case "channel.flow-ok":
      case "basic.cancel-ok":
        return Effect.void
      default:
        return refuse(method._tag, Constants.commandInvalid, "unimplemented method")
    }
  }

  #declare(method: Method.QueueDeclare): Effect.Effect<Method.QueueDeclareOk, HubError> {
    const { durable, exclusive, autoDelete, passive, arguments: args } = method
    const { host, vhost } = this.#link
    const name = passive ? method.queue || this.#lastQueue : method.queue
    const queue = { name, durable, exclusive, autoDelete, arguments: args, bindings: [] }
    const declare = Effect.map(
      this.virtual.verbs.queueDeclare(queue, { passive }),
      ({ consumerCount, messageCount, name }) => {
        this.#lastQueue = name
        return Method.queueDeclareOk({ queue: name, messageCount, consumerCount })
      }
    )
    if (passive) return declare
    const checked = Effect.suspend(() =>
      name.startsWith("amq.")
        ? refuse(method._tag, Constants.accessRefused, `queue name '${name}' contains reserved prefix 'amq.*'`)
        : Effect.andThen(checkQueue(host.profile, vhost.name, method), declare)
    )
    // What is there may be declared again, and is what it is.
    return Effect.matchEffect(vhost.broker.find(name, this.#link, [50, 10]), {
      onSuccess: () => declare,
      onFailure: ({ reason }) => (reason._tag === "ChannelClosed" && reason.replyCode === 404 ? checked : declare)
    })
  }

  #publish(method: Method.BasicPublish, content: Content): Effect.Effect<void, HubError> {
    const number = this.#published === undefined ? undefined : ++this.#published
    if (method.immediate) return refuse(method._tag, Constants.notImplemented, "immediate=true")
    const { userId } = content.properties
    if (userId !== undefined && userId !== this.#link.user) {
      const text = `user_id property set to '${userId}' but authenticated user was '${this.#link.user}'`
      return refuse(method._tag, Constants.preconditionFailed, text)
    }
    if (content.properties.replyTo === replyTo && this.#consumers.replyQueue === undefined) {
      return refuse(method._tag, Constants.preconditionFailed, "fast reply consumer does not exist")
    }
    const message = this.#message(content)
    if (Result.isFailure(message)) return refuse(method._tag, message.failure.replyCode, message.failure.message)
    const { exchange, mandatory, routingKey } = method
    const published = this.virtual.verbs.publish(message.success, { exchange, mandatory, routingKey })
    return Effect.map(Effect.catchReason(published, "HubError", "Returned", this.#returned(method, content)), () => {
      if (number !== undefined) this.#taken.push(number)
    })
  }

  /** Fails where the table of headers makes no sense. */
  #message(content: Content): Result.Result<Message, AmqpError> {
    const { body, properties } = content
    return Result.map(content.headers(), (headers) =>
      properties.replyTo === replyTo
        ? { body, properties: { ...properties, replyTo: this.#consumers.replyQueue }, headers }
        : { body, properties, headers }
    )
  }

  #returned =
    ({ exchange, routingKey }: Method.BasicPublish, content: Content) =>
    ({ replyCode }: Returned): Effect.Effect<void> =>
      Effect.sync(() => {
        const method = Method.basicReturn({ replyCode, replyText: "NO_ROUTE", exchange, routingKey })
        this.#link.content(this.id, method, content.toWritten())
      })
}

const bound = (
  exchange: string,
  { routingKey, arguments: args }: { readonly routingKey: string; readonly arguments: Binding["arguments"] }
): Binding => ({
  exchange: { name: exchange, type: "direct", durable: true, autoDelete: false, internal: false, arguments: {} },
  routingKey,
  arguments: args
})
