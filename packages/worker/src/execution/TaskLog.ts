/**
 * A line for what becomes of each run, as Celery's worker has it (celery/app/trace.py `info`): `Worker.layer({ middleware: [TaskLog.middleware] })`,
 * and what `apium worker` prints. Without it a worker says nothing of a task that fails: the failure is its caller's. Neither arguments nor
 * results are in it: they are the user's, and may be secrets; the message of a failure and its traceback are.
 */
import type { Failure } from "@apium/protocol/celery/ResultMessage"
import * as PythonRepr from "@apium/protocol/celery/PythonRepr"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { Middleware } from "./Middleware.ts"
import type { Outcome } from "./Outcome.ts"

const exception = ({ excMessage, excType }: Failure): string =>
  PythonRepr.exceptionRepr(excType, excMessage.slice(0, 1))

const ended = (task: string, outcome: Outcome, now: number, runtime: string): Effect.Effect<void> => {
  switch (outcome._tag) {
    case "Success":
      return Effect.logInfo(`Task ${task} succeeded in ${runtime}`)
    case "Failure":
      return Effect.logError(
        `Task ${task} raised ${exception(outcome.failure)} in ${runtime}${outcome.traceback === null ? "" : `:\n${outcome.traceback}`}`
      )
    case "Retry":
      return Effect.logInfo(
        `Task ${task} retry: Retry in ${Math.max(0, (outcome.at - now) / 1000)}s: ${exception(outcome.failure)}`
      )
    case "Ignore":
      return Effect.logInfo(`Task ${task} ignored`)
    case "Reject":
      return Effect.logInfo(`Task ${task} rejected: ${outcome.reason}`)
    case "TimedOut":
      return Effect.logError(`Hard time limit (${outcome.timeLimit}s) exceeded for ${task}`)
    case "Lost":
      return Effect.logError(`Task ${task} lost: ${outcome.text}`)
    case "Replace":
      return Effect.logInfo(`Task ${task} replaced by ${outcome.signature.task}`)
    case "Join":
      return Effect.logDebug(`Task ${task} waits for the ${outcome.join.results.length} tasks of a chord`)
  }
}

/** One of `middleware`, of `Worker.layer`. What succeeds or is tried again is INFO, what failed is ERROR. */
export const middleware: Middleware = ({ info }, next) =>
  Effect.gen(function* () {
    const task = `${info.name}[${info.id}]`
    const started = yield* Clock.currentTimeMillis
    yield* Effect.logInfo(`Task ${task} started`)
    const outcome = yield* next
    const now = yield* Clock.currentTimeMillis
    yield* ended(task, outcome, now, `${(now - started) / 1000}s`)
    return outcome
  })
