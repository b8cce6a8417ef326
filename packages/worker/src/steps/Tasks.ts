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
import { Serializers } from "@apium/hub/Serializer"
import * as Topology from "@apium/hub/Topology"
import * as PythonRepr from "@apium/protocol/celery/PythonRepr"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as Publisher from "../client/Publisher.ts"
import { ResultBackend } from "../client/ResultBackend.ts"
import { EventDispatcher } from "../events/EventDispatcher.ts"
import * as Eta from "../execution/Eta.ts"
import * as Orphans from "../execution/Orphans.ts"
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

export const layer = (
  options: Options
): Layer.Layer<never, HubError, Connection | ResultBackend | Tasks | Pool | EventDispatcher | Hub> =>
  Layer.effectDiscard(
    Effect.gen(function* () {
      if (Number.isNaN(options.concurrency)) {
        // As of an environment variable that is not set: such a worker would take tasks and never run one.
        return yield* Effect.die(
          new RangeError("A worker's concurrency should be how many tasks run at once, and is NaN")
        )
      }
      const connection = yield* Connection
      const tasks = yield* Tasks
      const pool = yield* Pool
      const events = yield* EventDispatcher
      const hub = yield* Hub
      const clock = yield* Clock.Clock
      const { pid } = yield* Host
      const results = Results.make(yield* ResultBackend)
      const publisher = Publisher.make(connection, options.queues)
      const strategy = Strategy.make({ connection, tasks, results, events, serializers: yield* Serializers })
      const node = { pid, hostname: options.hostname }
      const trace = Trace.make({ pool, results, publisher, events, clock, node })
      const concurrency = Math.max(1, Math.min(options.concurrency, pool.size()))
      const slots = yield* Slots.make(concurrency, trace.run, trace.died)
      const orphans = Orphans.make(slots, yield* Effect.scope)
      const eta = Eta.make({ connection, hub, clock, due: slots.submit })
      const prefetch = concurrency * (options.prefetchMultiplier ?? 4)
      const stopping = Latch.makeUnsafe(false)
      const stopped = Deferred.makeUnsafe<void>()
      /** Open while there is no session. */
      const between = Latch.makeUnsafe(true)

      /** What has not begun: it goes back with its channel, and comes again on the next. */
      const letGo = Effect.suspend(() => {
        slots.takeBack()
        return eta.letGo
      })

      const received = ({ message: { headers, args, kwargs } }: Request): void => {
        if (!events.enabled()) return
        events.send("task-received", {
          uuid: headers.id,
          name: headers.task,
          args: headers.argsrepr ?? PythonRepr.argsRepr(args),
          kwargs: headers.kwargsrepr ?? PythonRepr.kwargsRepr(kwargs),
          root_id: headers.rootId,
          parent_id: headers.parentId,
          retries: headers.retries,
          eta: headers.eta,
          expires: headers.expires
        })
      }

      const receive = (delivery: Delivery): Effect.Effect<void, HubError> =>
        orphans.adopt(delivery) ?? Effect.flatMapEager(strategy(delivery), dispatch)

      const dispatch = (decision: Strategy.Decision): Effect.Effect<void, HubError> => {
        switch (decision._tag) {
          case "Run":
            received(decision.request)
            slots.submit(decision.request)
            return Effect.void
          case "Wait":
            received(decision.request)
            return eta.wait(decision.request, decision.until)
          case "Settled":
            return Effect.void
        }
      }

      /** No message ends the intake: one that cannot even be dead-lettered is rejected, as Celery has it. */
      const guarded = (delivery: Delivery): Effect.Effect<void, HubError> => {
        let received: Effect.Effect<void, HubError>
        try {
          received = receive(delivery)
        } catch (defect) {
          received = Effect.die(defect)
        }
        // Most tasks are on their way by now.
        return Exit.isExit(received) && Exit.isSuccess(received)
          ? received
          : Effect.catchCauseIf(
              received,
              (cause) => !Cause.hasInterrupts(cause) && !isRecoverable(cause),
              (cause) =>
                Effect.andThen(
                  Effect.logError("A message could not be dealt with, and was rejected", cause),
                  delivery.reject({ requeue: false })
                )
            )
      }

      const open = Effect.gen(function* () {
        const channel = yield* connection.channel
        return { channel, names: yield* Topology.declare(channel, { queues: options.queues }) }
      })

      /** One link's worth: what is unsettled when its channel closes goes back to its queue, next in line. */
      const session = Effect.gen(function* () {
        // Whoever stops us while the broker is away does not wait for it.
        const opened = yield* Effect.raceFirst(open, Effect.as(stopping.await, undefined))
        if (opened === undefined) return
        const { channel, names } = opened
        const intake = Effect.forEach(
          names,
          (name) =>
            Stream.runForEachArray(channel.consume(name, { prefetch }), (deliveries) =>
              Effect.forEach(deliveries, guarded, { discard: true })
            ),
          { concurrency: "unbounded", discard: true }
        )
        yield* Effect.raceFirst(intake, stopping.await)
        yield* letGo
        yield* slots.idle
      }).pipe(
        Effect.onError(() => Effect.andThen(orphans.mark, letGo)),
        Effect.scoped,
        Effect.ensuring(between.open)
      )

      // A worker whose queues the broker refuses is not started. (One that the broker is to name would get a name for nothing.)
      yield* connection.declare({ queues: options.queues.filter(({ name }) => name !== "") })

      yield* hub.run(
        "tasks",
        Effect.suspend(() => (stopping.isOpen() ? Effect.void : Effect.andThen(between.close, session))).pipe(
          connection.recover,
          // Once it has begun, only a stop ends a worker: what no fresh link mends (a queue declared otherwise) somebody else may.
          Effect.tapError((error) =>
            Effect.logError("The worker cannot consume, and tries again", { reason: error.message })
          ),
          Effect.retry(patient),
          // A stop does not wait for the pause before the next attempt.
          Effect.raceFirst(Effect.andThen(stopping.await, between.await)),
          Effect.ensuring(Deferred.succeed(stopped, undefined))
        )
      )
      // Tasks outlive the link they came on: the last of them may end long after the session.
      yield* Effect.addFinalizer(() =>
        stopping.open.pipe(Effect.andThen(Deferred.await(stopped)), Effect.andThen(slots.idle))
      )
    })
  )

/** A second, doubling to half a minute. */
const patient = Schedule.modifyDelay(Schedule.exponential("1 second"), ({ duration }) =>
  Effect.succeed(Duration.min(duration, Duration.seconds(30)))
)

/** A lost link is the session's to mend. */
const isRecoverable = (cause: Cause.Cause<HubError>): boolean =>
  cause.reasons.some((reason) => Cause.isFailReason(reason) && reason.error.recoverable)
