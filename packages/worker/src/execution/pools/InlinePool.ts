/**
 * One handler at a time, in the worker's own thread (celery/concurrency/solo.py): for tasks that must not overlap, and for
 * looking at what a task does. It cannot grow, and it abandons what runs past its limit, as the fiber pool does.
 */
import { Host } from "@apium/hub/Host"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Semaphore from "effect/Semaphore"
import { Pool } from "../Pool.ts"
import * as FiberPool from "./FiberPool.ts"

export const layer: Layer.Layer<Pool> = Layer.effect(
  Pool,
  Effect.gen(function* () {
    const { pid } = yield* Host
    const turn = yield* Semaphore.make(1)
    return {
      name: "inline",
      size: () => 1,
      run: (job) => turn.withPermit(FiberPool.run(job)),
      kill: () => Effect.void,
      resize: () => Effect.void,
      stats: () => ({ implementation: "inline", "max-concurrency": 1, ...FiberPool.inThisProcess(pid) })
    }
  })
)
