/**
 * The default pool: each handler is a fiber of this thread. Right for handlers that wait (network, disk, timers); a handler
 * that computes holds up all the others, and wants the thread pool.
 *
 * A fiber cannot be killed. One that has a hard limit and runs past it is interrupted and abandoned: its slot is free at
 * once, and what it goes on doing is done for nobody. Interrupted before (terminated, a cold shutdown), it has 5 s to end.
 * Without a hard limit a handler that cannot be interrupted keeps its slot for as long as it runs.
 */
import { Host } from "@apium/hub/Host"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { Outcome } from "../Outcome.ts"
import { type Job, Pool } from "../Pool.ts"

export const layer: Layer.Layer<Pool> = Layer.effect(
  Pool,
  Effect.map(Host, ({ pid }) => ({
    name: "fiber",
    size: () => Number.POSITIVE_INFINITY,
    run,
    kill: () => Effect.void,
    resize: () => Effect.void,
    // No `max-concurrency`: it is the worker's.
    stats: () => ({ implementation: "fiber", ...inThisProcess(pid) })
  }))
)

/** What a pool without children has to say to `inspect stats`. */
export const inThisProcess = (pid: number) => ({
  processes: [pid],
  "max-tasks-per-child": "N/A",
  "put-guarded-by-semaphore": false,
  timeouts: [0, 0]
})

/** How long a handler may take to end when its run is interrupted. */
const grace = "5 seconds"

export const run = (job: Job): Effect.Effect<Outcome> => {
  const [hard] = job.info.timeLimit
  // A fiber of its own costs 0.6 us, a tenth of what a task costs at all: for those that may have to be abandoned.
  return hard === null ? perform(job) : limited(job, hard)
}

const perform = ({ registered, call, info, updateState, sendEvent }: Job): Effect.Effect<Outcome> =>
  registered.perform(call, { ...info, parentId: Option.fromNullOr(info.parentId), updateState, sendEvent })

/** Runs the handler in a fiber that can be let go of. */
const limited = (job: Job, hard: number): Effect.Effect<Outcome> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(Effect.forkDetach(perform(job), { startImmediately: true }), (fiber) =>
      Effect.onInterrupt(
        restore(
          Effect.timeoutOrElse(Fiber.join(fiber), {
            duration: hard * 1000,
            orElse: () => {
              fiber.interruptUnsafe()
              return Effect.as(abandoned(job, "ran past its time limit"), {
                _tag: "TimedOut",
                timeLimit: hard
              } as const)
            }
          })
        ),
        () => interrupt(job, fiber)
      )
    )
  )

const interrupt = (job: Job, fiber: Fiber.Fiber<Outcome>): Effect.Effect<void> =>
  Effect.suspend(() => {
    fiber.interruptUnsafe()
    return Effect.timeoutOrElse(Effect.interruptible(Effect.asVoid(Fiber.await(fiber))), {
      duration: grace,
      orElse: () => abandoned(job, `was interrupted and did not end within ${grace}`)
    })
  })

const abandoned = ({ info: { id, name } }: Job, why: string): Effect.Effect<void> =>
  Effect.logError(`A task ${why}, and was abandoned`, { id, task: name })
