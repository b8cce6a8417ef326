/**
 * What goes around every run of a worker, whatever pool it runs in: tracing, log annotations, limits of one's own. It is on
 * the worker's side, and sees the call as it is on the wire.
 *
 * ```ts
 * const traced: Middleware = ({ info }, next) => Effect.withSpan(next, info.name, { attributes: { id: info.id } })
 * ```
 */
import * as Effect from "effect/Effect"
import type { RequestInfo } from "../task/TaskContext.ts"
import type { Outcome } from "./Outcome.ts"
import type { Call } from "./Perform.ts"
import type { Job, Pool } from "./Pool.ts"

/** `next` runs the handler and never fails. One that does not run it decides about the outcome alone; one that dies fails the task. */
export type Middleware = (
  request: Call & { readonly info: RequestInfo },
  next: Effect.Effect<Outcome>
) => Effect.Effect<Outcome>

/** The first is the outermost. Without any it is the pool's own `run`. */
export const around = (
  run: Pool["Service"]["run"],
  middleware: ReadonlyArray<Middleware>
): ((job: Job) => Effect.Effect<Outcome>) =>
  middleware.length === 0
    ? run
    : (job) =>
        Effect.suspend(() => {
          const { call, info } = job
          const request = { info, args: call.args, kwargs: call.kwargs }
          return middleware.reduceRight((next, layer) => layer(request, next), run(job))
        })
