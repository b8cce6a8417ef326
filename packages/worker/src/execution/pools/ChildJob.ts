/** A job of `ChildPool` on its way: it waits, is in a child, and has one outcome, the first. */
import * as Deferred from "effect/Deferred"
import * as Exit from "effect/Exit"
import type { Failure } from "@apium/protocol/celery/ResultMessage"
import * as TaskError from "../../task/TaskError.ts"
import type { Outcome } from "../Outcome.ts"
import type { Job } from "../Pool.ts"
import * as Protocol from "./ChildProtocol.ts"

export interface ChildJob {
  readonly id: number
  readonly job: Job
  readonly work: string
  readonly outcome: Deferred.Deferred<Outcome>
  /** Done when there is an outcome, or when nobody wants one any more. */
  readonly turn: Deferred.Deferred<void>
  /** Its child has to die, whatever outcome it has: the handler may still run there. */
  killed: boolean
}

/** Throws `JsonError`. */
export const make = (id: number, job: Job): ChildJob => ({
  id,
  job,
  work: Protocol.encodeWork(job),
  outcome: Deferred.makeUnsafe(),
  turn: Deferred.makeUnsafe(),
  killed: false
})

export const end = (job: ChildJob, outcome: Outcome): void => {
  Deferred.doneUnsafe(job.outcome, Exit.succeed(outcome))
  Deferred.doneUnsafe(job.turn, Exit.void)
}

export const hasEnded = (job: ChildJob): boolean => Deferred.isDoneUnsafe(job.outcome)

export const failed = (failure: Failure): Outcome => ({ _tag: "Failure", failure, traceback: null })

export const lost = (text: string): Outcome => ({ _tag: "Lost", text })

/** When its child is killed for its sake, in seconds, and what becomes of it then. */
export interface Limit {
  readonly seconds: number
  readonly outcome: Outcome
  readonly text: string
}

/**
 * The hard limit, or a soft one that the child does not obey: it interrupts the handler there, and one that computes does not
 * notice. `grace` is in seconds.
 */
export const limitOf = ({ job }: ChildJob, grace: number): Limit | undefined => {
  const [hard, soft] = job.info.timeLimit
  if (hard !== null && (soft === null || hard <= soft + grace)) {
    const text = `ran a task past its time limit of ${hard} s`
    return { seconds: hard, outcome: { _tag: "TimedOut", timeLimit: hard }, text }
  }
  if (soft === null) return undefined
  const failure = TaskError.toFailure(new TaskError.SoftTimeLimitExceeded({ softTimeLimit: soft }))
  const text = `did not end a task within ${grace} s of its soft time limit of ${soft} s`
  return { seconds: soft + grace, outcome: failed(failure), text }
}
