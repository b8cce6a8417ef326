/**
 * What a thread of `layerThreadPool` runs: the handlers of the module it is given, under `ChildRunner`. It is an entry point,
 * loaded by its URL and by nothing else, and one of a bundle, too.
 */
import * as Effect from "effect/Effect"
import { threadId, workerData } from "node:worker_threads"
import * as ChildRunner from "../execution/pools/ChildRunner.ts"
import * as handlers from "./handlers.ts"
import * as workerThreads from "./workerThreads.ts"

/** From the pool: where the handlers are. */
export interface ThreadData {
  readonly module: string
}

const data = workerData as ThreadData | null
if (data === null)
  throw new TypeError("@apium/worker/node/thread is for layerThreadPool to start, and not to be imported")

const self: ChildRunner.Self = { place: "thread", id: threadId, resident: () => 0 }

Effect.runFork(Effect.provide(ChildRunner.run(self, handlers.load(data.module)), workerThreads.layerRunner))
