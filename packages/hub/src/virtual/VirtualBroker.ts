/**
 * What a broker knows and a store does not: which exchanges and queues were declared and how, who may use them, and where
 * a message goes. One per transport, shared by its connections; a request RabbitMQ would refuse is refused here with
 * the same reply code (AMQP 0-9-1 section 1.3).
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import type { QueueInfo } from "../Channel.ts"
import type { Arguments, Exchange } from "../Exchange.ts"
import { ChannelClosed, fail, type HubError, Returned } from "../HubError.ts"
import type { Message, Route } from "../Message.ts"
import { type Binding, make as queueOf, type Queue } from "../Queue.ts"
import type { Capabilities } from "../Transport.ts"
import { isCycle, withDeath } from "../internal/deaths.ts"
import * as Routing from "./Routing.ts"
import type { Put, StoredMessage, VirtualBinding, VirtualStore } from "./VirtualStore.ts"

/** A consumer as the broker sees it. */
export interface Subscriber {
  readonly tag: string
  readonly exclusive: boolean
  /** The queue is gone. */
  readonly cancel: Effect.Effect<void>
}

export interface DeclaredQueue {
  readonly queue: Queue
  /** The connection an exclusive queue belongs to. */
  readonly owner: object
  readonly subscribers: Set<Subscriber>
  /** Declared by others who share the store, and here by nobody: how, is not known. */
  readonly foreign?: boolean | undefined
}

export interface ExchangeBinding {
  readonly destination: string
  readonly routingKey: string
  readonly arguments: Arguments
}

/** Class and method ids of the requests that can be refused (AMQP 0-9-1 section 1.2). */
export const Method = {
  exchangeDeclare: [40, 10],
  exchangeDelete: [40, 20],
  exchangeBind: [40, 30],
  exchangeUnbind: [40, 40],
  queueDeclare: [50, 10],
  queueBind: [50, 20],
  queuePurge: [50, 30],
  queueDelete: [50, 40],
  queueUnbind: [50, 50],
  basicConsume: [60, 20],
  basicPublish: [60, 40],
  basicGet: [60, 70]
} as const

type MethodId = (typeof Method)[keyof typeof Method]

/** RabbitMQ's way to say no: the channel closes with this code and text. */
export const refuse = (replyCode: number, replyText: string, [classId, methodId]: MethodId) =>
  fail(new ChannelClosed({ replyCode, replyText, classId, methodId }))

const denied = (replyText: string, method: MethodId) => refuse(403, `ACCESS_REFUSED - ${replyText}`, method)

/** The nameless exchange is bound to every queue, and to nothing else, for good. */
const notOnDefault = (method: MethodId) => denied("operation not permitted on the default exchange", method)

const notFound = (kind: "exchange" | "queue", name: string, method: MethodId) =>
  refuse(404, `NOT_FOUND - no ${kind} '${name}'`, method)

const sameArguments = (a: Arguments, b: Arguments): boolean => Equal.equals({ ...a }, { ...b })

const sameQueue = (a: Queue, b: Queue): boolean =>
  a.durable === b.durable &&
  a.exclusive === b.exclusive &&
  a.autoDelete === b.autoDelete &&
  sameArguments(a.arguments, b.arguments)

const sameExchange = (a: Exchange, b: Exchange): boolean =>
  a.type === b.type &&
  a.durable === b.durable &&
  a.autoDelete === b.autoDelete &&
  a.internal === b.internal &&
  sameArguments(a.arguments, b.arguments)

export type VirtualBroker = ReturnType<typeof over>

/** What was declared, for links that share it while each has a store of its own. */
export interface Declared {
  readonly exchanges: Map<string, Exchange>
  readonly exchangeBindings: Map<string, ReadonlyArray<ExchangeBinding>>
  readonly queues: Map<string, DeclaredQueue>
}

/** `predeclared` are there from the beginning, as RabbitMQ's `amq.topic` and its like. */
export const declared = (predeclared: ReadonlyArray<Exchange> = []): Declared => ({
  exchanges: new Map(predeclared.map((exchange) => [exchange.name, exchange])),
  exchangeBindings: new Map(),
  queues: new Map()
})

/** The whole of AMQP's routing. */
const everything: Can = { exchangeTypes: new Set(["direct", "topic", "fanout", "headers"]), exchangeBindings: true }

type Can = Pick<Capabilities, "exchangeTypes" | "exchangeBindings">

/** A broker of its own. */
export const make = (store: VirtualStore, predeclared: ReadonlyArray<Exchange> = []) =>
  over(store, declared(predeclared), everything)

/** One that knows what others declared. What its store cannot do is refused: 503 for a type of exchange, 540 for a binding of one. */
export const over = (store: VirtualStore, { exchanges, exchangeBindings, queues }: Declared, can: Can) => {
  /** A queue that others declared, if there is one. */
  const foreign = (name: string, owner: object): Effect.Effect<DeclaredQueue | undefined, HubError> =>
    store.has === undefined
      ? Effect.succeed(undefined)
      : Effect.map(store.has(name, [...exchanges.keys()]), (there) =>
          there
            ? (queues.get(name) ?? { queue: queueOf(name), owner, subscribers: new Set(), foreign: true })
            : undefined
        )

  /** The queue, if it is there and this connection may use it. */
  const find = (name: string, owner: object, method: MethodId): Effect.Effect<DeclaredQueue, HubError> => {
    const found = queues.get(name)
    if (found === undefined) {
      return Effect.flatMap(foreign(name, owner), (theirs) =>
        theirs === undefined ? notFound("queue", name, method) : Effect.succeed(theirs)
      )
    }
    return found.queue.exclusive && found.owner !== owner
      ? refuse(405, `RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '${name}'`, method)
      : Effect.succeed(found)
  }

  const info = (declared: DeclaredQueue): Effect.Effect<QueueInfo, HubError> =>
    Effect.map(store.size(declared.queue.name), (messageCount) => ({
      name: declared.queue.name,
      messageCount,
      consumerCount: declared.subscribers.size
    }))

  const exchangeDeclare = (exchange: Exchange, passive: boolean): Effect.Effect<void, HubError> =>
    Effect.suspend(() => {
      const existing = exchanges.get(exchange.name)
      if (passive) {
        return existing === undefined ? notFound("exchange", exchange.name, Method.exchangeDeclare) : Effect.void
      }
      if (exchange.name === "" || (existing === undefined && exchange.name.startsWith("amq."))) {
        return denied(`exchange name '${exchange.name}' is reserved`, Method.exchangeDeclare)
      }
      if (existing === undefined && !can.exchangeTypes.has(exchange.type)) {
        return refuse(503, `COMMAND_INVALID - unknown exchange type '${exchange.type}'`, Method.exchangeDeclare)
      }
      if (existing === undefined) {
        exchanges.set(exchange.name, exchange)
        return Effect.void
      }
      return sameExchange(existing, exchange)
        ? Effect.void
        : refuse(
            406,
            `PRECONDITION_FAILED - exchange '${exchange.name}' is declared with other properties`,
            Method.exchangeDeclare
          )
    })

  const isBound = (name: string) =>
    Effect.map(store.bindings.list(name), (bound) => bound.length > 0 || (exchangeBindings.get(name)?.length ?? 0) > 0)

  const exchangeDelete = (name: string, ifUnused: boolean): Effect.Effect<void, HubError> =>
    Effect.gen(function* () {
      if (name === "") return yield* notOnDefault(Method.exchangeDelete)
      if (ifUnused && (yield* isBound(name))) {
        return yield* refuse(406, `PRECONDITION_FAILED - exchange '${name}' in use`, Method.exchangeDelete)
      }
      for (const binding of yield* store.bindings.list(name)) yield* store.bindings.remove(name, binding)
      exchangeBindings.delete(name)
      exchanges.delete(name)
      for (const [source, bound] of exchangeBindings) {
        const left = bound.filter((binding) => binding.destination !== name)
        if (left.length === bound.length) continue
        exchangeBindings.set(source, left)
        yield* unbound(source)
      }
    }).pipe(Effect.uninterruptible)

  /** The last binding of an auto-delete exchange takes it along. */
  const unbound = (name: string): Effect.Effect<void, HubError> =>
    Effect.suspend(() =>
      exchanges.get(name)?.autoDelete === true
        ? Effect.flatMap(isBound(name), (bound) => (bound ? Effect.void : exchangeDelete(name, false)))
        : Effect.void
    )

  const broadcastOf = (exchange: string) =>
    store.broadcast !== undefined && exchanges.get(exchange)?.type === "fanout" ? store.broadcast : undefined

  const matching = (binding: Binding) => (other: { readonly routingKey: string; readonly arguments: Arguments }) =>
    other.routingKey === binding.routingKey && sameArguments(other.arguments, binding.arguments)

  const exchangeBind = (destination: string, binding: Binding): Effect.Effect<void, HubError> =>
    Effect.suspend(() => {
      if (!can.exchangeBindings) {
        return refuse(540, "NOT_IMPLEMENTED - exchanges cannot be bound to exchanges here", Method.exchangeBind)
      }
      for (const name of [destination, binding.exchange.name]) {
        if (name === "") return notOnDefault(Method.exchangeBind)
        if (!exchanges.has(name)) return notFound("exchange", name, Method.exchangeBind)
      }
      const bound = exchangeBindings.get(binding.exchange.name) ?? []
      const same = matching(binding)
      if (!bound.some((other) => other.destination === destination && same(other))) {
        exchangeBindings.set(binding.exchange.name, [
          ...bound,
          { destination, routingKey: binding.routingKey, arguments: binding.arguments }
        ])
      }
      return Effect.void
    })

  const exchangeUnbind = (destination: string, binding: Binding): Effect.Effect<void, HubError> =>
    Effect.suspend(() => {
      const { name } = binding.exchange
      if (destination === "" || name === "") return notOnDefault(Method.exchangeUnbind)
      const same = matching(binding)
      const bound = exchangeBindings.get(name) ?? []
      const left = bound.filter((other) => other.destination !== destination || !same(other))
      if (left.length === bound.length) return Effect.void
      exchangeBindings.set(name, left)
      return unbound(name)
    }).pipe(Effect.uninterruptible)

  const queueDeclare = (queue: Queue, passive: boolean, owner: object): Effect.Effect<QueueInfo, HubError> =>
    Effect.suspend(() => {
      const known = queues.get(queue.name)
      if (passive || (known !== undefined && known.foreign !== true)) {
        return Effect.flatMap(find(queue.name, owner, Method.queueDeclare), (existing) =>
          passive || sameQueue(existing.queue, queue)
            ? info(existing)
            : refuse(
                406,
                `PRECONDITION_FAILED - queue '${queue.name}' is declared with other properties`,
                Method.queueDeclare
              )
        )
      }
      const named = queue.name === "" ? { ...queue, name: `amq.gen-${crypto.randomUUID()}` } : queue
      // Who consumes it already goes on.
      const declared: DeclaredQueue = { queue: named, owner, subscribers: known?.subscribers ?? new Set() }
      queues.set(named.name, declared)
      const stored = Effect.onError(store.declare(named), () => Effect.sync(() => queues.delete(named.name)))
      return Effect.andThen(stored, info(declared))
    }).pipe(Effect.uninterruptible)

  const queueBind = (name: string, binding: Binding, owner: object): Effect.Effect<void, HubError> =>
    Effect.gen(function* () {
      yield* find(name, owner, Method.queueBind)
      if (binding.exchange.name === "") return yield* notOnDefault(Method.queueBind)
      const exchange = exchanges.get(binding.exchange.name)
      if (exchange === undefined) return yield* notFound("exchange", binding.exchange.name, Method.queueBind)
      const same = matching(binding)
      const bound = yield* store.bindings.list(exchange.name)
      // Where fanout is the store's, it forgets who listens when a link is lost, and its table does not.
      if (broadcastOf(exchange.name) === undefined && bound.some((other) => other.queue === name && same(other))) return
      yield* store.bindings.add(exchange, {
        queue: name,
        routingKey: binding.routingKey,
        arguments: binding.arguments
      })
    })

  const queueUnbind = (name: string, binding: Binding, owner: object): Effect.Effect<void, HubError> =>
    Effect.gen(function* () {
      yield* find(name, owner, Method.queueUnbind)
      if (binding.exchange.name === "") return yield* notOnDefault(Method.queueUnbind)
      const same = matching(binding)
      const bound = yield* store.bindings.list(binding.exchange.name)
      const existing = bound.find((other) => other.queue === name && same(other))
      if (existing === undefined) return
      yield* store.bindings.remove(binding.exchange.name, existing)
      yield* unbound(binding.exchange.name)
    }).pipe(Effect.uninterruptible)

  const queuePurge = (name: string, owner: object): Effect.Effect<number, HubError> =>
    Effect.andThen(find(name, owner, Method.queuePurge), store.purge(name))

  const queueDelete = (
    name: string,
    options: { readonly ifUnused?: boolean | undefined; readonly ifEmpty?: boolean | undefined },
    owner: object
  ): Effect.Effect<number, HubError> =>
    Effect.gen(function* () {
      const declared = queues.has(name) ? yield* find(name, owner, Method.queueDelete) : yield* foreign(name, owner)
      // Deleting what is not there is no error (RabbitMQ since 3.2).
      if (declared === undefined) return 0
      if (options.ifUnused === true && declared.subscribers.size > 0) {
        return yield* refuse(406, `PRECONDITION_FAILED - queue '${name}' in use`, Method.queueDelete)
      }
      if (options.ifEmpty === true && (yield* store.size(name)) > 0) {
        return yield* refuse(406, `PRECONDITION_FAILED - queue '${name}' is not empty`, Method.queueDelete)
      }
      const sources: Array<string> = []
      for (const { name: exchange, autoDelete } of exchanges.values()) {
        if (autoDelete && (yield* store.bindings.list(exchange)).some(({ queue }) => queue === name))
          sources.push(exchange)
      }
      queues.delete(name)
      for (const subscriber of declared.subscribers) yield* subscriber.cancel
      if (declared.foreign === true) yield* unbindForeign(name)
      const removed = yield* store.remove(name)
      for (const exchange of sources) yield* unbound(exchange)
      return removed
    }).pipe(Effect.uninterruptible)

  /** From the exchanges known here, and the one of its own name, which is where Celery binds a queue. */
  const unbindForeign = (name: string): Effect.Effect<void, HubError> =>
    Effect.forEach(
      new Set([name, ...exchanges.keys()]),
      (exchange) =>
        Effect.flatMap(store.bindings.list(exchange), (bound) =>
          Effect.forEach(
            bound.filter(({ queue }) => queue === name),
            (binding) => store.bindings.remove(exchange, binding),
            { discard: true }
          )
        ),
      { discard: true }
    )

  const subscribe = (name: string, subscriber: Subscriber, owner: object): Effect.Effect<void, HubError> =>
    Effect.flatMap(find(name, owner, Method.basicConsume), (declared) => {
      const { subscribers } = declared
      const all = [...subscribers]
      if (all.some((other) => other.exclusive) || (subscriber.exclusive && all.length > 0)) {
        return denied(`queue '${name}' in exclusive use`, Method.basicConsume)
      }
      subscribers.add(subscriber)
      if (!queues.has(name)) queues.set(name, declared)
      return Effect.void
    })

  /** The last consumer of an auto-delete queue takes it along. */
  const unsubscribe = (name: string, subscriber: Subscriber): Effect.Effect<void, HubError> =>
    Effect.suspend(() => {
      const declared = queues.get(name)
      if (declared === undefined || !declared.subscribers.delete(subscriber)) return Effect.void
      if (declared.foreign === true && declared.subscribers.size === 0) queues.delete(name)
      return declared.queue.autoDelete && declared.subscribers.size === 0
        ? queueDelete(name, {}, declared.owner)
        : Effect.void
    })

  /** Exclusive queues go with their connection. */
  const release = (owner: object): Effect.Effect<void, HubError> =>
    Effect.forEach(
      [...queues.values()].filter((declared) => declared.queue.exclusive && declared.owner === owner),
      ({ queue }) => queueDelete(queue.name, {}, owner),
      { discard: true }
    )

  /** The queues a message goes to, each once, following exchange-to-exchange bindings. */
  const route = Effect.fnUntraced(function* (
    exchange: string,
    routingKey: string,
    message: Message
  ): Effect.fn.Return<ReadonlySet<string>, HubError> {
    const targets = new Set<string>()
    const seen = new Set<string>()
    const pending = [exchange]
    for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
      if (seen.has(name)) continue
      seen.add(name)
      const bound: ReadonlyArray<VirtualBinding> = yield* store.bindings.list(name)
      const type = exchanges.get(name)?.type
      // Bound by a peer that shares the store, never declared here: kombu takes such an exchange for a direct one.
      if (type === undefined && bound.length === 0) return yield* notFound("exchange", name, Method.basicPublish)
      for (const binding of bound) {
        if (Routing.matches(type ?? "direct", binding, routingKey, message.headers)) targets.add(binding.queue)
      }
      for (const binding of exchangeBindings.get(name) ?? []) {
        if (Routing.matches(type ?? "direct", binding, routingKey, message.headers)) pending.push(binding.destination)
      }
    }
    return targets
  })

  const returned = ({ exchange, routingKey }: Route) => fail(new Returned({ replyCode: 312, exchange, routingKey }))

  const putOf = (message: Message, { exchange, routingKey, notBefore }: Route): Put => ({
    message,
    exchange,
    routingKey,
    notBefore
  })

  /** A batch to one queue by its name: what a client sends is one put. */
  const publishTo = (
    queue: string,
    batch: ReadonlyArray<readonly [message: Message, route: Route]>
  ): Effect.Effect<void, HubError> =>
    Effect.flatMap(
      store.put(
        queue,
        batch.map(([message, to]) => putOf(message, to))
      ),
      (stored) => {
        const first = stored ? undefined : batch.find(([, to]) => to.mandatory === true)
        return first === undefined ? Effect.void : returned(first[1])
      }
    )

  const publish = (message: Message, to: Route): Effect.Effect<void, HubError> => {
    const put = [putOf(message, to)]
    if (to.exchange === "") {
      return Effect.flatMap(store.put(to.routingKey, put), (stored) =>
        stored || to.mandatory !== true ? Effect.void : returned(to)
      )
    }
    if (exchanges.get(to.exchange)?.internal === true) {
      return denied(`cannot publish to internal exchange '${to.exchange}'`, Method.basicPublish)
    }
    const broadcast = broadcastOf(to.exchange)
    if (broadcast !== undefined) return broadcast(put[0]!)
    return Effect.flatMap(route(to.exchange, to.routingKey, message), (targets) =>
      targets.size === 0 && to.mandatory === true
        ? returned(to)
        : Effect.forEach(targets, (queue) => store.put(queue, put), { discard: true })
    )
  }

  /** To the dead-letter exchange of its queue, if that names one, with RabbitMQ's `x-death` header; then it is settled. */
  const discard = Effect.fnUntraced(function* (
    stored: StoredMessage,
    reason: "rejected" | "expired"
  ): Effect.fn.Return<void, HubError> {
    const args = queues.get(stored.queue)?.queue.arguments ?? {}
    const exchange = args["x-dead-letter-exchange"]
    if (typeof exchange === "string") {
      const own = args["x-dead-letter-routing-key"]
      const routingKey = typeof own === "string" ? own : stored.routingKey
      const message = withDeath(stored, reason, yield* Clock.currentTimeMillis)
      const broadcast = broadcastOf(exchange)
      if (broadcast !== undefined) yield* broadcast({ message, exchange, routingKey })
      const targets = yield* Effect.catchReason(
        broadcast !== undefined
          ? Effect.succeed(new Set<string>())
          : exchange === ""
            ? Effect.succeed(new Set([routingKey]))
            : route(exchange, routingKey, message),
        "HubError",
        "ChannelClosed",
        // A dead-letter exchange that does not exist drops the message, as RabbitMQ has it.
        () => Effect.succeed(new Set<string>())
      )
      for (const queue of targets) {
        if (!isCycle(message, queue)) yield* store.put(queue, [{ message, exchange, routingKey }])
      }
    }
    yield* store.settle([stored.tag])
  })

  return {
    store,
    find,
    exchangeDeclare,
    exchangeDelete,
    exchangeBind,
    exchangeUnbind,
    queueDeclare,
    queueBind,
    queueUnbind,
    queuePurge,
    queueDelete,
    subscribe,
    unsubscribe,
    release,
    publish,
    publishTo,
    discard
  }
}
