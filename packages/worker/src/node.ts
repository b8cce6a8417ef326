/**
 * What a worker gets from Node, Bun or Deno: the machine it runs on, and children for its handlers.
 *
 * ```ts
 * const Main = Worker.layer({
 *   queues: [Queue.make("celery")],
 *   concurrency: 4,
 *   pool: layerProcessPool({ module: new URL("./handlers.ts", import.meta.url), size: 4 })
 * }).pipe(Layer.provide([Handlers, layerHost]))
 * ```
 *
 * | a child that    | as a thread                                           | as a process           |
 * | --------------- | ----------------------------------------------------- | ---------------------- |
 * | starts, in Node | takes 0.2 s and 35 MB                                 | takes 0.3 s and 65 MB  |
 * | in Bun, Deno    | takes 0.1 s and 13 or 26 MB                           | takes 0.1 s and 20-40  |
 * | calls `exit`    | ends alone                                            | ends alone             |
 * | eats memory     | ends alone with `resourceLimits`, on Node; else all   | ends alone             |
 * | crashes         | ends all with it, when the crash is not JavaScript's  | ends alone             |
 *
 * @module
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { WorkerError } from "effect/workers/WorkerError"
import { fork } from "node:child_process"
import { existsSync } from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import * as Threads from "node:worker_threads"
import type { Pool } from "./execution/Pool.ts"
import * as ChildPool from "./execution/pools/ChildPool.ts"
import * as childProcesses from "./node/childProcesses.ts"
import * as guard from "./node/guard.ts"
import type { ThreadData } from "./node/thread.ts"
import * as workerThreads from "./node/workerThreads.ts"

export { InvalidPoolOption } from "./execution/pools/ChildPool.ts"
export { layerHost } from "./node/host.ts"
export { launch, run } from "./node/launch.ts"
export { layerMessages } from "./node/messages.ts"
export { layerStateDb } from "./node/stateDb.ts"

/** What both pools want to know. */
interface PoolOptions extends Omit<ChildPool.Options, "size" | "maxMemoryPerChild"> {
  /** Its default export is the layer of handlers, complete but for `Tasks`. A URL, or a path. */
  readonly module: URL | string
  /** How many children; default as many as the machine runs at once. */
  readonly size?: number | undefined
}

export interface ThreadPoolOptions extends PoolOptions {
  /**
   * Flags for the threads, on Node; left out, they have those of the process. Bun and Deno give a thread the flags of its
   * process whatever this says.
   */
  readonly execArgv?: ReadonlyArray<string> | undefined
  /**
   * The most memory a thread may use before it dies, and its task with it. On Node alone: Bun ignores it, and a thread of
   * Deno dies without a word, so that there it fails the layer. A process pool limits memory everywhere.
   */
  readonly resourceLimits?: Threads.ResourceLimits | undefined
}

export interface ProcessPoolOptions extends PoolOptions, Pick<ChildPool.Options, "maxMemoryPerChild"> {
  /**
   * Flags for the processes; left out, they have those of this one. A hard limit of memory is one of them, on Node and Deno
   * (`--max-old-space-size=512`, in MiB): a process that reaches it dies, and its task with it, where `maxMemoryPerChild`
   * lets the task end first.
   */
  readonly execArgv?: ReadonlyArray<string> | undefined
}

const runtime = "Deno" in globalThis ? "Deno" : "Bun" in globalThis ? "Bun" : "Node"

/**
 * What a child runs. The same code runs from source, from dist and from a bundle, which keeps this module wherever it likes:
 * there the child's program has to be an entry point of its own.
 */
const entry = (name: "thread" | "process"): URL => {
  const { pathname } = new URL(import.meta.url)
  const url = new URL(`./node/${name}${path.posix.extname(pathname)}`, import.meta.url)
  if (url.protocol === "file:" && !existsSync(url)) {
    const what = `@apium/worker/node/${name} is one more entry point of a bundle (docs/deploy.md)`
    throw new Error(`there is no ${fileURLToPath(url)}: ${what}`)
  }
  return url
}

const urlOf = (module: URL | string): string => {
  if (typeof module !== "string") return module.href
  return /^[a-z]{2,}:/i.test(module) ? module : pathToFileURL(module).href
}

const sized = <O extends PoolOptions>(options: O) => ({ ...options, size: options.size ?? os.availableParallelism() })

/**
 * Handlers in worker threads. The worker that uses it registers the same tasks, for their names and options; it is in the
 * threads that their handlers run, with the services and loggers of their own layer: nothing of the program around the pool
 * gets there. A module that cannot be loaded fails the layer with the reason.
 */
export const layerThreadPool = (
  options: ThreadPoolOptions
): Layer.Layer<Pool, ChildPool.InvalidPoolOption | WorkerError> => {
  const { execArgv, resourceLimits } = options
  if (resourceLimits !== undefined && runtime !== "Node") {
    const text = `cannot be kept by ${runtime}: leave it out, or use layerProcessPool and its maxMemoryPerChild`
    return Layer.unwrap(Effect.fail(new ChildPool.InvalidPoolOption({ option: "resourceLimits", text })))
  }
  const workerData: ThreadData = { module: urlOf(options.module) }
  const flags = execArgv === undefined ? {} : { execArgv: [...execArgv] }
  const limits = resourceLimits === undefined ? {} : { resourceLimits }
  const spawn = () => new Threads.Worker(entry("thread"), { workerData, ...flags, ...limits })
  return ChildPool.layer("thread", sized(options)).pipe(Layer.provide(workerThreads.layer(spawn)))
}

/**
 * Handlers in processes of their own (Celery's prefork), as `layerThreadPool` has them in threads: for what may crash, leak or
 * be killed. A process writes to this one's stdout and stderr, is in a session of its own, lets Ctrl-C and SIGTERM pass, and
 * ends when this one ends, however that came.
 */
export const layerProcessPool = (
  options: ProcessPoolOptions
): Layer.Layer<Pool, ChildPool.InvalidPoolOption | WorkerError> =>
  Layer.unwrap(
    Effect.map(guard.make, (watch) => {
      const module = urlOf(options.module)
      const flags = options.execArgv === undefined ? {} : { execArgv: [...options.execArgv] }
      const spawn = () => {
        const child = fork(entry("process"), [module], {
          stdio: ["ignore", "inherit", "inherit", "ipc"],
          detached: true,
          ...flags
        })
        watch(child)
        return child
      }
      return ChildPool.layer("process", sized(options)).pipe(Layer.provide(childProcesses.layer(spawn)))
    })
  )
