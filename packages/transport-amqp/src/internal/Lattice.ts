/**
 * The lattice of delayed delivery as one link has it: declared before the first message that needs it, on a channel of its own, so
 * that a refusal closes nothing else. What the broker refused is not asked again on the same link.
 */
import type { Channel } from "@apium/hub/Channel"
import { type ChannelClosed, DelayRefused, fail, HubError, Returned } from "@apium/hub/HubError"
import type { Message, Route } from "@apium/hub/Message"
import * as Constants from "@apium/protocol/amqp/Constants"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as DelayedDelivery from "../DelayedDelivery.ts"

type Batch = ReadonlyArray<readonly [message: Message, route: Route]>

/** A refusal that took the link with it, as of a RabbitMQ 3.8 whose quorum queues are not enabled (541): the next link must not ask. */
export interface Remembered {
  refusal: HubError | undefined
  /** Milliseconds since the epoch. */
  until: number
}

/** In milliseconds. Whatever it was may have passed. */
const patience = 600_000

/** Names that come from users may be many: past this they are forgotten, and asked for once more. */
const maxQueues = 10_000

const remember = <A>(queues: Map<string, A>, queue: string, value: A): void => {
  if (queues.size >= maxQueues) queues.clear()
  queues.set(queue, value)
}

interface Opened {
  readonly channel: Channel
  readonly scope: Scope.Closeable
}

/** How binding a queue ended. */
interface Bound {
  /** Holds for those who asked before it began. */
  readonly began: number
  readonly result: Effect.Effect<void, HubError>
}

export class Lattice {
  readonly #open: Effect.Effect<Channel, HubError, Scope.Scope>
  readonly #links: Scope.Scope
  readonly #remembered: Remembered
  readonly #lock = Semaphore.makeUnsafe(1)
  readonly #bound = new Map<string, Bound>()
  /** Queues that we may not bind. */
  readonly #denied = new Map<string, HubError>()
  #channel: Opened | undefined
  #declared = false
  #refusal: HubError | undefined
  #order = 0

  /** The channel lives in the scope of the link. */
  constructor(open: Effect.Effect<Channel, HubError, Scope.Scope>, link: Scope.Scope, remembered: Remembered) {
    this.#open = open
    this.#links = link
    this.#remembered = remembered
  }

  /**
   * The batch as it is to be published. A message whose time is less than a second away, or has come, goes where it would go
   * anyway. Fails before anything is published: with `DelayRefused`, or `Returned` where there is no such queue.
   */
  prepare(batch: Batch): Effect.Effect<Batch, HubError> {
    return Effect.gen({ self: this }, function* () {
      const before = yield* Clock.currentTimeMillis
      const queues = new Set<string>()
      for (const [, route] of batch) {
        if (secondsTo(route, before) < 1) continue
        if (route.exchange !== "") return yield* refuse(unknownQueues(route.exchange))
        queues.add(route.routingKey)
      }
      for (const queue of queues) yield* this.#bind(queue)
      // Later than the question above: the lattice may just have been declared.
      const now = yield* Clock.currentTimeMillis
      return batch.map(([message, route]) => {
        const seconds = secondsTo(route, now)
        return seconds < 1 ? [message, route] : delayed(message, route, seconds)
      })
    })
  }

  /** A publish failed: perhaps because somebody deleted a part of the lattice. */
  failed({ reason }: HubError): void {
    if (reason._tag === "Returned" || (reason._tag === "ChannelClosed" && reason.replyCode === Constants.notFound))
      this.#declared = false
  }

  /**
   * Before every message that waits, for the binding is gone when the queue was deleted and declared again, and messages
   * nobody gets would be confirmed. Those who ask at the same time share the answer.
   */
  #bind(queue: string): Effect.Effect<void, HubError> {
    return Effect.suspend(() => {
      if (queue === "") return fail(noSuchQueue(queue))
      const unsuitable = DelayedDelivery.unsuitable(queue)
      if (unsuitable !== undefined) return refuse(`queue ${JSON.stringify(queue)}: ${unsuitable}`)
      const asked = ++this.#order
      return this.#lock.withPermits(1)(
        Effect.suspend(() => {
          const refusal = this.#refusal ?? this.#denied.get(queue)
          if (refusal !== undefined) return Effect.fail(refusal)
          const bound = this.#bound.get(queue)
          if (bound !== undefined && bound.began > asked) return bound.result
          const began = ++this.#order
          return Effect.onExit(Effect.andThen(this.#declare, this.#bindNow(queue)), (exit) =>
            Effect.sync(() => {
              if (!Exit.hasInterrupts(exit)) remember(this.#bound, queue, { began, result: exit })
            })
          )
        })
      )
    })
  }

  #bindNow(queue: string): Effect.Effect<void, HubError> {
    return Effect.catch(
      this.#ask((channel) => DelayedDelivery.bindQueue(channel, queue)),
      (error) => {
        const { reason } = error
        if (reason._tag !== "ChannelClosed") return Effect.fail(error)
        if (reason.replyCode !== Constants.notFound) {
          const refusal = refused(`queue ${JSON.stringify(queue)} cannot be bound: ${replyOf(reason)}`)
          if (reason.replyCode === Constants.accessRefused) remember(this.#denied, queue, refusal)
          return Effect.fail(refusal)
        }
        // RabbitMQ's words. Somebody has deleted the lattice.
        if (!reason.replyText.includes("no exchange")) return fail(noSuchQueue(queue))
        this.#declared = false
        return Effect.andThen(this.#declare, this.#bindNow(queue))
      }
    )
  }

  get #declare(): Effect.Effect<void, HubError> {
    if (this.#declared) return Effect.void
    return Effect.flatMap(Clock.currentTimeMillis, (now) => {
      const { refusal, until } = this.#remembered
      if (refusal !== undefined && now < until) return Effect.fail((this.#refusal = refusal))
      return Effect.catch(
        Effect.tap(this.#ask(DelayedDelivery.declare), () => Effect.sync(() => void (this.#declared = true))),
        (error) => {
          const { reason } = error
          if (reason._tag !== "ChannelClosed") return Effect.fail(error)
          const refusal = refused(`its lattice of queues cannot be declared: ${replyOf(reason)}`)
          // Somebody closed the channel, or deletes what we declare: that says nothing of the next time.
          if (!error.recoverable && reason.replyCode !== Constants.notFound) this.#refusal = refusal
          if (Constants.replyScope(reason.replyCode) === "connection") {
            this.#remembered.refusal = refusal
            this.#remembered.until = now + patience
          }
          return Effect.fail(refusal)
        }
      )
    })
  }

  /** On the channel, which a failure ends. */
  #ask(request: (channel: Channel) => Effect.Effect<void, HubError>): Effect.Effect<void, HubError> {
    return Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(this.#channel === undefined ? this.#opened(restore) : Effect.succeed(this.#channel), (opened) =>
        Effect.tapError(restore(request(opened.channel)), () => {
          this.#channel = undefined
          return Scope.close(opened.scope, Exit.void)
        })
      )
    )
  }

  #opened(restore: <A, E>(effect: Effect.Effect<A, E>) => Effect.Effect<A, E>): Effect.Effect<Opened, HubError> {
    return Effect.flatMap(Scope.fork(this.#links), (scope) =>
      restore(Scope.provide(this.#open, scope)).pipe(
        Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause))),
        Effect.map((channel) => (this.#channel = { channel, scope })),
        Effect.catchReason("HubError", "ChannelClosed", (reason) => refuse(replyOf(reason)))
      )
    )
  }
}

/** Whole seconds from then on; 0 where nobody has to wait. */
const secondsTo = ({ notBefore = 0 }: Route, now: number): number => {
  const seconds = Math.floor((notBefore - now) / 1000)
  return seconds >= 1 ? Math.min(seconds, DelayedDelivery.maxDelay) : 0
}

const delayed = (message: Message, { confirm, routingKey }: Route, seconds: number): Batch[number] => [
  // It would end the wait at the first level, and RabbitMQ takes it off there.
  message.properties.expiration === undefined
    ? message
    : { ...message, properties: { ...message.properties, expiration: undefined } },
  {
    exchange: DelayedDelivery.entrance(seconds),
    routingKey: DelayedDelivery.routingKey(seconds, routingKey),
    // Comes back when a part of the lattice is missing.
    mandatory: true,
    confirm
  }
]

const refused = (text: string): HubError => new HubError({ reason: new DelayRefused({ text }) })

const refuse = (text: string): Effect.Effect<never, HubError> => Effect.fail(refused(text))

const unknownQueues = (exchange: string): string =>
  `which queues exchange ${JSON.stringify(exchange)} routes to is not known here; publish to the default exchange, with the name of a queue`

const replyOf = ({ replyCode, replyText }: ChannelClosed): string => `${replyCode} ${replyText}`

/** As the default exchange would say of a mandatory message. */
const noSuchQueue = (routingKey: string): Returned =>
  new Returned({ replyCode: Constants.noRoute, exchange: "", routingKey })
