/**
 * What follows from an outcome (celery/app/trace.py, celery/worker/request.py): what is sent, what is stored, how the message
 * is settled, which event tells of it. In this order, so that a crash in between loses nothing that was promised:
 *
 * ```text
 * success   callbacks ─▶ SUCCESS ─▶ ack ─▶ task-succeeded       a callback that cannot be sent: back to the queue, or FAILURE
 * failure   FAILURE ─▶ errbacks ─▶ ack ─▶ task-failed           who is called may ask for the failure
 * retry     RETRY ─▶ the message anew ─▶ ack ─▶ task-retried
 * revoked   REVOKED ─▶ its chord ─▶ ack ─▶ task-revoked         no errbacks, as in Celery
 * requeued  nothing is stored ─▶ task-rejected                  it will run again; `maxDeliveries` ends such loops
 * ```
 *
 * How it is settled is the matrix's word alone (`Acknowledgement`).
 */
import type { HubError } from "@apium/hub/HubError"
import type { Failure, ResultTuple } from "@apium/protocol/celery/ResultMessage"
import * as PythonRepr from "@apium/protocol/celery/PythonRepr"
import type { Signature } from "@apium/protocol/celery/Signature"
import type { KombuJson } from "@apium/protocol/kombu/Json"
import * as Effect from "effect/Effect"
import type { Publisher } from "../client/Publisher.ts"
import type { EventDispatcher } from "../events/EventDispatcher.ts"
import * as TaskError from "../task/TaskError.ts"
import type { Ending, Settlement } from "./Acknowledgement.ts"
import * as Callbacks from "./Callbacks.ts"
import type { Passing } from "./Failpoint.ts"
import type { Join, Outcome } from "./Outcome.ts"
import * as Request from "./Request.ts"
import type { Results } from "./Results.ts"
import type { CallbackNotSent } from "./Sending.ts"
import * as Settling from "./Settling.ts"
import { signum } from "./Signum.ts"

export interface Conclude {
  /** `runtime`: seconds. */
  readonly conclude: (request: Request.Request, outcome: Outcome, runtime: number) => Effect.Effect<void>
  /** The run was interrupted: by a worker that stops, or because it is terminated. */
  readonly interrupted: (request: Request.Request) => Effect.Effect<void>
  readonly terminated: (request: Request.Request, signal: string) => Effect.Effect<void>
  readonly settle: (request: Request.Request, how: Settlement) => Effect.Effect<void>
}

export const make = (dependencies: {
  readonly results: Results
  readonly publisher: Publisher
  readonly callbacks: Callbacks.Callbacks
  readonly events: EventDispatcher["Service"]
  readonly passing: Passing
}): Conclude => {
  const { results, publisher, callbacks, events, passing } = dependencies

  const { end, rejected, requeued, settle } = Settling.make(events, passing)

  /** Counts it in its chord when its result is stored, before it is settled: after a crash in between it is counted again, which is once. */
  const counted = (
    request: Request.Request,
    counting: Effect.Effect<void, CallbackNotSent>,
    how: Settlement,
    ended: Effect.Effect<void>
  ): Effect.Effect<void> =>
    Effect.matchEffect(counting, {
      onSuccess: () => Effect.andThen(passing("after-chord", request.message.headers.id, Effect.void), ended),
      onFailure: (error) =>
        error.recoverable && how === "ack"
          ? requeued(request, "A chord could not be counted; the message goes back to its queue", error.message)
          : Effect.andThen(
              Effect.logError("A chord could not be counted", { ...Settling.about(request), reason: error.message }),
              ended
            )
    })

  const succeeded = (request: Request.Request, value: KombuJson, runtime: number): Effect.Effect<void> => {
    const how = Request.settlement(request, "success")
    const ended = end(request, how, "task-succeeded", () => ({ result: PythonRepr.safeRepr(value), runtime }))
    const stored = (children: ReadonlyArray<ResultTuple>): Effect.Effect<void> => {
      const success = results.success(Request.resultOf(request), value, children)
      const after = Callbacks.onPart(request.message)
        ? counted(request, callbacks.onPart(Callbacks.endedOf(request), value), how, ended)
        : ended
      // Nothing to wait for where nobody wants the result.
      return Effect.flatMapEager(passing("after-result-store", request.message.headers.id, success), () => after)
    }
    return Callbacks.onSuccess(request.message.embed)
      ? Effect.matchEffect(callbacks.onSuccess(Callbacks.endedOf(request), value), {
          onSuccess: (children) =>
            passing("after-callbacks", request.message.headers.id, Effect.succeed(children)).pipe(
              Effect.flatMap(stored)
            ),
          onFailure: (error) =>
            error.recoverable && how === "ack"
              ? requeued(request, "A callback could not be sent; the message goes back to its queue", error.message)
              : Effect.andThen(
                  Effect.logError("A callback could not be sent, and the task has failed", {
                    ...Settling.about(request),
                    reason: error.message
                  }),
                  failed(request, "failure", TaskError.toFailure(error), null)
                )
        })
      : stored(noChildren)
  }

  const failed = (
    request: Request.Request,
    ending: Ending,
    failure: Failure,
    traceback: string | null
  ): Effect.Effect<void> => {
    const { message } = request
    const how = Request.settlement(request, ending)
    const text = PythonRepr.exceptionRepr(failure.excType, failure.excMessage)
    if (how === "requeue") return requeued(request, "A task came to no end, and goes back to its queue", text)
    const ended = end(request, how, "task-failed", () => ({ exception: text, traceback }))
    const stored = passing(
      "after-result-store",
      request.message.headers.id,
      results.failure(Request.resultOf(request), failure, traceback)
    )
    return Effect.andThen(
      stored,
      Callbacks.onFailure(message.embed)
        ? Effect.matchEffect(callbacks.onFailure(Callbacks.endedOf(request), failure, traceback), {
            onSuccess: () => Effect.andThen(passing("after-callbacks", request.message.headers.id, Effect.void), ended),
            onFailure: (error) =>
              error.recoverable && how !== "none"
                ? requeued(request, "An errback could not be sent; the message goes back to its queue", error.message)
                : Effect.andThen(
                    Effect.logError("An errback could not be sent", {
                      ...Settling.about(request),
                      reason: error.message
                    }),
                    ended
                  )
          })
        : ended
    )
  }

  /** RETRY first: the next run may be over before this line is. */
  const again = (request: Request.Request, outcome: Extract<Outcome, { readonly _tag: "Retry" }>) => {
    const { failure, traceback, at } = outcome
    const stored = results.retry(Request.resultOf(request), failure, traceback)
    return Effect.matchEffect(
      Effect.andThen(
        passing("after-result-store", request.message.headers.id, stored),
        publisher.publish(Request.again(request, at))
      ),
      {
        onSuccess: () =>
          Effect.andThen(
            passing("after-callbacks", request.message.headers.id, Effect.void),
            end(request, Request.settlement(request, "retry"), "task-retried", () => ({
              exception: PythonRepr.exceptionRepr(failure.excType, failure.excMessage),
              traceback
            }))
          ),
        // Another run has to come from the message itself; where none can (it is gone, or refused for good) the task has failed.
        onFailure: (error: HubError) =>
          (error.recoverable || error.transient) && Request.settlement(request, "retry") === "ack"
            ? requeued(request, "A retry could not be sent; the message goes back to its queue", error.message)
            : Effect.andThen(
                Effect.logError("A retry could not be sent, and the task has failed", {
                  ...Settling.about(request),
                  reason: error.message
                }),
                failed(request, "reject", failure, traceback)
              )
      }
    )
  }

  /** What takes its place is sent, and its result is what that gives: nothing is stored here. */
  const replaced = (request: Request.Request, signature: Signature): Effect.Effect<void> => {
    const how = Request.settlement(request, "ignore")
    return Effect.matchEffect(callbacks.onReplace(Callbacks.endedOf(request), signature), {
      onSuccess: () =>
        passing(
          "after-callbacks",
          request.message.headers.id,
          passing("after-ack", request.message.headers.id, settle(request, how))
        ),
      onFailure: (error) =>
        error.recoverable && how === "ack"
          ? requeued(
              request,
              "What replaces a task could not be sent; the message goes back to its queue",
              error.message
            )
          : failed(request, "failure", TaskError.toFailure(error), null)
    })
  }

  /** Looks whether all of a chord has ended; if not, again a little later. */
  const joined = (request: Request.Request, join: Join): Effect.Effect<void> =>
    Effect.matchEffect(callbacks.onJoin(Callbacks.endedOf(request), join), {
      onSuccess: (done) =>
        done
          ? succeeded(request, null, 0)
          : join.maxRetries !== null && request.message.headers.retries >= join.maxRetries
            ? failed(
                request,
                "failure",
                TaskError.maxRetriesExceeded(request.message.headers.task, request.message.headers.id),
                null
              )
            : Effect.clockWith((clock) =>
                again(request, {
                  _tag: "Retry",
                  at: clock.currentTimeMillisUnsafe() + join.interval * 1000,
                  failure: TaskError.toFailure(new TaskError.RetryRequested({})),
                  traceback: null
                })
              ),
      onFailure: (error) =>
        error.recoverable && Request.settlement(request, "ignore") === "ack"
          ? requeued(request, "A chord could not be joined; the message goes back to its queue", error.message)
          : failed(request, "failure", TaskError.toFailure(error), null)
    })

  const terminated = (request: Request.Request, signal: string): Effect.Effect<void> => {
    const how = Request.settlement(request, "revoked")
    const ended = end(request, how, "task-revoked", () => ({
      terminated: true,
      signum: signum(signal),
      expired: false
    }))
    return Effect.logWarning("A running task was terminated", { ...Settling.about(request), signal }).pipe(
      Effect.andThen(
        passing(
          "after-result-store",
          request.message.headers.id,
          results.revoked(Request.resultOf(request), "terminated")
        )
      ),
      Effect.andThen(
        Callbacks.onFailure(request.message.embed)
          ? counted(
              request,
              callbacks.onRevoked(Callbacks.endedOf(request), TaskError.revoked("terminated")),
              how,
              ended
            )
          : ended
      )
    )
  }

  const conclude = (request: Request.Request, outcome: Outcome, runtime: number): Effect.Effect<void> => {
    if (request.terminated !== undefined) return terminated(request, request.terminated.signal)
    switch (outcome._tag) {
      case "Success":
        return succeeded(request, outcome.value, runtime)
      case "Failure":
        return failed(request, "failure", outcome.failure, outcome.traceback)
      case "Retry":
        return again(request, outcome)
      case "TimedOut":
        return failed(request, "timedOut", TaskError.timeLimitExceeded(outcome.timeLimit), null)
      case "Lost":
        return failed(request, "lost", TaskError.workerLost(outcome.text), null)
      case "Ignore":
        return passing("after-ack", request.message.headers.id, settle(request, Request.settlement(request, "ignore")))
      case "Replace":
        return replaced(request, outcome.signature)
      case "Join":
        return joined(request, outcome.join)
      case "Reject":
        return rejected(request, Request.settlement(request, outcome.requeue ? "rejectAndRequeue" : "reject"))
    }
  }

  const interrupted = (request: Request.Request): Effect.Effect<void> => {
    if (request.terminated !== undefined) return terminated(request, request.terminated.signal)
    const how = Request.settlement(request, "interrupted")
    return how === "none"
      ? Effect.logWarning("A task that was acknowledged early was interrupted, and is lost", Settling.about(request))
      : settle(request, how)
  }

  return { conclude, interrupted, terminated, settle }
}

const noChildren: ReadonlyArray<ResultTuple> = []
