/**
 * The events of a cluster as a stream (celery/events/receiver.py): of workers in any language. Events are transient; those
 * sent while nobody listens, or while the link is away, are gone.
 */
import { Connection } from "@apium/hub/Connection"
import type { Exchange } from "@apium/hub/Exchange"
import type { HubError } from "@apium/hub/HubError"
import * as Mailbox from "@apium/hub/Mailbox"
import type { Message } from "@apium/hub/Message"
import * as Queue from "@apium/hub/Queue"
import * as Serializer from "@apium/hub/Serializer"
import * as Topology from "@apium/hub/Topology"
import * as EventMessage from "@apium/protocol/celery/EventMessage"
import * as Effect from "effect/Effect"
import { pipe } from "effect/Function"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as EventExchange from "./EventExchange.ts"
import * as LogicalClock from "./LogicalClock.ts"

export interface Options {
  /** A topic pattern over types, with dots for dashes: `task.#`, `worker.heartbeat`. Default `#`. */
  readonly routingKey?: string | undefined
  /** Ask all workers for a heartbeat, so that those that are there are known at once. Default `true`, as in Celery. */
  readonly wakeup?: boolean | undefined
  /** Runs when nothing is missed any more: on the first link, and on each that replaces one. */
  readonly onReady?: Effect.Effect<void> | undefined
  /** Set past each event. Default: one of its own. */
  readonly clock?: LogicalClock.LogicalClock["Service"] | undefined
}

/**
 * Celery's arguments: events older than 5 s are of no interest. Exclusive, for RabbitMQ 4.3 refuses transient queues that are
 * not (541), and with a name of its own on each link, for the broker may not have found the old one dead.
 */
const queueFor = (exchange: Exchange, routingKey: string): Queue.Queue =>
  pipe(
    Queue.temporary(`celeryev.${crypto.randomUUID()}`),
    Queue.expires("60 seconds"),
    Queue.ttl("5 seconds"),
    Queue.bindTo(exchange, routingKey)
  )

export const stream = (options: Options = {}): Stream.Stream<EventMessage.Event, HubError, Connection> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const connection = yield* Connection
      const clock = options.clock ?? LogicalClock.make()
      // As Celery's `accept`: JSON is read, whatever tasks are in.
      const registry = Serializer.withJson(yield* Serializer.Serializers)
      const ask = Mailbox.cast({ method: "heartbeat" }, { clock: LogicalClock.forMailbox(clock) }).pipe(
        Effect.catch((error) =>
          Effect.logDebug("Workers could not be asked for a heartbeat", { reason: error.message })
        )
      )
      /** From the binding on the queue keeps what comes; who reads it may come later. */
      const attempt = Stream.unwrap(
        Effect.gen(function* () {
          const channel = yield* connection.channel
          const queue = queueFor(EventExchange.of(connection), options.routingKey ?? "#")
          const [name = queue.name] = yield* Topology.declare(channel, { queues: [queue] })
          yield* Topology.listen(channel, name, connection.capabilities)
          if (options.onReady !== undefined) yield* options.onReady
          // Beside the events: a broker that takes no message for now may still have some for us.
          if (options.wakeup !== false) yield* Effect.forkScoped(ask)
          return channel.consume(name, { noAck: true })
        })
      )
      return attempt.pipe(
        Stream.retry(connection.recovery),
        Stream.mapEffect(({ message }) =>
          Effect.map(read(registry, message), (events) => events.map((event) => heard(clock, event)))
        ),
        Stream.flattenIterable
      )
    })
  )

const read = (registry: Serializer.Registry, message: Message): Effect.Effect<ReadonlyArray<EventMessage.Event>> =>
  Serializer.decodeWith(registry, message).pipe(
    Effect.map((body) => Result.getOrElse(EventMessage.decode(body), () => [])),
    Effect.catch((error) =>
      Effect.as(Effect.logDebug("Passed over a message that is no event", { reason: error.message }), [])
    )
  )

/** The clock of a client says nothing, for clients never hear anybody: its event is put just before now. */
const heard = (clock: LogicalClock.LogicalClock["Service"], event: EventMessage.Event): EventMessage.Event => {
  if (event.type === "task-sent") {
    const before = Math.max(1, clock.value()) - 1
    clock.adjust(before)
    return { ...event, clock: before }
  }
  if (event.clock === 0) return { ...event, clock: clock.forward() }
  clock.adjust(event.clock)
  return event
}
