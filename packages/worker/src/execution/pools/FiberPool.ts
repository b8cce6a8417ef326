/**
 * The default pool: each handler is a fiber of this thread. Right for handlers that wait (network, disk, timers); a handler
 * that computes holds up all the others, and wants the thread pool.
 *
 * A fiber cannot be killed. One that runs past its hard limit is interrupted and abandoned: its slot is free at once, and
 * what it goes on doing is done for nobody.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { Outcome } from "../Outcome.ts"
import { type Job, Pool } from "../Pool.ts"

export const layer: Layer.Layer<Pool> = Layer.succeed(Pool, {
  name: "fiber",
  size: () => Number.POSITIVE_INFINITY,
  run: (job) => limited(job, perform(job)),
  kill: () => Effect.void,
  resize: () => Effect.void,
  stats: () => ({ implementation: "fiber" })
})

/** Runs the handler in the present fiber. */
export const perform = ({ registered, call, info, updateState, sendEvent }: Job): Effect.Effect<Outcome> =>
  registered.perform(call, { ...info, parentId: Option.fromNullOr(info.parentId), updateState, sendEvent })

/** With its hard limit, if it has one. */
export const limited = ({ info }: Job, performed: Effect.Effect<Outcome>): Effect.Effect<Outcome> => {
  const [hard] = info.timeLimit
  return hard === null
    ? performed
    : Effect.flatMap(Effect.forkDetach(performed), (fiber) =>
        Effect.onInterrupt(
          Effect.timeoutOrElse(Fiber.join(fiber), {
            duration: hard * 1000,
            orElse: () => {
              fiber.interruptUnsafe()
              return Effect.as(
                Effect.logError("A task ran past its time limit, and was abandoned", { id: info.id, task: info.name }),
                { _tag: "TimedOut", timeLimit: hard } as const
              )
            }
          }),
          () => Fiber.interrupt(fiber)
        )
      )
}
