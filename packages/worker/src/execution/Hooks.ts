/**
 * A handler's companions (`before_start`, `on_success`, `on_failure`, `on_retry` and `after_return` of celery/app/task.py).
 * They run where the handler runs, with its services, each in a scope of its own. One that fails is logged and changes
 * nothing.
 *
 * Celery calls `on_success` after the result is stored. Here all of them come before: the result is stored by the worker,
 * which may be in another thread, and a hook that came after would cost every task a second way there and back. For what
 * has to see the stored result there are callbacks (`link`).
 */
import type { Failure } from "@apium/protocol/celery/ResultMessage"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type { TaskContext } from "../task/TaskContext.ts"
import type { Outcome } from "./Outcome.ts"

export interface Hooks<Payload, A, R> {
  /** Before the handler, with its arguments decoded. */
  readonly before?: ((payload: Payload) => Effect.Effect<void, unknown, R>) | undefined
  /** The handler's result fits the task's definition. */
  readonly onSuccess?: ((value: A, payload: Payload) => Effect.Effect<void, unknown, R>) | undefined
  /** `failure` is what will be stored; `cause` is what it was made of: the handler's error or defect, or what does not fit the definition. */
  readonly onFailure?: ((failure: Failure, cause: Cause.Cause<unknown>) => Effect.Effect<void, unknown, R>) | undefined
  /** It will run again. */
  readonly onRetry?: ((failure: Failure, cause: Cause.Cause<unknown>) => Effect.Effect<void, unknown, R>) | undefined
  /** Last, after a success or a failure; as in Celery not after a retry, nor when the task asked to be ignored or rejected. */
  readonly after?: ((outcome: Ended) => Effect.Effect<void, unknown, R>) | undefined
}

type Names = keyof Hooks<unknown, unknown, unknown>

/** What the hooks of a handler need; nothing for one that only throws. */
export type Services<H> = {
  [K in keyof H & Names]: NonNullable<H[K]> extends (...args: never) => infer Run ? Effect.Services<Run> : never
}[keyof H & Names]

export type Ended = Extract<Outcome, { readonly _tag: "Success" | "Failure" }>

/** The hooks of one handler, as `Perform` calls them. */
export interface Hooked<Payload, A> {
  readonly before: (payload: Payload, request: TaskContext["Service"]) => Effect.Effect<void>
  readonly onSuccess: (value: A, payload: Payload, request: TaskContext["Service"]) => Effect.Effect<void>
  /** `cause`: nothing for a success. */
  readonly ended: (
    outcome: Outcome,
    cause: Cause.Cause<unknown> | undefined,
    request: TaskContext["Service"]
  ) => Effect.Effect<Outcome>
}

/** `given` provides a hook with what its handler has. */
export const make = <Payload, A, R>(
  hooks: Hooks<Payload, A, R>,
  given: <B, E>(effect: Effect.Effect<B, E, R>, request: TaskContext["Service"]) => Effect.Effect<B, E>
): Hooked<Payload, A> => {
  const run = (
    name: keyof Hooks<Payload, A, R>,
    request: TaskContext["Service"],
    hook: (() => Effect.Effect<void, unknown, R>) | undefined
  ): Effect.Effect<void> =>
    hook === undefined
      ? Effect.void
      : Effect.catchCause(
          Effect.suspend(() => given(hook(), request)),
          (cause) =>
            Cause.hasInterrupts(cause)
              ? Effect.failCause(cause as Cause.Cause<never>)
              : Effect.logWarning(`The ${name} hook of a task failed`, { id: request.id, task: request.name }, cause)
        )

  const { before, onSuccess, onFailure, onRetry, after } = hooks
  return {
    before: (payload, request) => run("before", request, before && (() => before(payload))),
    onSuccess: (value, payload, request) => run("onSuccess", request, onSuccess && (() => onSuccess(value, payload))),
    ended: (outcome, cause = Cause.empty, request) => {
      switch (outcome._tag) {
        case "Success":
          return Effect.as(run("after", request, after && (() => after(outcome))), outcome)
        case "Failure":
          return run("onFailure", request, onFailure && (() => onFailure(outcome.failure, cause))).pipe(
            Effect.andThen(run("after", request, after && (() => after(outcome)))),
            Effect.as(outcome)
          )
        case "Retry":
          return Effect.as(run("onRetry", request, onRetry && (() => onRetry(outcome.failure, cause))), outcome)
        default:
          return Effect.succeed(outcome)
      }
    }
  }
}
