/**
 * The step that consumes (celery/worker/consumer/tasks.py): deliveries of the worker's queues to requests, and requests to
 * slots. The consumer lives in the link's scope and is opened again on each new link; running tasks live in the worker's,
 * so a lost link stops intake and not tasks.
 *
 * Stopping is warm: intake ends, what runs is waited for, what waits goes back to its queue unharmed.
 */
import { Connection } from "@apium/hub/Connection"
import type { Delivery } from "@apium/hub/Delivery"
import { Host } from "@apium/hub/Host"
import { Hub } from "@apium/hub/Hub"
import type { HubError } from "@apium/hub/HubError"
import type { Queue } from "@apium/hub/Queue"
import * as Topology from "@apium/hub/Topology"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as Publisher from "../client/Publisher.ts"
import { ResultBackend } from "../client/ResultBackend.ts"
import { EventDispatcher } from "../events/EventDispatcher.ts"
import { Pool } from "../execution/Pool.ts"
import type { Request } from "../execution/Request.ts"
import * as Results from "../execution/Results.ts"
import * as Slots from "../execution/Slots.ts"
import * as Strategy from "../execution/Strategy.ts"
import * as Trace from "../execution/Trace.ts"
import { Tasks } from "../task/Tasks.ts"

export interface Options {
  readonly queues: ReadonlyArray<Queue>
  /** How many tasks run at once, unless the pool holds fewer. */
  readonly concurrency: number
  /** How many deliveries per slot and queue may be held unsettled. Default 4, as Celery's `worker_prefetch_multiplier`. */
  readonly prefetchMultiplier?: number | undefined
  /** The node name: `celery@host`. */
  readonly hostname: string
}

/** A task that is not due goes back to a broker that can keep it, unless it is due this soon. */
const parkBeyond = 1000

export const layer = (
  options: Options
): Layer.Layer<never, never, Connection | ResultBackend | Tasks | Pool | EventDispatcher | Hub> =>
  Layer.effectDiscard(
    Effect.gen(function* () {
      const connection = yield* Connection
      const tasks = yield* Tasks
      const pool = yield* Pool
      const events = yield* EventDispatcher
      const hub = yield* Hub
      const clock = yield* Clock.Clock
      const { pid } = yield* Host
      const results = Results.make(yield* ResultBackend)
      const publisher = Publisher.make(connection, options.queues)
      const strategy = Strategy.make({ connection, tasks, results })
      const node = { pid, hostname: options.hostname }
      const trace = Trace.make({ pool, results, publisher, events, clock, node })
      const concurrency = Math.min(options.concurrency, pool.capacity)
      const slots = yield* Slots.make(concurrency, trace)
      const prefetch = concurrency * (options.prefetchMultiplier ?? 4)
      const stopping = Latch.makeUnsafe(false)
      const stopped = Deferred.makeUnsafe<void>()

      /** Until it is due: in the broker where that can keep it, so that neither memory nor prefetch is held. */
      const wait = (request: Request, until: number): Effect.Effect<void, HubError> => {
        const { delivery } = request
        return connection.capabilities.delay !== "worker" && until - clock.currentTimeMillisUnsafe() > parkBeyond
          ? Effect.andThen(
              connection.publish(delivery.message, { exchange: "", routingKey: delivery.queue, notBefore: until }),
              delivery.ack
            )
          : Effect.asVoid(
              hub.callAt(
                until,
                Effect.sync(() => slots.submit(request))
              )
            )
      }

      const received = ({ message: { headers, args, kwargs } }: Request): void => {
        if (!events.enabled()) return
        events.send("task-received", {
          uuid: headers.id,
          name: headers.task,
          args: headers.argsrepr ?? JSON.stringify(args),
          kwargs: headers.kwargsrepr ?? JSON.stringify(kwargs),
          root_id: headers.rootId,
          parent_id: headers.parentId,
          retries: headers.retries,
          eta: headers.eta,
          expires: headers.expires
        })
      }

      const receive = (delivery: Delivery): Effect.Effect<void, HubError> =>
        Effect.flatMap(strategy(delivery), (decision) => {
          switch (decision._tag) {
            case "Run":
              received(decision.request)
              slots.submit(decision.request)
              return Effect.void
            case "Wait":
              received(decision.request)
              return wait(decision.request, decision.until)
            case "Settled":
              return Effect.void
          }
        })

      /** One link's worth: what is unsettled when its channel closes goes back to its queue, next in line. */
      const session = Effect.gen(function* () {
        const channel = yield* connection.channel
        const names = yield* Topology.declare(channel, { queues: options.queues })
        const intake = Effect.forEach(
          names,
          (name) =>
            Stream.runForEachArray(channel.consume(name, { prefetch }), (deliveries) =>
              Effect.forEach(deliveries, receive, { discard: true })
            ),
          { concurrency: "unbounded", discard: true }
        )
        yield* Effect.raceFirst(intake, stopping.await)
        slots.takeBack()
        yield* slots.idle
      }).pipe(
        // What was reserved on a lost link comes again on the next one.
        Effect.onError(() => Effect.sync(() => slots.takeBack())),
        Effect.scoped
      )

      yield* hub.run(
        "tasks",
        Effect.suspend(() => (stopping.isOpen() ? Effect.void : session)).pipe(
          connection.recover,
          Effect.tapError((error) => Effect.logFatal("The worker can no longer consume", { reason: error.message })),
          Effect.ensuring(Deferred.succeed(stopped, undefined))
        )
      )
      yield* Effect.addFinalizer(() => Effect.andThen(stopping.open, Deferred.await(stopped)))
    })
  )
