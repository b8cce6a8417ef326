/**
 * The channel verbs over a `VirtualBroker`: prefetch windows, consumers that pull, deliveries that settle once, and the
 * rule that a refused request closes the channel.
 */
import { isReadonlyArrayNonEmpty, type NonEmptyReadonlyArray } from "effect/Array"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Channel, ConsumeOptions } from "../Channel.ts"
import type { Delivery } from "../Delivery.ts"
import { ConsumerCancelled, HubError } from "../HubError.ts"
import type { Message, Route } from "../Message.ts"
import { type Place, Prefetch } from "./Prefetch.ts"
import { Method, refuse, type Subscriber, type VirtualBroker } from "./VirtualBroker.ts"
import { VirtualDelivery } from "./VirtualDelivery.ts"
import type { StoredMessage } from "./VirtualStore.ts"

/** How many messages one pull takes at most: enough to make the cost of a pull vanish, few enough to stay fair. */
const batch = 256

/** Room for fewer is better asked for at once: the way costs more than the wait. */
const worthHalving = 64

/** The queue that all of these go to by its name, if that is so. */
const oneQueue = (batch: ReadonlyArray<readonly [message: Message, route: Route]>): string | undefined => {
  const queue = batch[0]?.[1].routingKey
  return batch.every(([, { exchange, routingKey }]) => exchange === "" && routingKey === queue) ? queue : undefined
}

interface Ahead {
  readonly asked: number
  readonly fiber: Fiber.Fiber<ReadonlyArray<StoredMessage>, HubError>
}

/** The state of one channel; `verbs` is what the user of the channel sees. */
export class VirtualChannel {
  readonly broker: VirtualBroker
  /** The connection, which exclusive queues belong to. */
  readonly owner: object
  readonly held = new Set<VirtualDelivery>()
  /** Over all consumers. */
  readonly window = new Prefetch()
  readonly #closed = Deferred.makeUnsafe<never, HubError>()
  /** The consumers by their tags, and how each ends. */
  readonly #consuming = new Map<string, Effect.Effect<void>>()
  #cause: HubError | undefined
  #consumers = 0

  constructor(broker: VirtualBroker, owner: object) {
    this.broker = broker
    this.owner = owner
  }

  /**
   * Everything on the channel fails with this from now on; what it holds goes back, next in line and in order, and its
   * consumers are gone, whether or not anybody pulls them.
   */
  close(cause: HubError): Effect.Effect<void> {
    return Effect.uninterruptibleMask(() => {
      if (this.#cause !== undefined) return Effect.void
      this.#cause = cause
      const tags: Array<string> = []
      for (const delivery of this.held) {
        delivery.claim()
        tags.push(delivery.stored.tag)
      }
      Deferred.doneUnsafe(this.#closed, Effect.fail(cause))
      return Effect.andThen(
        tags.length === 0 ? Effect.void : Effect.ignore(this.broker.store.restore(tags, { side: "near" })),
        Effect.forEach([...this.#consuming.values()], (end) => end, { discard: true })
      )
    })
  }

  get isClosed(): boolean {
    return this.#cause !== undefined
  }

  /** A request: not on a closed channel, and when it is refused the channel closes. */
  #request<A, R>(run: () => Effect.Effect<A, HubError, R>): Effect.Effect<A, HubError, R> {
    return Effect.suspend(() =>
      this.#cause === undefined
        ? Effect.tapError(run(), (error) => (error.reason._tag === "ChannelClosed" ? this.close(error) : Effect.void))
        : Effect.fail(this.#cause)
    )
  }

  #publish(message: Message, route: Route): Effect.Effect<void, HubError> {
    // The nameless exchange refuses nobody, so the hot path needs no watch for a refusal.
    return route.exchange === "" && this.#cause === undefined
      ? this.broker.publish(message, route)
      : this.#request(() => this.broker.publish(message, route))
  }

  /** One that is returned does not keep back those behind it, as on a broker that is sent all before it answers. */
  #publishAll(batch: ReadonlyArray<readonly [message: Message, route: Route]>): Effect.Effect<void, HubError> {
    const queue = this.#cause === undefined ? oneQueue(batch) : undefined
    if (queue !== undefined) return this.broker.publishTo(queue, batch)
    let returned: HubError | undefined
    const unsent: Array<number> = []
    return Effect.andThen(
      Effect.forEach(
        batch,
        ([message, route], place) =>
          Effect.catch(this.#publish(message, route), (error) => {
            if (error.reason._tag === "Returned" && route.mandatory === true) {
              returned ??= error
              unsent.push(place)
              return Effect.void
            }
            if (!error.transient) return Effect.fail(error)
            for (let left = place; left < batch.length; left++) unsent.push(left)
            return Effect.fail(new HubError({ reason: error.reason, unsent }))
          }),
        { discard: true }
      ),
      Effect.suspend(() => (returned === undefined ? Effect.void : Effect.fail(returned)))
    )
  }

  #get(queue: string): Effect.Effect<Option.Option<Delivery>, HubError> {
    const next: Effect.Effect<Option.Option<Delivery>, HubError> = Effect.flatMap(
      this.broker.store.take([queue], 1),
      ([stored]) => {
        if (stored === undefined) return Effect.succeedNone
        if (this.#cause !== undefined) {
          return Effect.andThen(this.broker.store.restore([stored.tag], { side: "near" }), Effect.fail(this.#cause))
        }
        if (stored.expired) return Effect.andThen(this.broker.discard(stored, "expired"), next)
        return Effect.succeedSome(new VirtualDelivery(stored, this, "", undefined, false))
      }
    )
    return Effect.uninterruptible(Effect.andThen(this.broker.find(queue, this.owner, Method.basicGet), next))
  }

  /** How many consumers there have been. */
  #subscribed = 0

  #freeTag(): string {
    let tag: string
    do tag = `ctag-${++this.#consumers}`
    while (this.#consuming.has(tag))
    return tag
  }

  /** A consumer for as long as the scope lives, registered when this completes; the effect inside pulls its next deliveries. */
  subscribe(
    queue: string,
    options: ConsumeOptions
  ): Effect.Effect<Effect.Effect<NonEmptyReadonlyArray<Delivery>, HubError>, HubError, Scope.Scope> {
    return this.#request(() => this.#subscribe(queue, options))
  }

  #subscribe(
    queue: string,
    options: ConsumeOptions
  ): Effect.Effect<Effect.Effect<NonEmptyReadonlyArray<Delivery>, HubError>, HubError, Scope.Scope> {
    return Effect.gen({ self: this }, function* () {
      const { broker } = this
      const { store } = broker
      const tag = options.consumerTag ?? this.#freeTag()
      if (this.#consuming.has(tag)) {
        return yield* refuse(530, `NOT_ALLOWED - attempt to reuse consumer tag '${tag}'`, Method.basicConsume)
      }
      const noAck = options.noAck === true
      // 0 is no limit, as `basic.qos` has it.
      const window = new Prefetch(noAck ? undefined : options.prefetch || undefined)
      const whole = noAck ? new Prefetch() : this.window
      const ended = Deferred.makeUnsafe<never, HubError>()
      const subscriber: Subscriber = {
        tag,
        exclusive: options.exclusive === true,
        cancel: Effect.asVoid(Deferred.fail(ended, new HubError({ reason: new ConsumerCancelled({ queue }) })))
      }
      // Without acknowledgements what comes is nobody else's any more, whether or not anybody comes for it.
      const remote = store.remote === true && !noAck
      const queues = [queue] as const
      const { queueOrder } = store
      const rank = queueOrder === "sorted" ? queue : queueOrder === "priority" ? ++this.#subscribed : 0
      const place: Place = { rank, resume: undefined }
      const own: Place = { rank: 0, resume: undefined }
      const leave = (): void => {
        window.leave(own)
        whole.leave(place)
      }
      const consuming = this.#consuming
      const end = Effect.suspend(() => {
        consuming.delete(tag)
        leave()
        return Effect.andThen(Effect.ignore(broker.unsubscribe(queue, subscriber)), store.wake(queues))
      })
      yield* Effect.acquireRelease(
        Effect.andThen(
          broker.subscribe(queue, subscriber, this.owner),
          Effect.sync(() => consuming.set(tag, end))
        ),
        () => (consuming.get(tag) === end ? end : Effect.void)
      )
      /** The next batch, asked for before the last one was handed over. */
      let ahead: Ahead | undefined
      yield* Effect.addFinalizer(() =>
        ahead === undefined
          ? Effect.void
          : Effect.ignore(
              Effect.flatMap(Fiber.join(ahead.fiber), (stored) => {
                hold(-stored.length)
                return giveBack(stored)
              })
            )
      )

      /**
       * Waits for this, unless the consumer or its channel ends before. A waiter is resumed inside the publish or the
       * settle that wakes it; yielding once lets those that follow join the batch (170k/s became 1.1M/s on memory).
       */
      const unlessEnded = (wait: Effect.Effect<void, HubError>): Effect.Effect<void, HubError> =>
        Effect.raceAllFirst([
          Effect.andThen(wait, Effect.yieldNow),
          Deferred.await(ended),
          Deferred.await(this.#closed)
        ])

      const hold = (count: number): void => {
        if (noAck) return
        window.hold(count)
        whole.hold(count)
      }

      /** Room is held before it is known how much is needed: the other consumers of the channel take at the same time. */
      const take = (count: number): Effect.Effect<ReadonlyArray<StoredMessage>, HubError> => {
        hold(count)
        leave()
        return Effect.onExit(store.take(queues, count, subscriber), (exit) =>
          Effect.sync(() => hold((Exit.isSuccess(exit) ? exit.value.length : 0) - count))
        )
      }

      /** Next in line, and as if nobody had had them. */
      const giveBack = (stored: ReadonlyArray<StoredMessage>): Effect.Effect<void> =>
        Effect.ignore(
          store.restore(
            stored.map((one) => one.tag),
            { side: "near", counted: false }
          )
        )
      const releaseAll = (deliveries: ReadonlyArray<VirtualDelivery>): Effect.Effect<void> =>
        noAck
          ? giveBack(deliveries.map((delivery) => delivery.stored))
          : Effect.forEach(deliveries.toReversed(), ({ release }) => Effect.ignore(release), { discard: true })

      const deliver = (
        stored: ReadonlyArray<StoredMessage>
      ): Effect.Effect<ReadonlyArray<VirtualDelivery>, HubError> => {
        const deliveries: Array<VirtualDelivery> = []
        const expired: Array<StoredMessage> = []
        for (const one of stored) {
          if (one.expired) {
            expired.push(one)
            hold(-1)
            continue
          }
          deliveries.push(new VirtualDelivery(one, this, tag, noAck ? undefined : window, noAck))
        }
        if (expired.length === 0) return Effect.succeed(deliveries)
        // When one finds no place among the dead, nobody comes for the others.
        return Effect.as(
          Effect.onError(
            Effect.forEach(expired, (one) => broker.discard(one, "expired"), { discard: true }),
            () => Effect.andThen(giveBack(expired), releaseAll(deliveries))
          ),
          deliveries
        )
      }
      /** Without acknowledgements they are nobody's any more when they are handed over, and not before. */
      const handed = (deliveries: NonEmptyReadonlyArray<VirtualDelivery>) =>
        noAck
          ? Effect.as(store.settle(deliveries.map((delivery) => delivery.stored.tag)), deliveries)
          : Effect.succeed(deliveries)

      // Only the waits may be interrupted: between the take and the hand-over a message has no other owner.
      return Effect.uninterruptibleMask((restore) => {
        /**
         * Who was interrupted while a store far away took them will not come for them. The last step may be interrupted and carries
         * the value; behind it is nothing that runs when all is well (`onInterrupt` does), where a fiber would yield.
         */
        const handOver = (deliveries: NonEmptyReadonlyArray<VirtualDelivery>) =>
          Effect.catchCause(restore(handed(deliveries)), (cause) =>
            Effect.andThen(releaseAll(deliveries), Effect.failCause(cause))
          )
        /** Of a store far away half of what there is room for: the rest is for the batch behind it, and for who else takes on this channel. */
        const portion = (): number => {
          const room = Math.min(window.free, whole.free)
          return Math.min(batch, remote && room >= worthHalving ? Math.floor(room / 2) : room)
        }
        /** Where there was as much as was asked for there is more, and a store far away looks for it while this is worked on. */
        const askNext = Effect.suspend(() => {
          const asked = portion()
          return Effect.flatMap(Effect.forkDetach(take(asked), { startImmediately: true }), (fiber) => {
            ahead = { asked, fiber }
            // What asks for it leaves this process in the next turn, before the work begins.
            return Effect.yieldNow
          })
        })
        const pull: Effect.Effect<NonEmptyReadonlyArray<Delivery>, HubError> = Effect.suspend(() => {
          if (this.#cause !== undefined) return Effect.fail(this.#cause)
          if (Deferred.isDoneUnsafe(ended)) return Deferred.await(ended)
          const next = ahead
          if (next === undefined) {
            const full = window.free <= 0 ? window.room(own) : whole.admits(place) ? undefined : whole.room(place)
            // Who is next, and is interrupted before it takes, is next no more.
            if (full !== undefined)
              return Effect.andThen(
                Effect.onError(restore(unlessEnded(full)), () => Effect.sync(leave)),
                pull
              )
          }
          ahead = undefined
          const asked = next?.asked ?? portion()
          return Effect.flatMap(next === undefined ? take(asked) : Fiber.join(next.fiber), (stored) => {
            if (stored.length === 0) return Effect.andThen(restore(unlessEnded(store.ready(queues))), pull)
            if (this.#cause !== undefined) {
              hold(-stored.length)
              const tags = stored.map((one) => one.tag)
              return Effect.andThen(store.restore(tags, { side: "near" }), Effect.fail(this.#cause))
            }
            return Effect.flatMap(deliver(stored), (deliveries) => {
              if (!isReadonlyArrayNonEmpty(deliveries)) return pull
              const more = remote && stored.length === asked && portion() > 0
              return more ? Effect.andThen(askNext, handOver(deliveries)) : handOver(deliveries)
            })
          })
        })
        return pull
      })
    })
  }

  readonly verbs: Channel = {
    closed: Effect.suspend(() => Deferred.await(this.#closed)),
    exchangeDeclare: (exchange, options) =>
      this.#request(() => this.broker.exchangeDeclare(exchange, options?.passive === true)),
    exchangeDelete: (name, options) =>
      this.#request(() => this.broker.exchangeDelete(name, options?.ifUnused === true)),
    exchangeBind: (destination, binding) => this.#request(() => this.broker.exchangeBind(destination, binding)),
    exchangeUnbind: (destination, binding) => this.#request(() => this.broker.exchangeUnbind(destination, binding)),
    queueDeclare: (queue, options) =>
      this.#request(() => this.broker.queueDeclare(queue, options?.passive === true, this.owner)),
    queueBind: (queue, binding) => this.#request(() => this.broker.queueBind(queue, binding, this.owner)),
    queueUnbind: (queue, binding) => this.#request(() => this.broker.queueUnbind(queue, binding, this.owner)),
    queuePurge: (queue) => this.#request(() => this.broker.queuePurge(queue, this.owner)),
    queueDelete: (queue, options = {}) => this.#request(() => this.broker.queueDelete(queue, options, this.owner)),
    publish: (message, route) => Effect.suspend(() => this.#publish(message, route)),
    publishAll: (batch) => Effect.suspend(() => this.#publishAll(batch)),
    qos: (prefetch) => this.#request(() => Effect.sync(() => this.window.resize(prefetch))),
    get: (queue) => this.#request(() => this.#get(queue)),
    consume: (queue, options = {}) =>
      Stream.unwrap(Effect.map(this.subscribe(queue, options), (pull) => Stream.fromPull(Effect.succeed(pull))))
  }
}
