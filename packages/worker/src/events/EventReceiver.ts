/**
 * The events of a cluster as a stream (celery/events/receiver.py): of workers in any language. Events are transient; those
 * sent while nobody listens, or while the link is away, are gone.
 */
import type { Connection } from "@apium/hub/Connection"
import * as Consumer from "@apium/hub/Consumer"
import type { HubError } from "@apium/hub/HubError"
import * as Queue from "@apium/hub/Queue"
import * as Serializer from "@apium/hub/Serializer"
import * as EventMessage from "@apium/protocol/celery/EventMessage"
import * as Effect from "effect/Effect"
import { pipe } from "effect/Function"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { exchange } from "./EventDispatcher.ts"

export interface Options {
  /** A topic pattern over types, with dots for dashes: `task.#`, `worker.heartbeat`. Default `#`. */
  readonly routingKey?: string | undefined
}

/** Celery's arguments: the queue goes a minute after its monitor, and events older than 5 s are of no interest. */
const queue = (routingKey: string): Queue.Queue =>
  pipe(
    Queue.make(`celeryev.${crypto.randomUUID()}`, { autoDelete: true, durable: false }),
    Queue.expires("60 seconds"),
    Queue.ttl("5 seconds"),
    Queue.bindTo(exchange, routingKey)
  )

export const stream = (options: Options = {}): Stream.Stream<EventMessage.Event, HubError, Connection> =>
  Stream.suspend(() =>
    Consumer.stream([queue(options.routingKey ?? "#")], { noAck: true }).pipe(
      Stream.mapEffect((delivery) =>
        Serializer.decode(delivery.message).pipe(
          Effect.map((body) => Result.getOrElse(EventMessage.decode(body), () => [])),
          Effect.catch((error) =>
            Effect.as(Effect.logDebug("Passed over a message that is no event", { reason: error.message }), [])
          )
        )
      ),
      Stream.flattenIterable
    )
  )
