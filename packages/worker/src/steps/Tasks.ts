/**
 * The step that consumes (celery/worker/consumer/tasks.py): deliveries of the worker's queues to requests, and requests to
 * slots. The consumer lives in the link's scope and is opened again on each new link; running tasks live in the worker's,
 * so a lost link stops intake and not tasks.
 *
 * It requires the timer (the hub), the pool, the connection, the events, the state and the shutdown, and provides `Requests`. A warm
 * shutdown ends the intake, gives back what has not begun, waits for what runs, and then closes the channel; a cold one
 * interrupts what runs.
 */
import { Connection } from "@apium/hub/Connection"
import { Host } from "@apium/hub/Host"
import { Hub } from "@apium/hub/Hub"
import type { HubError } from "@apium/hub/HubError"
import type { Queue } from "@apium/hub/Queue"
import { Serializers } from "@apium/hub/Serializer"
import type { Capabilities } from "@apium/hub/Transport"
import * as PythonRepr from "@apium/protocol/celery/PythonRepr"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import * as Publisher from "../client/Publisher.ts"
import * as TracedPublisher from "../client/TracedPublisher.ts"
import { ResultBackend } from "../client/ResultBackend.ts"
import * as Router from "../client/Router.ts"
import { EventDispatcher } from "../events/EventDispatcher.ts"
import * as Callbacks from "../execution/Callbacks.ts"
import * as Consumers from "../execution/Consumers.ts"
import * as Drain from "../execution/Drain.ts"
import * as Discard from "../execution/Discard.ts"
import * as Eta from "../execution/Eta.ts"
import { Failpoint, passing } from "../execution/Failpoint.ts"
import * as Intake from "../execution/Intake.ts"
import type { Middleware } from "../execution/Middleware.ts"
import * as Orphans from "../execution/Orphans.ts"
import { Pool } from "../execution/Pool.ts"
import * as RateLimit from "../execution/RateLimit.ts"
import * as Recount from "../execution/Recount.ts"
import * as Request from "../execution/Request.ts"
import * as Requests from "../execution/Requests.ts"
import * as Results from "../execution/Results.ts"
import * as Session from "../execution/Session.ts"
import * as Slots from "../execution/Slots.ts"
import * as Strategy from "../execution/Strategy.ts"
import * as Suspects from "../execution/Suspects.ts"
import * as Trace from "../execution/Trace.ts"
import * as Tuner from "../execution/Tuner.ts"
import type * as Window from "../execution/Window.ts"
import type { Profile } from "../Profile.ts"
import { Shutdown } from "../Shutdown.ts"
import type { Countdown } from "../task/Countdown.ts"
import * as Tracing from "../Tracing.ts"
import { Tasks } from "../task/Tasks.ts"
import { WorkerState } from "./State.ts"

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
  /** Queues that the worker sends to and does not consume, where they are not Celery's plain ones. */
  readonly otherQueues?: ReadonlyArray<Queue> | undefined
  /** Where what the worker sends goes by its name: callbacks, the next step of a chain; as of the client. */
  readonly routes?: Router.Options["routes"]
  readonly createMissingQueues?: Router.Options["createMissingQueues"]
  readonly publishRetry?: Publisher.Options["publishRetry"]
  /** The node name: `celery@host`. */
  readonly hostname: string
  readonly profile: Profile
}

export const layer = (
  options: Options
): Layer.Layer<
  Requests.Requests,
  HubError,
  Connection | ResultBackend | Tasks | Pool | EventDispatcher | Hub | Shutdown | WorkerState
> =>
  Layer.effect(
    Requests.Requests,
    Effect.gen(function* () {
      const wrong = misfit(options)
      if (wrong !== undefined) return yield* Effect.die(new RangeError(wrong))
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
      const backend = yield* ResultBackend
      const results = Results.make(backend, options.hostname)
      const router = Router.make({ ...options, queues: [...options.queues, ...(options.otherQueues ?? [])] })
      if (router.broken !== undefined) return yield* router.broken
      const publisher = TracedPublisher.make(
        Publisher.make(
          connection,
          { profile, middleware: options.publishMiddleware, publishRetry: options.publishRetry },
          yield* Publisher.writing
        ),
        connection.transport
      )
      const { revoked } = yield* WorkerState
      const totals: Requests.Totals = new Map()
      const timeLimits = new Map<string, Request.TimeLimits>()
      const failpoint = yield* Failpoint
      const callbacks = Callbacks.make({
        publisher,
        backend,
        tasks,
        results,
        clock,
        passing: passing(failpoint),
        hostname: options.hostname,
        router,
        publishRetry: options.publishRetry
      })
      const discard = Discard.make(results, callbacks, events)
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
        serializers: yield* Serializers,
        backend
      })
      const trace = Trace.make({
        pool,
        results,
        publisher,
        callbacks,
        middleware: options.middleware ?? [],
        deduplicateSuccessfulTasks: options.deduplicateSuccessfulTasks === true,
        failpoint,
        events,
        clock,
        node: { pid, hostname: options.hostname },
        timeLimits: (task) => timeLimits.get(task),
        tracer: yield* Effect.withFiber((fiber) => Effect.succeed(Tracing.tracerOf(fiber))),
        transport: connection.transport
      })
      const suspects = Suspects.make(yield* Random.Random)
      const recount = Recount.make({ connection, suspects, stopping: shutdown.reached("warm") })
      const begin = (request: Request.Request): Effect.Effect<void> => {
        const { name } = request.registered.task
        totals.set(name, (totals.get(name) ?? 0) + 1)
        // The window is smaller before the acknowledgement makes room in it.
        if (exact && !Request.acksLate(request)) {
          beginning = 1
          tuner.tune()
          beginning = 0
        }
        return trace.run(request)
      }
      const slots = yield* Slots.make({
        concurrency: Math.max(1, Math.min(options.concurrency, pool.size())),
        suspects,
        run: (request) =>
          recount.due(request)
            ? recount.instead(
                request,
                Effect.suspend(() => begin(request))
              )
            : recount.after(request, begin(request)),
        died: (request, cause) =>
          Effect.catchCause(trace.died(request, cause), (worse) =>
            Effect.andThen(
              Effect.logError("A task could not be concluded, and goes back to its queue", worse),
              Effect.ignore(request.delivery.reject({ requeue: true }))
            )
          ),
        ended: (request) => orphans.ended(request),
        changed: () => tuner.tune(),
        // Where it is still ours after all, it comes again.
        gone: ({ delivery, message: { headers } }) =>
          fork(
            Effect.andThen(
              Effect.logDebug("A task was not begun: others may have it by now", { id: headers.id }),
              Effect.ignore(delivery.release)
            )
          ),
        // The moment a shutdown is asked for, long before its session has heard of it.
        open: () => shutdown.level() === "running" || (profile.noAck && !Drain.isCold(shutdown.level()))
      })
      const admit = (request: Request.Request): void => {
        if (!rateLimit.holds(request)) slots.submit(request)
        const { rateLimit: rate, concurrency } = request.registered.task.options
        if (rate !== undefined || concurrency !== undefined) tuner.tune()
      }
      const rateLimit = RateLimit.make({ hub, clock, fork, due: slots.submit })
      const orphans = Orphans.make(slots, yield* Effect.scope, () => tuner.tune())
      const eta = yield* Eta.make({
        connection,
        hub,
        clock,
        keeper: keeperOf(connection.capabilities, profile),
        due: admit,
        changed: () => tuner.tune()
      })
      const exact = options.fetch === "exact"
      /** One that is about to be acknowledged before it runs. */
      let beginning = 0
      const early = (): number => {
        let count = beginning
        for (const request of slots.running().values()) if (!Request.acksLate(request)) count++
        return count
      }
      const etaLimit = options.etaTaskLimit ?? 50_000
      const tuner = Tuner.make({
        bounds: { fetch: options.fetch ?? "prefetch", multiplier: options.prefetchMultiplier ?? 4, etaLimit },
        noAck: profile.noAck,
        load: () => ({
          concurrency: slots.concurrency(),
          early: exact ? early() : 0,
          orphans: orphans.running(),
          held: eta.held(),
          limited: rateLimit.backlog() + slots.blocked()
        }),
        full: () => slots.backlog() + rateLimit.backlog() >= slots.concurrency() || eta.held() >= etaLimit,
        fork
      })
      const drained = Deferred.makeUnsafe<void, HubError>()

      const received = ({ message: { headers, args, kwargs } }: Request.Request): void => {
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

      // A worker whose queues the broker refuses is not started. (One that the broker is to name would get a name for nothing.)
      yield* connection.declare({ queues: options.queues.filter(({ name }) => name !== "") })

      const consumers = Consumers.make({
        connection,
        queues: options.queues,
        noAck: profile.noAck,
        describe: router.describe
      })
      const session = Session.run({
        connection,
        shutdown,
        consumers,
        noAck: profile.noAck,
        cancelLongRunningTasks: options.cancelLongRunningTasksOnConnectionLoss === true,
        tuner,
        intake,
        slots,
        orphans,
        eta,
        drain
      })
      yield* hub.run(
        "tasks",
        Effect.onExit(session, (exit) => Deferred.done(drained, exit))
      )
      const through = Effect.andThen(shutdown.request("warm"), Effect.ignore(Deferred.await(drained)))
      yield* Effect.addFinalizer(() => through)

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
        consumers,
        prefetch: tuner.size,
        resized: tuner.tune,
        drained: Deferred.await(drained)
      })
    })
  )

const keeperOf = ({ delay }: Capabilities, profile: Profile) =>
  profile.delay === "worker" ? "worker" : delay === "store" || delay === "lattice" ? "broker" : delay

/** As of an environment variable that is not set: such a worker would take tasks and never run one. */
const misfit = ({ concurrency, prefetchMultiplier = 4, etaTaskLimit = 0 }: Options): string | undefined => {
  if (Number.isNaN(concurrency)) return "A worker's concurrency should be how many tasks run at once, and is NaN"
  if (!(prefetchMultiplier >= 0)) {
    return `prefetchMultiplier should be how many deliveries a slot may hold (0: no bound), and is ${prefetchMultiplier}`
  }
  return etaTaskLimit >= 0 ? undefined : `etaTaskLimit should be how many tasks may be held, and is ${etaTaskLimit}`
}
