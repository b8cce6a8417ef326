/**
 * What a worker gets from Node, Bun or Deno: the machine it runs on, and threads.
 *
 * ```ts
 * const Main = Worker.layer({
 *   queues: [Queue.make("celery")],
 *   concurrency: 4,
 *   pool: layerThreadPool({ module: new URL("./handlers.ts", import.meta.url), size: 4 })
 * }).pipe(Layer.provide([Handlers, layerHost]))
 * ```
 *
 * @module
 */
import type * as Duration from "effect/Duration"
import * as Layer from "effect/Layer"
import type { WorkerError } from "effect/workers/WorkerError"
import * as os from "node:os"
import { pathToFileURL } from "node:url"
import * as Threads from "node:worker_threads"
import type { Pool } from "./execution/Pool.ts"
import * as ThreadPool from "./execution/pools/ThreadPool.ts"
import type { ThreadData } from "./node/thread.ts"
import * as workerThreads from "./node/workerThreads.ts"

export { layerHost } from "./node/host.ts"

export interface ThreadPoolOptions {
  /** Its default export is the layer of handlers, complete but for `Tasks`. A URL, or a path. */
  readonly module: URL | string
  /** How many threads; default as many as the machine runs at once. */
  readonly size?: number | undefined
  /**
   * Flags for the threads, on Node; left out, they have those of the process. Bun and Deno give a thread the flags of its
   * process whatever this says.
   */
  readonly execArgv?: ReadonlyArray<string> | undefined
  /** The most memory a thread may use before it dies, and its task with it. On Node alone: Bun and Deno have no such limit. */
  readonly resourceLimits?: Threads.ResourceLimits | undefined
  /** How long a thread may take to end an interrupted task before it is terminated. Default 5 s. */
  readonly grace?: Duration.Input | undefined
  /** How long a thread may take to load the module and build its layer. Default 1 minute. */
  readonly startTimeout?: Duration.Input | undefined
}

/**
 * Deno ends a thread that exceeds its limits without an event, and its task would hang: better none there. Bun ignores them.
 */
const limited = !("Deno" in globalThis)

/** The same code runs from source and from dist. */
const entry = new URL(`./node/thread.${import.meta.url.endsWith(".ts") ? "ts" : "js"}`, import.meta.url)

const urlOf = (module: URL | string): string => {
  if (typeof module !== "string") return module.href
  return /^[a-z]{2,}:/i.test(module) ? module : pathToFileURL(module).href
}

/**
 * Handlers in worker threads. The worker that uses it registers the same tasks, for their names and options; it is in the
 * threads that their handlers run, with the services and loggers of their own layer: nothing of the program around the pool
 * gets there. A module that cannot be loaded fails the layer with the reason.
 */
export const layerThreadPool = (options: ThreadPoolOptions): Layer.Layer<Pool, WorkerError> => {
  const workerData: ThreadData = { module: urlOf(options.module) }
  const { execArgv, resourceLimits } = options
  const flags = execArgv === undefined ? {} : { execArgv: [...execArgv] }
  const limits = resourceLimits === undefined || !limited ? {} : { resourceLimits }
  const spawn = () => new Threads.Worker(entry, { workerData, ...flags, ...limits })
  return ThreadPool.layer({ ...options, size: options.size ?? os.availableParallelism() }).pipe(
    Layer.provide(workerThreads.layer(spawn))
  )
}
