/**
 * What a worker tells the world about itself and its tasks (celery/events/dispatcher.py, WIRE 4.7). Task events are collected
 * and go out together as one list, on the next turn or when there are 24; all others go alone. They are transient and nobody
 * waits for them: one that cannot be sent is dropped, and how many were is part of the log.
 *
 * ```text
 *                                        sent                      as
 *   worker-online, worker-heartbeat ...  always                    one message each
 *   task-received, task-started ...      `events: true` (-E), or   lists on task.multi
 *                                        enabled at run time
 *   a task's own (`sendEvent`)           always                    one message each
 * ```
 */
import { Connection } from "@apium/hub/Connection"
import { Host } from "@apium/hub/Host"
import * as Serializer from "@apium/hub/Serializer"
import * as EventMessage from "@apium/protocol/celery/EventMessage"
import type { KombuJson } from "@apium/protocol/kombu/Json"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import * as EventExchange from "./EventExchange.ts"
import { LogicalClock } from "./LogicalClock.ts"
import * as Origin from "./Origin.ts"

/** What an event of this type says; a type of the application's own says what it likes. */
export type FieldsOf<T extends string> = T extends keyof EventMessage.EventFields
  ? EventMessage.EventFields[T]
  : Readonly<Record<string, KombuJson>>

export class EventDispatcher extends Context.Service<
  EventDispatcher,
  {
    /** Whether task events are sent. Asked before a field is worked out: nobody pays for events that are off. */
    readonly enabled: () => boolean
    readonly send: <T extends string>(type: T, fields: FieldsOf<T>) => void
    /** Task events from now on; `false`: they were sent already. */
    readonly enable: () => boolean
    /**
     * No task events any more; `false`: there were none, or the worker was started with `events: true`. As in Celery, only a
     * worker that was started without them can be switched.
     */
    readonly disable: () => boolean
  }
>()("@apium/worker/EventDispatcher") {}

/** Sends nothing, whatever happens. */
export const disabled: Layer.Layer<EventDispatcher> = Layer.succeed(EventDispatcher, {
  enabled: () => false,
  send: () => undefined,
  enable: () => false,
  disable: () => false
})

/** More than this many unsent events means that the broker does not take them: the oldest go. */
const maxBuffered = 10_000

/** How long a worker that stops waits for its last events to be taken. */
const lastWords = "1 second"

/** The task events of a worker: these are collected, and can be turned off. */
const ofTasks: ReadonlySet<string> = new Set<keyof EventMessage.EventFields>([
  "task-received",
  "task-started",
  "task-succeeded",
  "task-failed",
  "task-retried",
  "task-rejected",
  "task-revoked",
  "task-cancelled"
])

export interface Options {
  /** The worker's node name: `celery@host`. */
  readonly hostname: string
  /** Send task events (Celery's `-E`). Default `false`: until remote control enables them. */
  readonly events?: boolean | undefined
}

/** Closing it sends what was said last, if the broker takes it within a second. */
export const layer = (options: Options): Layer.Layer<EventDispatcher, never, Connection | LogicalClock> =>
  Layer.effect(
    EventDispatcher,
    Effect.gen(function* () {
      const connection = yield* Connection
      const logical = yield* LogicalClock
      const { pid } = yield* Host
      const wall = yield* Clock.Clock
      const { hostname } = options
      const exchange = EventExchange.of(connection)
      const always = options.events === true
      let enabled = always
      const origin = Origin.make({ hostname, pid }, wall, logical)
      let unsent: Array<EventMessage.Event> = []
      /** Of the unsent ones. */
      let taskEvents = 0
      let dropped = 0

      const publish = (body: unknown, routingKey: string): Effect.Effect<void> =>
        Serializer.encode(body, {
          serializer: "json",
          properties: { deliveryMode: "transient", priority: 0 },
          headers: { hostname }
        }).pipe(
          Effect.flatMap((message) =>
            connection.publish(message, { exchange: exchange.name, routingKey }, { exchanges: [exchange] })
          ),
          Effect.catch((error) => Effect.logDebug("An event could not be sent", { reason: error.message }))
        )

      const flush = Effect.gen(function* () {
        const events = unsent
        const lost = dropped
        unsent = []
        taskEvents = 0
        dropped = 0
        if (lost > 0) yield* Effect.logWarning("Events were dropped: the broker did not take them", { count: lost })
        const list = events.filter(({ type }) => ofTasks.has(type))
        if (list.length > 0) yield* publish(EventMessage.encodeMulti(list), EventMessage.multiRoutingKey)
        if (list.length === events.length) return
        for (const event of events) {
          if (ofTasks.has(event.type)) continue
          yield* publish(EventMessage.encode(event), EventMessage.routingKey(event.type))
        }
      })

      // One at a time: while the broker takes none, the unsent ones and their bound are all there is.
      const sending = Semaphore.makeUnsafe(1)
      const drain = sending.withPermits(1)(
        Effect.whileLoop({ while: () => unsent.length > 0, body: () => flush, step: () => undefined })
      )
      const fork = yield* FiberSet.makeRuntime<never, void, never>()
      // After the set of fibers, so that it runs before they are interrupted: what they are about is sent, and then the rest.
      // Without a link there is nobody to tell.
      const noLink = connection.status.pipe(
        Stream.takeUntil((status) => status === "connecting" || status === "closed"),
        Stream.runDrain
      )
      yield* Effect.addFinalizer(() => Effect.ignore(Effect.timeout(Effect.raceFirst(drain, noLink), lastWords)))

      let awaited = false
      const nextTurn = Effect.andThen(
        Effect.yieldNow,
        Effect.suspend(() => {
          awaited = false
          return drain
        })
      )

      const send = (type: string, fields: Readonly<Record<string, KombuJson>>): void => {
        const ofTask = ofTasks.has(type)
        if (ofTask && !enabled) return
        if (unsent.length >= maxBuffered) {
          if (ofTasks.has(unsent.shift()!.type)) taskEvents--
          dropped++
        }
        unsent.push(EventMessage.custom(type, origin(), fields))
        if (ofTask && ++taskEvents === EventMessage.bufferLimit) fork(drain)
        else if (!awaited) {
          awaited = true
          fork(nextTurn)
        }
      }

      return {
        enabled: () => enabled,
        send: send as EventDispatcher["Service"]["send"],
        enable: () => !enabled && (enabled = true),
        disable: () => {
          const changes = enabled && !always
          if (changes) enabled = false
          return changes
        }
      }
    })
  )
