/**
 * One execution from start to settled (celery/app/trace.py, in the order of WIRE 4.6.1): early acknowledgement, STARTED, the
 * handler, the result or the retry, late acknowledgement, the event. Whatever happens in between, the delivery is settled
 * exactly once, and a late acknowledgement is the last thing that leaves: a crash before it runs the task again.
 */
import type { HubError } from "@apium/hub/HubError"
import type { Failure } from "@apium/protocol/celery/ResultMessage"
import * as PythonRepr from "@apium/protocol/celery/PythonRepr"
import type { KombuJson } from "@apium/protocol/kombu/Json"
import * as TaskMessage from "@apium/protocol/celery/TaskMessage"
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Publisher } from "../client/Publisher.ts"
import type { EventDispatcher } from "../events/EventDispatcher.ts"
import type { Outcome } from "./Outcome.ts"
import type { Pool } from "./Pool.ts"
import * as Request from "./Request.ts"
import type { Results } from "./Results.ts"

export type Trace = (request: Request.Request) => Effect.Effect<void>

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
  const settle = (work: Effect.Effect<void, HubError>): Effect.Effect<void> =>
    Effect.catch(work, (error) => Effect.logDebug("A delivery could not be settled", { reason: error.message }))

  const emit = (
    type: string,
    { message }: Request.Request,
    fields: () => Readonly<Record<string, KombuJson>>
  ): void => {
    if (events.enabled()) events.send(type, { uuid: message.headers.id, ...fields() })
  }

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
      to: { queue: delivery.queue },
      priority: delivery.message.properties.priority ?? 0,
      replyTo: delivery.message.properties.replyTo,
      notBefore: at,
      serializer: delivery.message.properties.contentType
    })

  const conclude = (request: Request.Request, outcome: Outcome, runtime: number): Effect.Effect<void> => {
    const { delivery, message } = request
    const of = Request.ignoresResult(request) ? { ...message.headers, ignoreResult: true } : message.headers
    const ack = Request.acksLate(request) ? settle(delivery.ack) : Effect.void
    switch (outcome._tag) {
      case "Success":
        emit("task-succeeded", request, () => ({ result: PythonRepr.safeRepr(outcome.value), runtime }))
        return Effect.andThen(results.success(of, outcome.value), ack)
      case "Failure": {
        const { failure, traceback } = outcome
        emit("task-failed", request, () => ({ exception: failureText(failure), traceback }))
        return Effect.andThen(results.failure(of, failure, traceback), ack)
      }
      case "Retry": {
        const { failure, traceback, at } = outcome
        emit("task-retried", request, () => ({ exception: failureText(failure), traceback }))
        // RETRY first: the next run may be over before this line is.
        return results.retry(of, failure, traceback).pipe(
          Effect.andThen(sendAgain(request, at)),
          Effect.matchEffect({
            onSuccess: () => ack,
            onFailure: (error) =>
              Effect.andThen(
                Effect.logWarning("A retry could not be sent; the message goes back to its queue", {
                  id: message.headers.id,
                  reason: error.message
                }),
                settle(delivery.reject({ requeue: true }))
              )
          })
        )
      }
      case "Ignore":
        return ack
      case "Reject":
        emit("task-rejected", request, () => ({ requeue: outcome.requeue }))
        return settle(delivery.reject({ requeue: outcome.requeue }))
    }
  }

  const interrupted = (request: Request.Request): Effect.Effect<void> =>
    Request.acksLate(request)
      ? settle(request.delivery.reject({ requeue: true }))
      : Effect.logWarning("A task that was acknowledged early was interrupted, and is lost", {
          id: request.message.headers.id,
          task: request.message.headers.task
        })

  return (request) =>
    Effect.uninterruptibleMask((restore) => {
      const { registered, message } = request
      const { headers } = message
      emit("task-started", request, () => ({}))
      const started = clock.monotonicTimeNanosUnsafe()
      const run = Effect.flatMap(
        Effect.exit(
          restore(
            pool.run({
              registered,
              call: message,
              info: Request.info(request),
              updateState: (state, meta) => results.custom(headers, state, meta)
            })
          )
        ),
        (exit) =>
          Exit.isSuccess(exit)
            ? conclude(request, exit.value, Number(clock.monotonicTimeNanosUnsafe() - started) / 1e9)
            : interrupted(request)
      )
      const begun =
        registered.task.options.trackStarted === true ? Effect.andThen(results.started(headers, node), run) : run
      return Request.acksLate(request) ? begun : Effect.andThen(settle(request.delivery.ack), begun)
    })
}
