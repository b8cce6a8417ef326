/**
 * Consumers over a connection that comes back: each attempt opens a channel, declares its queues and consumes them, all in
 * one scope; when the link is lost the same lines run again (kombu/messaging.py `Consumer`, kombu/mixins.py
 * `ConsumerMixin`, without anything to revive).
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberSet from "effect/FiberSet"
import * as Formatter from "effect/Formatter"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import type { Channel, ConsumeOptions } from "./Channel.ts"
import { Connection } from "./Connection.ts"
import * as DeadLetter from "./DeadLetter.ts"
import type { Delivery } from "./Delivery.ts"
import type { HubError } from "./HubError.ts"
import { reconnect, schedule } from "./internal/backoff.ts"
import { InFlight } from "./internal/inFlight.ts"
import type { Queue } from "./Queue.ts"
import * as Topology from "./Topology.ts"

export interface StreamOptions extends ConsumeOptions {
  /**
   * When the broker ends a consumer (`ConsumerCancelled`: its queue was deleted, or the node it is on went down). Default
   * `redeclare`: declare the queue again, and consume it, on the same channel; what was delivered can still be settled. `fail`:
   * end with it.
   */
  readonly onCancel?: "redeclare" | "fail" | undefined
}

const isCancelled = ({ reason }: HubError): boolean => reason._tag === "ConsumerCancelled"

/** A queue that is deleted over and over is declared less and less often. */
const redeclaring = Schedule.while(schedule(reconnect), ({ input }) => isCancelled(input))

/** The deliveries of one queue, which is declared on this channel under this name. */
export const consume = (
  channel: Channel,
  queue: Queue,
  name: string,
  options: StreamOptions = {}
): Stream.Stream<Delivery, HubError> => {
  if (options.onCancel === "fail") return channel.consume(name, options)
  return Stream.suspend(() => {
    let declared: string | undefined = name
    const once = Effect.suspend(() => {
      const names = declared === undefined ? Topology.declare(channel, { queues: [queue] }) : Effect.succeed([declared])
      declared = undefined
      return Effect.map(names, ([known]) => channel.consume(known!, options))
    })
    // Not at once: a broker may say so before the queue is quite gone.
    return Stream.retry(Stream.unwrap(once), redeclaring)
  })
}

/** One attempt: until the link is lost. `prefetch` is per queue, and so is the consumer tag, which gets a number for it. */
const attempt = (
  connection: Connection["Service"],
  queues: ReadonlyArray<Queue>,
  options: StreamOptions
): Stream.Stream<Delivery, HubError> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const channel = yield* connection.channel
      const names = yield* Topology.declare(channel, { queues })
      const streams = queues.map((queue, index) => {
        const tag = options.consumerTag
        const own =
          tag === undefined || queues.length === 1 ? options : { ...options, consumerTag: `${tag}-${index + 1}` }
        return consume(channel, queue, names[index]!, own)
      })
      return streams.length === 1 ? streams[0]! : Stream.mergeAll(streams, { concurrency: "unbounded" })
    })
  )

const recovery = (connection: Connection["Service"], { onCancel }: StreamOptions) =>
  onCancel === "fail" ? Schedule.while(connection.recovery, ({ input }) => !isCancelled(input)) : connection.recovery

/**
 * The deliveries of these queues, across any number of links. Each is yours to settle; what is unsettled when the stream
 * ends, or when its link is lost, goes back to its queue.
 */
export const stream = (
  queues: ReadonlyArray<Queue>,
  options: StreamOptions = {}
): Stream.Stream<Delivery, HubError, Connection> =>
  Stream.unwrap(
    Effect.map(Connection, (connection) =>
      Stream.retry(attempt(connection, queues, options), recovery(connection, options))
    )
  )

export interface RunOptions<E, R> extends StreamOptions {
  /** How many deliveries are handled at once; `prefetch` defaults to it. */
  readonly concurrency: number
  /** What becomes of a delivery whose handler failed. Default `deadLetter`: to `<queue>.dead` with its reason. */
  readonly onFailure?: "deadLetter" | "drop" | "requeue" | undefined
  /** A message given back this often is dead-lettered, where the broker counts. Default 20. */
  readonly maxDeliveries?: number | undefined
  readonly handle: (delivery: Delivery) => Effect.Effect<void, E, R>
}

/**
 * Handles deliveries for ever. Success acknowledges; a typed failure does what `onFailure` says; a defect or an interruption
 * gives the message back and counts as a delivery. A message whose headers cannot be read is dead-lettered unseen.
 *
 * A lost link stops the intake, not the handlers: they run on, keep their share of `concurrency`, and settle in vain, for the
 * broker has their messages back. Interrupting `run` interrupts them, before the channel closes.
 */
export const run = <E, R>(
  queues: ReadonlyArray<Queue>,
  options: RunOptions<E, R>
): Effect.Effect<never, HubError, Connection | R> =>
  Effect.gen(function* () {
    // It would take all there is, for a prefetch of 0 is no bound, and handle none of it.
    if (!(options.concurrency >= 1)) {
      return yield* Effect.die(new RangeError(`Consumer.run: concurrency is at least 1, not ${options.concurrency}`))
    }
    const connection = yield* Connection
    const inFlight = yield* InFlight
    const consume = { ...options, prefetch: options.prefetch ?? options.concurrency }
    const slots = Semaphore.makeUnsafe(options.concurrency)
    const handlers = yield* FiberSet.make<void, HubError>()
    const start = (delivery: Delivery) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.andThen(
          restore(slots.take(1)),
          FiberSet.run(handlers, Effect.ensuring(inFlight(handle(connection, delivery, options)), slots.release(1)), {
            // It has to be in the set before it can end what the set belongs to.
            startImmediately: false
          })
        )
      )
    const intake = yield* attempt(connection, queues, consume).pipe(
      Stream.runForEach(start),
      Effect.andThen(Effect.never),
      Effect.retry(recovery(connection, options)),
      Effect.forkScoped
    )
    yield* Effect.addFinalizer(() => FiberSet.clear(handlers))
    return yield* Effect.raceFirst(Fiber.join(intake), Effect.andThen(FiberSet.join(handlers), Effect.never))
  }).pipe(Effect.scoped)

const handle = <E, R>(
  connection: Connection["Service"],
  delivery: Delivery,
  options: RunOptions<E, R>
): Effect.Effect<void, HubError, R> => {
  const limit = options.maxDeliveries ?? 20
  const { unreadable } = delivery
  const work =
    unreadable !== undefined
      ? DeadLetter.send(connection, delivery, "undecodable", `its headers: ${unreadable.text}`)
      : Option.isSome(delivery.deliveryCount) && delivery.deliveryCount.value >= limit
        ? DeadLetter.send(connection, delivery, "deliveries", `given back ${delivery.deliveryCount.value} times`)
        : Effect.uninterruptibleMask((restore) =>
            Effect.flatMap(Effect.exit(restore(Effect.suspend(() => options.handle(delivery)))), (exit) =>
              settle(connection, delivery, options, exit)
            )
          )
  // No link to dead-letter it over: back to its queue, if it is not there already.
  return Effect.catchIf(
    work,
    (error) => error.recoverable,
    () => delivery.reject({ requeue: true })
  )
}

const settle = <E, R>(
  connection: Connection["Service"],
  delivery: Delivery,
  { onFailure = "deadLetter" }: RunOptions<E, R>,
  exit: Exit.Exit<void, E>
): Effect.Effect<void, HubError> => {
  if (Exit.isSuccess(exit)) return delivery.ack
  if (!Cause.hasFails(exit.cause)) return delivery.reject({ requeue: true })
  switch (onFailure) {
    case "drop":
      return delivery.reject({ requeue: false })
    case "requeue":
      return delivery.reject({ requeue: true })
    case "deadLetter":
      return DeadLetter.send(connection, delivery, "failed", describe(Cause.squash(exit.cause)))
  }
}

/** For the header that a person reads. */
const describe = (error: unknown): string => {
  if (typeof error === "string") return error
  return error instanceof Error ? `${error.name}: ${error.message}` : Formatter.format(error)
}
