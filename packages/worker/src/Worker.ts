/**
 * A worker: a blueprint of steps, each a layer, started in the order of what they need and stopped in reverse
 * (celery/worker/worker.py, celery/bootsteps.py). It runs for as long as its scope is open; closing it is a warm shutdown.
 *
 * ```ts
 * const Main = Worker.layer({ queues: [Queue.make("celery")], concurrency: 10 }).pipe(
 *   Layer.provide([AddLive]),
 *   Layer.provide(Tasks.layer)
 * )
 * ```
 *
 * ```text
 * Shutdown
 * Clock
 * Timer
 * Pool
 * Connection
 * Events      <- Connection, Clock
 * State       <- Clock
 * Tasks       <- Shutdown, Timer, Pool, Connection, Events, State
 * Heart       <- Events, Tasks
 * Autoscale   <- Tasks, Timer
 * Control     <- Clock, Connection, Events, Tasks, Autoscale
 * Mingle      <- Clock, Connection, Tasks, Control
 * ```
 */
import type { Connection } from "@apium/hub/Connection"
import { Host } from "@apium/hub/Host"
import { Hub } from "@apium/hub/Hub"
import type { HubError } from "@apium/hub/HubError"
import type { Queue } from "@apium/hub/Queue"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Blueprint from "./Blueprint.ts"
import type { ResultBackend } from "./client/ResultBackend.ts"
import * as Router from "./client/Router.ts"
import * as LogicalClock from "./events/LogicalClock.ts"
import type { Pool } from "./execution/Pool.ts"
import * as FiberPool from "./execution/pools/FiberPool.ts"
import { Requests } from "./execution/Requests.ts"
import * as Profile from "./Profile.ts"
import * as Shutdown from "./Shutdown.ts"
import * as AutoscaleStep from "./steps/Autoscale.ts"
import * as ConnectionStep from "./steps/Connection.ts"
import * as ControlStep from "./steps/Control.ts"
import * as EventsStep from "./steps/Events.ts"
import * as HeartStep from "./steps/Heart.ts"
import * as MingleStep from "./steps/Mingle.ts"
import * as StateStep from "./steps/State.ts"
import * as TasksStep from "./steps/Tasks.ts"
import type { Tasks } from "./task/Tasks.ts"

export interface Options<E = never, R = never>
  extends Partial<Omit<TasksStep.Options, "hostname" | "queues">>, Shutdown.Options {
  /** Declared and consumed. */
  readonly queues: ReadonlyArray<Queue>
  /** How many tasks run at once. */
  readonly concurrency: number
  /** Consume a queue of its own as well, for what is sent to this worker alone (Celery's `worker_direct`, `Queue.workerDirect`). Default `false`. */
  readonly direct?: boolean | undefined
  /** The node name; default `celery@<hostname>`. */
  readonly name?: string | undefined
  /** Where handlers run; default `FiberPool.layer`. */
  readonly pool?: Layer.Layer<Pool, E, R> | undefined
  /** Send task events (Celery's `-E`); default `false`. Heartbeats are sent always. */
  readonly events?: boolean | undefined
  /** Between two heartbeats. Default 2 s. */
  readonly heartbeatInterval?: Duration.Input | undefined
  /** What remote control's exchanges and queues are named after (Celery's `control_exchange`). Default `celery`. */
  readonly controlNamespace?: string | undefined
  /**
   * Learn from other workers, on each link, what was revoked, and tell them. Default: where there can be others (RabbitMQ, Redis), as
   * Celery without `--without-mingle`. Nothing waits for it.
   */
  readonly mingle?: boolean | undefined
  /**
   * What `inspect conf` shows beside the options, by Celery's names: `{ broker_url: "amqp://..." }`. Passwords are covered before
   * anybody sees them. Nothing else reads it.
   */
  readonly conf?: Readonly<Record<string, unknown>> | undefined
  /** Grow and shrink between these; `concurrency` is what it starts with. */
  readonly autoscale?: AutoscaleStep.Options | undefined
}

export class Worker extends Context.Service<
  Worker,
  {
    /** `celery@host`. */
    readonly nodename: string
    readonly shutdown: Shutdown.Shutdown["Service"]
    /**
     * Waits until somebody has asked for a shutdown (remote control, a signal), and it is through. Fails when the connection
     * has ended for good (refused credentials, say): no link comes after that, and the worker shuts down by itself.
     */
    readonly stopped: Effect.Effect<void, HubError>
  }
>()("@apium/worker/Worker") {}

/** The node name of a worker that is not told its own. */
const nodename = (name: string | undefined): Effect.Effect<string> =>
  Effect.map(Host, ({ hostname }) => name ?? `celery@${hostname}`)

const named = <A, E, R>(name: string | undefined, make: (hostname: string) => Layer.Layer<A, E, R>) =>
  Layer.unwrap(Effect.map(nodename(name), make))

/** The steps, for who wants others: see `Blueprint`. */
export const blueprint = <E = never, R = never>(options: Options<E, R>) => {
  const { name, autoscale } = options
  const consumed = (nodename: string) => Router.consumed(options.queues, { ...options, nodename })
  const pool: Layer.Layer<Pool, E, R> = options.pool ?? FiberPool.layer
  return Blueprint.make({
    Shutdown: { layer: Shutdown.layer(options) },
    Clock: { layer: Layer.fresh(LogicalClock.LogicalClock.layer) },
    Timer: { layer: Layer.fresh(Hub.layer) },
    Pool: { layer: pool },
    Connection: { layer: ConnectionStep.layer },
    Events: {
      requires: ["Connection", "Clock"],
      layer: named(name, (hostname) => EventsStep.layer({ hostname, events: options.events === true }))
    },
    State: { requires: ["Clock"], layer: Layer.fresh(StateStep.layer) },
    Tasks: {
      requires: ["Shutdown", "Timer", "Pool", "Connection", "Events", "State"],
      layer: named(name, (hostname) =>
        TasksStep.layer({
          ...options,
          queues: consumed(hostname),
          hostname,
          profile: options.profile ?? Profile.durable
        })
      )
    },
    Heart: { requires: ["Events", "Tasks"], layer: HeartStep.layer({ interval: options.heartbeatInterval }) },
    Autoscale: {
      requires: ["Tasks", "Timer"],
      layer: autoscale === undefined ? Layer.empty : AutoscaleStep.layer(autoscale)
    },
    Control: {
      requires: ["Clock", "Connection", "Events", "Tasks", "Autoscale"],
      layer: named(name, (hostname) =>
        ControlStep.layer({
          hostname,
          queues: [...consumed(hostname), ...(options.otherQueues ?? [])],
          namespace: options.controlNamespace,
          settings: options
        })
      )
    },
    Mingle: {
      requires: ["Clock", "Connection", "Tasks", "Control"],
      layer: named(name, (hostname) =>
        MingleStep.layer({ hostname, namespace: options.controlNamespace, mingle: options.mingle })
      )
    }
  })
}

/** A worker of these steps. While it drains, all of them are still there. */
export const layerOf = <S extends Blueprint.Steps>(
  steps: Blueprint.Blueprint<S>,
  options: Pick<Options, "name"> = {}
): Layer.Layer<Worker, Blueprint.Failures<S> | Blueprint.BlueprintError, Blueprint.Needed<S>> =>
  Layer.effect(
    Worker,
    Effect.gen(function* () {
      const started = (yield* Blueprint.start(steps)) as Context.Context<never>
      const shutdown = Option.getOrElse(Context.getOption(started, Shutdown.Shutdown), () => Shutdown.make({}))
      const drained = Option.match(Context.getOption(started, Requests), {
        onNone: (): Effect.Effect<void, HubError> => Effect.void,
        onSome: (requests) => requests.drained
      })
      // The last to be added is the first to run: nothing is closed before the work is through.
      yield* Effect.addFinalizer(() => Effect.andThen(shutdown.request("warm"), Effect.ignore(drained)))
      return {
        nodename: yield* nodename(options.name),
        shutdown,
        stopped: Effect.andThen(shutdown.reached("warm"), drained)
      }
    })
  ) as Layer.Layer<Worker, Blueprint.Failures<S> | Blueprint.BlueprintError, Blueprint.Needed<S>>

export const layer = <E = never, R = never>(
  options: Options<E, R>
): Layer.Layer<Worker, E | HubError, Connection | ResultBackend | Tasks | R> =>
  // The blueprint is ours, and has an order.
  Layer.catchTag(
    layerOf(blueprint(options), options) as Layer.Layer<Worker, Failed<E>, Given<R>>,
    "BlueprintError",
    (error) => Layer.effect(Worker, Effect.die(error))
  ) as Layer.Layer<Worker, E | HubError, Given<R>>

type Given<R> = Connection | ResultBackend | Tasks | R

type Failed<E> = E | HubError | Blueprint.BlueprintError
