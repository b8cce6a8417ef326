/**
 * A worker: a blueprint of steps, each a layer, started in the order of what they need and stopped in reverse
 * (celery/bootsteps.py). It runs for as long as its scope is open; closing it is a warm shutdown.
 *
 * ```ts
 * const Main = Worker.layer({ queues: [Queue.make("celery")], concurrency: 10 }).pipe(
 *   Layer.provide([AddLive]),
 *   Layer.provide(Tasks.layer)
 * )
 * ```
 */
import type { Connection } from "@apium/hub/Connection"
import { Host } from "@apium/hub/Host"
import { Hub } from "@apium/hub/Hub"
import type { HubError } from "@apium/hub/HubError"
import type { Queue } from "@apium/hub/Queue"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { ResultBackend } from "./client/ResultBackend.ts"
import * as EventDispatcher from "./events/EventDispatcher.ts"
import type { Pool } from "./execution/Pool.ts"
import * as FiberPool from "./execution/pools/FiberPool.ts"
import * as TasksStep from "./steps/Tasks.ts"
import type { Tasks } from "./task/Tasks.ts"

export interface Options<E = never, R = never> {
  /** Declared and consumed. */
  readonly queues: ReadonlyArray<Queue>
  /** How many tasks run at once. */
  readonly concurrency: number
  /** The node name; default `celery@<hostname>`. */
  readonly name?: string | undefined
  /** Where handlers run; default `FiberPool.layer`. */
  readonly pool?: Layer.Layer<Pool, E, R> | undefined
  /** Send task events (Celery's `-E`); default `false`. */
  readonly events?: boolean | undefined
  /** Deliveries held per slot and queue; default 4. */
  readonly prefetchMultiplier?: number | undefined
}

export const layer = <E = never, R = never>(
  options: Options<E, R>
): Layer.Layer<never, E | HubError, Connection | ResultBackend | Tasks | R> =>
  Layer.unwrap(
    Effect.map(Host, (host) => {
      const hostname = options.name ?? `celery@${host.hostname}`
      const events = options.events === true ? EventDispatcher.layer({ hostname }) : EventDispatcher.disabled
      const pool: Layer.Layer<Pool, E, R> = options.pool ?? FiberPool.layer
      return TasksStep.layer({ ...options, hostname }).pipe(Layer.provide([pool, events, Hub.layer]))
    })
  )
