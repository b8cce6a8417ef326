/**
 * What a worker tells the world about its tasks (celery/events/dispatcher.py, WIRE 4.7). Task events are collected and go
 * out together as one list, on the next turn or when there are 24; all others go alone. They are transient and nobody
 * waits for them: one that cannot be sent is dropped, and how many were is part of the log.
 */
import { Connection } from "@apium/hub/Connection"
import * as Exchange from "@apium/hub/Exchange"
import { Host } from "@apium/hub/Host"
import * as Serializer from "@apium/hub/Serializer"
import * as EventMessage from "@apium/protocol/celery/EventMessage"
import type { KombuJson } from "@apium/protocol/kombu/Json"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import * as LogicalClock from "./LogicalClock.ts"

export class EventDispatcher extends Context.Service<
  EventDispatcher,
  {
    /** Asked before a field is worked out: nobody pays for events that are off. */
    readonly enabled: () => boolean
    readonly send: (type: string, fields: Readonly<Record<string, KombuJson>>) => void
  }
>()("@apium/worker/EventDispatcher") {}

/** Celery's worker without `-E`. */
export const disabled: Layer.Layer<EventDispatcher> = Layer.succeed(EventDispatcher, {
  enabled: () => false,
  send: () => undefined
})

/** The exchange all events go through. */
export const exchange: Exchange.Exchange = Exchange.topic(EventMessage.exchange)

/** More than this many unsent events means that the broker does not take them: the oldest go. */
const maxBuffered = 10_000

/** How long a worker that stops waits for its last events to be taken. */
const lastWords = "1 second"

export const layer = (options: {
  /** The worker's node name: `celery@host`. */
  readonly hostname: string
}): Layer.Layer<EventDispatcher, never, Connection> =>
  Layer.effect(
    EventDispatcher,
    Effect.gen(function* () {
      const connection = yield* Connection
      const { pid } = yield* Host
      const wall = yield* Clock.Clock
      const logical = LogicalClock.make()
      const { hostname } = options
      const common = () => {
        const now = wall.currentTimeMillisUnsafe()
        // Celery counts hours west of UTC.
        const utcoffset = new Date(now).getTimezoneOffset() / 60
        return { hostname, utcoffset, pid, clock: logical.forward(), timestamp: now / 1000 }
      }
      let buffer: Array<EventMessage.Event> = []
      let dropped = 0

      const publish = (body: unknown, routingKey: string): Effect.Effect<void> =>
        Serializer.encode(body, { properties: { deliveryMode: "transient" }, headers: { hostname } }).pipe(
          Effect.flatMap((message) =>
            connection.publish(message, { exchange: exchange.name, routingKey }, { exchanges: [exchange] })
          ),
          Effect.catch((error) => Effect.logDebug("An event could not be sent", { reason: error.message }))
        )

      const flush = Effect.suspend(() => {
        if (buffer.length === 0) return Effect.void
        const events = buffer
        const lost = dropped
        buffer = []
        dropped = 0
        const sent = publish(EventMessage.encodeMulti(events), EventMessage.multiRoutingKey)
        return lost === 0
          ? sent
          : Effect.andThen(
              Effect.logWarning("Events were dropped: the broker did not take them", { count: lost }),
              sent
            )
      })

      // Before the set of fibers, so that it runs after they ended: what they said is still sent, if there is a broker.
      yield* Effect.addFinalizer(() => Effect.ignore(Effect.timeout(flush, lastWords)))
      const fork = yield* FiberSet.makeRuntime<never, void, never>()

      // One list on its way at a time: while the broker takes none, the buffer and its bound are all there is.
      let flushing = false
      const drain = Effect.suspend(() => {
        if (flushing) return Effect.void
        flushing = true
        return Effect.ensuring(
          Effect.whileLoop({ while: () => buffer.length > 0, body: () => flush, step: () => undefined }),
          Effect.sync(() => void (flushing = false))
        )
      })

      const send = (type: string, fields: Readonly<Record<string, KombuJson>>): void => {
        const event = EventMessage.custom(type, common(), fields)
        if (EventMessage.groupOf(type) !== "task") {
          fork(publish(EventMessage.encode(event), EventMessage.routingKey(type)))
          return
        }
        if (buffer.length >= maxBuffered) {
          buffer.shift()
          dropped++
        }
        buffer.push(event)
        if (flushing) return
        if (buffer.length === 1) fork(Effect.andThen(Effect.yieldNow, drain))
        else if (buffer.length === EventMessage.bufferLimit) fork(drain)
      }

      return { enabled: () => true, send }
    })
  )
