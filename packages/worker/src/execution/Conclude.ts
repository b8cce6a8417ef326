/**
 * What follows from an outcome (celery/app/trace.py, celery/worker/request.py): what is sent, what is stored, how the message
 * is settled, which event tells of it. In this order, so that a crash in between loses nothing that was promised:
 *
 * ```text
 * success   callbacks ─▶ SUCCESS ─▶ ack ─▶ task-succeeded       a callback that cannot be sent: back to the queue, or FAILURE
 * failure   FAILURE ─▶ errbacks ─▶ ack ─▶ task-failed           who is called may ask for the failure
 * retry     RETRY ─▶ the message anew ─▶ ack ─▶ task-retried
 * revoked   REVOKED ─▶ ack ─▶ task-revoked                      no errbacks, as in Celery
 * requeued  nothing is stored ─▶ task-rejected                  it will run again; `maxDeliveries` ends such loops
 * ```
 *
 * How it is settled is the matrix's word alone (`Acknowledgement`).
 */
import type { HubError } from "@apium/hub/HubError"
import type { Failure, ResultTuple } from "@apium/protocol/celery/ResultMessage"
import * as ResultMessage from "@apium/protocol/celery/ResultMessage"
import * as PythonRepr from "@apium/protocol/celery/PythonRepr"
import type { Signature } from "@apium/protocol/celery/Signature"
import type { KombuJson } from "@apium/protocol/kombu/Json"
import * as TaskMessage from "@apium/protocol/celery/TaskMessage"
import * as TaskState from "@apium/protocol/celery/TaskState"
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

  /** A settle that comes too late changes nothing: the broker has the message back, and somebody will run it again. */
  const settle = (request: Request.Request, how: Settlement): Effect.Effect<void> =>
    how === "none"
      ? Effect.void
      : // Not before its turn: until then the delivery may be replaced.
        late(
          Effect.suspend(() => {
            if (how === "ack") {
              request.acknowledged = true
              return request.delivery.ack
            }
            request.rejected = how === "reject"
            return request.delivery.reject({ requeue: how === "requeue" })
          })
        )

  /** Who hears of the end of a task may ask for its result: the event comes last. */
  const end = (
    request: Request.Request,
    how: Settlement,
    type: string,
    fields: () => Readonly<Record<string, KombuJson>>
  ): Effect.Effect<void> => {
    const settled = passing("after-ack", request.message.headers.id, settle(request, how))
    return events.enabled()
      ? Effect.andThen(
          settled,
          Effect.sync(() => events.send(type, { uuid: request.message.headers.id, ...fields() }))
        )
      : settled
  }

  const rejected = (request: Request.Request, how: Settlement): Effect.Effect<void> =>
    end(request, how, "task-rejected", () => ({ requeue: how === "requeue" }))

  /** Back to its queue, to be run again: nothing is stored that says it is over. */
  const requeued = (request: Request.Request, why: string, reason: string): Effect.Effect<void> =>
    Effect.andThen(Effect.logWarning(why, { ...about(request), reason }), rejected(request, "requeue"))

  /** Counts it in its chord when its result is stored, before it is settled: after a crash in between it is counted again, which is once. */
  const counted = (
    request: Request.Request,
    state: TaskState.TaskState,
    result: KombuJson,
    how: Settlement,
    ended: Effect.Effect<void>
  ): Effect.Effect<void> =>
    Callbacks.onPart(request.message)
      ? Effect.matchEffect(callbacks.onPart(endedOf(request), state, result), {
          onSuccess: () => ended,
          onFailure: (error) =>
            error.recoverable && how === "ack"
              ? requeued(request, "A chord could not be counted; the message goes back to its queue", error.message)
              : Effect.andThen(
                  Effect.logError("A chord could not be counted", { ...about(request), reason: error.message }),
                  ended
                )
        })
      : ended

  const succeeded = (request: Request.Request, value: KombuJson, runtime: number): Effect.Effect<void> => {
    const stored = (children: ReadonlyArray<ResultTuple>): Effect.Effect<void> =>
      Effect.andThen(
        passing(
          "after-result-store",
          request.message.headers.id,
          results.success(Request.resultOf(request), value, children)
        ),
        counted(
          request,
          TaskState.SUCCESS,
          value,
          Request.settlement(request, "success"),
          end(request, Request.settlement(request, "success"), "task-succeeded", () => ({
            result: PythonRepr.safeRepr(value),
            runtime
          }))
        )
      )
    return Callbacks.onSuccess(request.message.embed)
      ? Effect.matchEffect(callbacks.onSuccess(endedOf(request), value), {
          onSuccess: (children) =>
            passing("after-callbacks", request.message.headers.id, Effect.succeed(children)).pipe(
              Effect.flatMap(stored)
            ),
          onFailure: (error) =>
            error.recoverable && Request.settlement(request, "success") === "ack"
              ? requeued(request, "A callback could not be sent; the message goes back to its queue", error.message)
              : Effect.andThen(
                  Effect.logError("A callback could not be sent, and the task has failed", {
                    ...about(request),
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
        ? Effect.matchEffect(callbacks.onFailure(endedOf(request), failure, traceback), {
            onSuccess: () => Effect.andThen(passing("after-callbacks", request.message.headers.id, Effect.void), ended),
            onFailure: (error) =>
              error.recoverable && how !== "none"
                ? requeued(request, "An errback could not be sent; the message goes back to its queue", error.message)
                : Effect.andThen(
                    Effect.logError("An errback could not be sent", { ...about(request), reason: error.message }),
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
        publisher.publish(sentAgain(request, at))
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
                  ...about(request),
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
    return Effect.matchEffect(callbacks.onReplace(endedOf(request), signature), {
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
    Effect.matchEffect(callbacks.onJoin(endedOf(request), join), {
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
        requeued(request, "A chord could not be joined; the message goes back to its queue", error.message)
    })

  const terminated = (request: Request.Request, signal: string): Effect.Effect<void> =>
    Effect.logWarning("A running task was terminated", { ...about(request), signal }).pipe(
      Effect.andThen(
        passing(
          "after-result-store",
          request.message.headers.id,
          results.revoked(Request.resultOf(request), "terminated")
        )
      ),
      Effect.andThen(
        counted(
          request,
          TaskState.REVOKED,
          ResultMessage.encodeFailure(TaskError.revoked("terminated")),
          Request.settlement(request, "revoked"),
          end(request, Request.settlement(request, "revoked"), "task-revoked", () => ({
            terminated: true,
            signum: signum(signal),
            expired: false
          }))
        )
      )
    )

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
      ? Effect.logWarning("A task that was acknowledged early was interrupted, and is lost", about(request))
      : settle(request, how)
  }

  return { conclude, interrupted, terminated, settle }
}

const endedOf = ({ delivery, message: { embed, headers } }: Request.Request): Callbacks.Ended => ({
  embed,
  headers,
  replyTo: delivery.message.properties.replyTo
})

const noChildren: ReadonlyArray<ResultTuple> = []

/** What a log says of a task. */
export const about = ({ message: { headers } }: Request.Request) => ({ id: headers.id, task: headers.task })

export const late = (settling: Effect.Effect<void, HubError>): Effect.Effect<void> =>
  Effect.catch(settling, (error) => Effect.logDebug("A delivery could not be settled", { reason: error.message }))

/** The same task again: same id, one retry more, and as its own parent (WIRE 6, fact 15). */
const sentAgain = (
  { delivery, message: { headers, args, kwargs, embed } }: Request.Request,
  at: number
): Parameters<Publisher["publish"]>[0] => ({
  task: {
    headers: {
      ...headers,
      retries: headers.retries + 1,
      eta: TaskMessage.formatEta(at),
      parentId: headers.id,
      extra: TaskMessage.republishable(headers.extra)
    },
    args,
    kwargs,
    embed
  },
  // The queue is there, for it was consumed; what it was declared with need not be known (a broker may have named it).
  to: { exchange: "", routingKey: delivery.queue },
  priority: delivery.message.properties.priority ?? 0,
  replyTo: delivery.message.properties.replyTo,
  notBefore: at,
  serializer: delivery.message.properties.contentType
})
