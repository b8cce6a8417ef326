/**
 * What a thread of `layerThreadPool` runs: the handlers of the module it is given, under `ThreadRunner`. It is an entry point,
 * loaded by its URL and by nothing else.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { workerData } from "node:worker_threads"
import * as ThreadRunner from "../execution/pools/ThreadRunner.ts"
import type { Tasks } from "../task/Tasks.ts"
import * as workerThreads from "./workerThreads.ts"

/** From the pool: where the handlers are. */
export interface ThreadData {
  readonly module: string
}

const { module } = workerData as ThreadData

const isHandlers = (value: unknown): value is Layer.Layer<never, unknown, Tasks> => Layer.isLayer(value)

/** A module that cannot be loaded is a defect, with the stack of its own: the pool's error shows it. */
const handlers = Layer.unwrap(
  Effect.gen(function* () {
    const loaded = yield* Effect.promise(() => import(module) as Promise<{ readonly default?: unknown }>)
    return isHandlers(loaded.default)
      ? loaded.default
      : yield* Effect.die(new TypeError(`The default export of ${module} is not a layer of handlers`))
  })
)

Effect.runFork(Effect.provide(ThreadRunner.run(handlers), workerThreads.layerRunner))
