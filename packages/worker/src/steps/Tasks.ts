/**
 * The step that consumes (celery/worker/consumer/tasks.py): deliveries of the worker's queues to requests, and requests to
 * slots. The consumer lives in the link's scope and is opened again on each new link; running tasks live in the worker's,
 * so a lost link stops intake and not tasks.
 *
 * It requires the timer (the hub), the pool, the connection, the events and the shutdown, and provides `Requests`. A warm
 * shutdown ends the intake, gives back what has not begun, waits for what runs, and then closes the channel; a cold one
 * interrupts what runs.
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
import type { Channel } from "@apium/hub/Channel"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as Publisher from "../client/Publisher.ts"
import { ResultBackend } from "../client/ResultBackend.ts"
import { EventDispatcher } from "../events/EventDispatcher.ts"
import * as Callbacks from "../execution/Callbacks.ts"
import * as Drain from "../execution/Drain.ts"
import * as Discard from "../execution/Discard.ts"
import * as Eta from "../execution/Eta.ts"
import { Failpoint } from "../execution/Failpoint.ts"
import * as Intake from "../execution/Intake.ts"
import type { Middleware } from "../execution/Middleware.ts"
import * as Orphans from "../execution/Orphans.ts"
import { Pool } from "../execution/Pool.ts"
import * as RateLimit from "../execution/RateLimit.ts"
import type { Request } from "../execution/Request.ts"
import * as Requests from "../execution/Requests.ts"
import * as Results from "../execution/Results.ts"
import * as Revoked from "../execution/Revoked.ts"
import * as Slots from "../execution/Slots.ts"
import * as Strategy from "../execution/Strategy.ts"
import * as Trace from "../execution/Trace.ts"
import * as Window from "../execution/Window.ts"
import type { Profile } from "../Profile.ts"
import { Shutdown } from "../Shutdown.ts"
import type { Countdown } from "../task/Countdown.ts"
import { Tasks } from "../task/Tasks.ts"

export interface Options {
  readonly queues: ReadonlyArray<Queue>
  /** How many tasks run at once, unless the pool holds fewer. */
  readonly concurrency: number
  /** How many deliveries per slot may be held unsettled. Default 4, as Celery's `worker_prefetch_multiplier`. */
  readonly prefetchMultiplier?: number | undefined
  /** `exact`: take only what can begin at once. Default `prefetch`. */
  readonly fetch?: Window.Fetch | undefined
  /**
   * How many tasks that are not due yet may be held beside the others, where the worker has to hold them (Celery's
   * `worker_eta_task_limit`). Default 50,000.
   */
  readonly etaTaskLimit?: number | undefined
  /** Interrupt what runs when the link it came on is lost, for its message comes again (Celery's option). Default `false`. */
  readonly cancelLongRunningTasksOnConnectionLoss?: boolean | undefined
  /** The hard and the soft limit of tasks that have none of their own (Celery's `task_time_limit`, `task_soft_time_limit`). */
  readonly timeLimit?: Countdown | undefined
  readonly softTimeLimit?: Countdown | undefined
  /** Around every run; the first is the outermost. */
  readonly middleware?: ReadonlyArray<Middleware> | undefined
  /** Around what the worker itself sends: retries, callbacks, the next step of a chain. */
  readonly publishMiddleware?: ReadonlyArray<Publisher.Middleware> | undefined
  /** Do not run a redelivered task again whose SUCCESS is stored (Celery's option). Default `false`. */
  readonly deduplicateSuccessfulTasks?: boolean | undefined
  /** Where callbacks go that say nothing about it. Default `celery`. */
  readonly defaultQueue?: string | undefined
  /** The node name: `celery@host`. */
  readonly hostname: string
  readonly profile: Profile
}

export const layer = (
  options: Options
): Layer.Layer<
  Requests.Requests,
  HubError,
  Connection | ResultBackend | Tasks | Pool | EventDispatcher | Hub | Shutdown
> =>
  Layer.effect(
    Requests.Requests,
    Effect.gen(function* () {
      if (Number.isNaN(options.concurrency)) {
        // As of an environment variable that is not set: such a worker would take tasks and never run one.
        return yield* Effect.die(
          new RangeError("A worker's concurrency should be how many tasks run at once, and is NaN")
        )
      }
      const { profile } = options
      const connection = yield* Connection
      const tasks = yield* Tasks
      const pool = yield* Pool
      const events = yield* EventDispatcher
      const hub = yield* Hub
      const shutdown = yield* Shutdown
      const clock = yield* Clock.Clock
      const fork = Effect.runForkWith(yield* Effect.context())
      const { pid } = yield* Host
      const results = Results.make(yield* ResultBackend)
      const publisher = Publisher.make(connection, options.queues, { profile, middleware: options.publishMiddleware })
      const discard = Discard.make(results, events)
      const revoked = Revoked.make(clock)
      const totals: Requests.Totals = new Map()
      const timeLimits = new Map<string, Requests.TimeLimits>()
      const callbacks = Callbacks.make({
        publisher,
        tasks,
        results,
        clock,
        hostname: options.hostname,
        defaultQueue: options.defaultQueue
      })
      const strategy = Strategy.make({
        connection,
        tasks,
        results,
        events,
        discard,
        revoked,
        callbacks,
        defaults: { acksLate: profile.acksLate, timeLimit: options.timeLimit, softTimeLimit: options.softTimeLimit },
        noAck: profile.noAck,
        serializers: yield* Serializers
      })
      const trace = Trace.make({
        pool,
        results,
        publisher,
        callbacks,
        middleware: options.middleware ?? [],
        deduplicateSuccessfulTasks: options.deduplicateSuccessfulTasks === true,
        failpoint: yield* Failpoint,
        events,
        clock,
        node: { pid, hostname: options.hostname },
        timeLimits: (task) => timeLimits.get(task)
      })
      let channel: Channel | undefined
      let applied = Number.NaN

      const early = (): number => {
        let count = 0
        for (const { acknowledged } of slots.running().values()) if (acknowledged === true) count++
        return count
      }

      const bounds: Window.Options = {
        fetch: options.fetch ?? "prefetch",
        multiplier: options.prefetchMultiplier ?? 4,
        etaLimit: options.etaTaskLimit ?? 50_000
      }
      const window = (): number =>
        Window.size(bounds, {
          concurrency: slots.concurrency(),
          early: bounds.fetch === "exact" ? early() : 0,
          orphans: orphans.running(),
          held: eta.held()
        })

      /** Without acknowledgements there is no window: open while there is room for more. */
      const room = Latch.makeUnsafe(true)

      const tune = (): void => {
        if (profile.noAck) {
          const full =
            slots.backlog() + rateLimit.waiting().length >= options.concurrency || eta.held() >= bounds.etaLimit
          if (full) room.closeUnsafe()
          else room.openUnsafe()
          return
        }
        if (channel === undefined) return
        const size = window()
        if (size === applied) return
        applied = size
        // A channel that cannot be asked any more is replaced.
        fork(Effect.ignore(channel.qos(size)))
      }

      const slots = yield* Slots.make({
        concurrency: Math.max(1, Math.min(options.concurrency, pool.size())),
        run: (request) => {
          const { name } = request.registered.task
          totals.set(name, (totals.get(name) ?? 0) + 1)
          return trace.run(request)
        },
        died: trace.died,
        changed: () => tune(),
        // The moment a shutdown is asked for, long before its session has heard of it.
        open: () => shutdown.level() === "running" || (profile.noAck && !Drain.isCold(shutdown.level()))
      })
      const admit = (request: Request): void => {
        if (!rateLimit.holds(request)) slots.submit(request)
      }
      const rateLimit = RateLimit.make({ hub, clock, fork, due: slots.submit })
      const orphans = Orphans.make(slots, yield* Effect.scope)
      const eta = yield* Eta.make({
        connection,
        hub,
        clock,
        keeper: connection.capabilities.delay === "worker" ? "worker" : profile.delay,
        due: admit,
        changed: tune
      })
      const drained = Deferred.makeUnsafe<void>()
      /** Open while there is no session. */
      const between = Latch.makeUnsafe(true)

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

      const dispatch = (decision: Strategy.Decision): void => {
        switch (decision._tag) {
          case "Run":
            received(decision.request)
            return admit(decision.request)
          case "Wait":
            received(decision.request)
            return eta.wait(decision.request, decision.until)
          case "Settled":
            return
        }
      }

      const intake = Intake.make({ orphans, strategy, dispatch })
      const drain = Drain.make({ connection, shutdown, slots, rateLimit, eta, intake, noAck: profile.noAck })

      const take = (deliveries: ReadonlyArray<Delivery>): Effect.Effect<void, HubError> =>
        profile.noAck
          ? Effect.andThen(
              intake.take(deliveries),
              // There is no window: what is not taken waits in the broker.
              Effect.suspend(() => {
                tune()
                return room.await
              })
            )
          : intake.take(deliveries)

      const open = Effect.gen(function* () {
        const opened = yield* connection.channel
        const names = yield* Topology.declare(opened, { queues: options.queues })
        channel = opened
        applied = Number.NaN
        if (!profile.noAck) {
          applied = window()
          yield* opened.qos(applied)
        }
        return names.map((name) => opened.consume(name, { noAck: profile.noAck }))
      })

      /** One link's worth: what is unsettled when its channel closes goes back to its queue, next in line. */
      const session = Effect.gen(function* () {
        // Whoever stops us while the broker is away does not wait for it.
        const consumers = yield* Effect.raceFirst(open, Effect.as(shutdown.reached("warm"), undefined))
        if (consumers === undefined) return
        const consume = Effect.forEach(consumers, (consumer) => Stream.runForEachArray(consumer, take), {
          concurrency: "unbounded",
          discard: true
        })
        yield* Effect.raceFirst(consume, shutdown.reached("warm"))
        yield* Effect.raceFirst(eta.settled, shutdown.reached("cold"))
        yield* drain.giveBack
        yield* drain.finish
      }).pipe(
        Effect.onError(() =>
          Effect.gen(function* () {
            yield* orphans.mark
            yield* eta.interrupt
            if (!profile.noAck) {
              // The broker has them back.
              intake.takeBack()
              drain.takeBack()
            }
            if (options.cancelLongRunningTasksOnConnectionLoss !== true) return
            for (const [fiber, { acknowledged, noAck }] of slots.running()) {
              // Of those that were acknowledged nobody has the message any more.
              if (acknowledged !== true && noAck !== true) fiber.interruptUnsafe()
            }
          })
        ),
        Effect.scoped,
        Effect.ensuring(
          Effect.suspend(() => {
            channel = undefined
            return between.open
          })
        )
      )

      const stopping = shutdown.reached("warm")

      // A worker whose queues the broker refuses is not started. (One that the broker is to name would get a name for nothing.)
      yield* connection.declare({ queues: options.queues.filter(({ name }) => name !== "") })

      yield* hub.run(
        "tasks",
        Effect.suspend(() =>
          shutdown.level() === "running" ? Effect.andThen(between.close, session) : Effect.void
        ).pipe(
          connection.recover,
          // Once it has begun, only a stop ends a worker: what no fresh link mends (a queue declared otherwise) somebody else may.
          Effect.tapError((error) =>
            Effect.logError("The worker cannot consume, and tries again", { reason: error.message })
          ),
          Effect.retry(patient),
          // A stop does not wait for the pause before the next attempt.
          Effect.raceFirst(Effect.andThen(stopping, between.await)),
          // Tasks outlive the link they came on: the last of them may end long after the session.
          Effect.andThen(drain.finish),
          Effect.ensuring(Deferred.succeed(drained, undefined))
        )
      )
      yield* Effect.addFinalizer(() => Effect.andThen(shutdown.request("warm"), Deferred.await(drained)))

      return Requests.make({
        slots,
        rateLimit,
        eta,
        revoked,
        discard,
        pool,
        clock,
        totals,
        timeLimits,
        prefetch: window,
        resized: tune,
        drained: Deferred.await(drained)
      })
    })
  )

/** A second, doubling to half a minute. */
const patient = Schedule.modifyDelay(Schedule.exponential("1 second"), ({ duration }) =>
  Effect.succeed(Duration.min(duration, Duration.seconds(30)))
)
