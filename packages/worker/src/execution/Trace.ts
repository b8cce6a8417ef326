/**
 * One execution from start to settled (celery/app/trace.py, in the order of WIRE 4.6.1): early acknowledgement, STARTED, the
 * handler, the result or the retry, late acknowledgement, the event. Whatever happens in between, the delivery is settled
 * exactly once, and a late acknowledgement is the last thing that leaves: a crash before it runs the task again.
 */
import type { Delivery } from "@apium/hub/Delivery"
import type { HubError } from "@apium/hub/HubError"
import type { Failure } from "@apium/protocol/celery/ResultMessage"
import * as PythonRepr from "@apium/protocol/celery/PythonRepr"
import type { KombuJson } from "@apium/protocol/kombu/Json"
import * as TaskMessage from "@apium/protocol/celery/TaskMessage"
import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Publisher } from "../client/Publisher.ts"
import type { EventDispatcher } from "../events/EventDispatcher.ts"
import * as TaskError from "../task/TaskError.ts"
import * as Expired from "./Expired.ts"
import type { Outcome } from "./Outcome.ts"
import type { Pool } from "./Pool.ts"
import * as Request from "./Request.ts"
import type { Results } from "./Results.ts"

export interface Trace {
  readonly run: (request: Request.Request) => Effect.Effect<void>
  /** For a run whose fiber died without a word: what is no Effect, deep inside of a handler, takes its finalizers along. */
  readonly died: (request: Request.Request, cause: Cause.Cause<never>) => Effect.Effect<void>
}

export const make = (dependencies: {
  readonly pool: Pool["Service"]
  readonly results: Results
  readonly publisher: Publisher
  readonly events: EventDispatcher["Service"]
  readonly clock: Clock.Clock
  readonly node: { readonly pid: number; readonly hostname: string }
}): Trace => {
  const { pool, results, publisher, events, clock, node } = dependencies

  /** A settle that comes too late changes nothing: the broker has the message back, and somebody will run it again. */
  const settle = (
    request: Request.Request,
    how: (delivery: Delivery) => Effect.Effect<void, HubError>
  ): Effect.Effect<void> =>
    // Not before its turn: until then the delivery may be replaced.
    Effect.catch(
      Effect.suspend(() => how(request.delivery)),
      (error) => Effect.logDebug("A delivery could not be settled", { reason: error.message })
    )

  const acknowledge = (request: Request.Request): Effect.Effect<void> =>
    settle(request, (delivery) => {
      request.acknowledged = true
      return delivery.ack
    })

  /** Who hears of the end of a task may ask for its result: the event comes last. */
  const report = (
    settled: Effect.Effect<void>,
    type: string,
    { message }: Request.Request,
    fields: () => Readonly<Record<string, KombuJson>>
  ): Effect.Effect<void> =>
    events.enabled()
      ? Effect.andThen(
          settled,
          Effect.sync(() => events.send(type, { uuid: message.headers.id, ...fields() }))
        )
      : settled

  const discard = Expired.make(results, events)

  const failureText = ({ excType, excMessage }: Failure): string => PythonRepr.exceptionRepr(excType, excMessage)

  /** The same task again: same id, one retry more, and as its own parent (WIRE 6, fact 15). */
  const sendAgain = ({ delivery, message: { headers, args, kwargs, embed } }: Request.Request, at: number) =>
    publisher.publish({
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

  const conclude = (request: Request.Request, outcome: Outcome, runtime: number): Effect.Effect<void> => {
    const of = Request.resultOf(request)
    const ack = Request.acksLate(request) ? acknowledge(request) : Effect.void
    switch (outcome._tag) {
      case "Success":
        return report(Effect.andThen(results.success(of, outcome.value), ack), "task-succeeded", request, () => ({
          result: PythonRepr.safeRepr(outcome.value),
          runtime
        }))
      case "Failure": {
        const { failure, traceback } = outcome
        return report(Effect.andThen(results.failure(of, failure, traceback), ack), "task-failed", request, () => ({
          exception: failureText(failure),
          traceback
        }))
      }
      case "Retry": {
        const { failure, traceback, at } = outcome
        // RETRY first: the next run may be over before this line is.
        return results.retry(of, failure, traceback).pipe(
          Effect.andThen(sendAgain(request, at)),
          Effect.matchEffect({
            onSuccess: () =>
              report(ack, "task-retried", request, () => ({ exception: failureText(failure), traceback })),
            onFailure: (error) => notSentAgain(request, outcome, error)
          })
        )
      }
      case "TimedOut":
        return conclude(
          request,
          { _tag: "Failure", failure: TaskError.timeLimitExceeded(outcome.timeLimit), traceback: null },
          runtime
        )
      case "Lost":
        return conclude(
          request,
          { _tag: "Failure", failure: TaskError.workerLost(outcome.text), traceback: null },
          runtime
        )
      case "Ignore":
        return ack
      case "Reject":
        return report(settle(request, reject(outcome.requeue)), "task-rejected", request, () => ({
          requeue: outcome.requeue
        }))
    }
  }

  /** Another run has to come from the message itself; where none can (it is gone, or refused for good) the task has failed. */
  const notSentAgain = (
    request: Request.Request,
    { failure, traceback }: Extract<Outcome, { readonly _tag: "Retry" }>,
    error: HubError
  ): Effect.Effect<void> => {
    const { message } = request
    const about = { id: message.headers.id, task: message.headers.task, reason: error.message }
    return error.recoverable && Request.acksLate(request)
      ? Effect.andThen(
          Effect.logWarning("A retry could not be sent; the message goes back to its queue", about),
          settle(request, reject(true))
        )
      : Effect.logError("A retry could not be sent, and the task has failed", about).pipe(
          Effect.andThen(results.failure(Request.resultOf(request), failure, traceback)),
          Effect.andThen(
            report(settle(request, reject(false)), "task-failed", request, () => ({
              exception: failureText(failure),
              traceback
            }))
          )
        )
  }

  const interrupted = (request: Request.Request): Effect.Effect<void> =>
    Request.acksLate(request)
      ? settle(request, reject(true))
      : Effect.logWarning("A task that was acknowledged early was interrupted, and is lost", {
          id: request.message.headers.id,
          task: request.message.headers.task
        })

  const run = (request: Request.Request): Effect.Effect<void> =>
    Effect.uninterruptibleMask((restore) => {
      const { registered, message } = request
      const { headers } = message
      if (request.expiresAt !== undefined && request.expiresAt <= clock.currentTimeMillisUnsafe()) {
        return settle(request, () => discard(request))
      }
      if (events.enabled()) events.send("task-started", { uuid: headers.id })
      const started = clock.monotonicTimeNanosUnsafe()
      const handled = Effect.flatMap(
        Effect.exit(
          restore(
            pool.run({
              registered,
              call: message,
              info: Request.info(request),
              updateState: (state, meta) => results.custom(headers, state, meta),
              sendEvent: (type, fields) =>
                Effect.sync(() => events.send(type, { uuid: headers.id, ...fields } as Record<string, KombuJson>))
            })
          )
        ),
        (exit) =>
          Exit.isSuccess(exit)
            ? conclude(request, exit.value, Number(clock.monotonicTimeNanosUnsafe() - started) / 1e9)
            : Cause.hasInterrupts(exit.cause)
              ? interrupted(request)
              : conclude(request, broken(exit.cause), 0)
      )
      const begun =
        registered.task.options.trackStarted === true
          ? Effect.andThen(results.started(Request.resultOf(request), node), handled)
          : handled
      return Request.acksLate(request) ? begun : Effect.andThen(acknowledge(request), begun)
    })

  return { run, died: (request, cause) => conclude(request, broken(cause), 0) }
}

const reject =
  (requeue: boolean) =>
  (delivery: Delivery): Effect.Effect<void, HubError> =>
    delivery.reject({ requeue })

/** A pool never fails; one that does would fail again for the same message, for ever. */
const broken = (cause: Cause.Cause<never>): Outcome => ({
  _tag: "Failure",
  failure: TaskError.toFailure(Cause.squash(cause)),
  traceback: TaskError.traceback(cause)
})
