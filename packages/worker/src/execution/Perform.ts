/**
 * One run of a handler, from the arguments on the wire to an outcome that is plain data: bind, decode, handle, encode, and
 * decide about a retry, with the handler's hooks in between. It never fails; being interrupted is all that can happen to it.
 */
import type { HubError } from "@apium/hub/HubError"
import type { Failure } from "@apium/protocol/celery/ResultMessage"
import * as IsoTime from "@apium/protocol/kombu/IsoTime"
import * as Json from "@apium/protocol/kombu/Json"
import type { KombuJson } from "@apium/protocol/kombu/Json"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type * as Option from "effect/Option"
import * as References from "effect/References"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import * as Binding from "../task/Binding.ts"
import * as PythonError from "../task/PythonError.ts"
import * as Retry from "../task/Retry.ts"
import type { PayloadOf, Task } from "../task/Task.ts"
import { TaskContext } from "../task/TaskContext.ts"
import * as TaskError from "../task/TaskError.ts"
import * as Hooks from "./Hooks.ts"
import type { Outcome } from "./Outcome.ts"

/** Arguments as the message has them. */
export interface Call {
  readonly args: ReadonlyArray<KombuJson>
  readonly kwargs: Readonly<Record<string, KombuJson>>
}

export type Perform = (call: Call, request: TaskContext["Service"]) => Effect.Effect<Outcome>

/** Arguments or a result that do not fit the task's definition: no retry can mend that. */
class Misfit {
  readonly failure: Failure
  constructor(failure: Failure) {
    this.failure = failure
  }
}

/** A definition may admit what no message can carry; stored too late, the failure would be nobody's. */
const carried = (name: string, encoded: KombuJson | undefined): Effect.Effect<KombuJson, Misfit> => {
  // Python's None.
  if (encoded === undefined) return Effect.succeed(null)
  if (encoded === null || typeof encoded === "number" || typeof encoded === "string" || typeof encoded === "boolean") {
    return Effect.succeed(encoded)
  }
  try {
    Json.stringify(encoded)
    return Effect.succeed(encoded)
  } catch (error) {
    const { message } = error as Json.JsonError
    return Effect.fail(
      new Misfit(TaskError.encodeError(`${name}() gave a result that no message can carry: ${message}`))
    )
  }
}

const failed = (failure: Failure, traceback: string | null = null): Outcome => ({ _tag: "Failure", failure, traceback })

/** A time no message can carry (an invalid Date, an infinite countdown) cannot be waited for. */
const again = (at: number, failure: Failure, traceback: string | null): Outcome =>
  IsoTime.representable(at)
    ? { _tag: "Retry", at, failure, traceback }
    : failed(TaskError.valueError(`A task cannot be retried at ${at}: that is no time`), traceback)

const softly = <A, E, R>(running: Effect.Effect<A, E, R>, softTimeLimit: number) =>
  Effect.timeoutOrElse(running, {
    duration: softTimeLimit * 1000,
    orElse: () => Effect.fail(new TaskError.SoftTimeLimitExceeded({ softTimeLimit }))
  })

/** What every run brings along: the request, and a scope that ends with it. */
export type Given = TaskContext | Scope.Scope

/** What a middleware may have put around the run, and its handler goes on with. */
const surroundings = [Tracer.ParentSpan, References.CurrentLogAnnotations, References.CurrentLogSpans] as const

/**
 * The handler's context replaces the fiber's: merging the two would copy both for every task. What is to survive is looked
 * up in a map that the fiber has at hand.
 */
const surrounded = <R>(context: Context.Context<R>, fiber: Fiber.Fiber<unknown, unknown>): Context.Context<R> => {
  const around = fiber.context.mapUnsafe
  let merged: Context.Context<R> = context
  for (const key of surroundings) {
    const value: unknown = around.get(key.key)
    if (value !== undefined && value !== context.mapUnsafe.get(key.key)) {
      merged = Context.add(merged, key as Context.Key<never, unknown>, value)
    }
  }
  return merged
}

/** `context` holds what the handler and its hooks need besides. */
export const make = <N extends string, P extends Binding.Params, A, E, R>(
  task: Task<N, P, A, E>,
  run: (payload: PayloadOf<P>) => Effect.Effect<A, E | TaskError.Steering | HubError | Schema.SchemaError, R>,
  context: Context.Context<Exclude<R, Given>>,
  hooks?: Hooks.Hooks<PayloadOf<P>, A, R>
): Perform => {
  const signature = Binding.signature(task.name, task.params)
  const decodePayload = Schema.decodeUnknownEffect(Schema.Struct(task.params))
  const encodeResult = Schema.encodeUnknownEffect(task.result)
  const encodeError = task.error === undefined ? undefined : Schema.encodeUnknownEffect(task.error)

  const bind = ({ args, kwargs }: Call): unknown =>
    task.binding === "raw" ? { args, kwargs } : Binding.bindUnsafe(signature, args, kwargs)

  const decode = (bound: unknown): Effect.Effect<PayloadOf<P>, Misfit> =>
    Effect.mapErrorEager(
      decodePayload(bound) as Effect.Effect<PayloadOf<P>, Schema.SchemaError>,
      (refused) =>
        new Misfit(TaskError.typeError(`${signature.name}() was given arguments it does not take: ${refused.message}`))
    )

  const encode = (value: A): Effect.Effect<KombuJson, Misfit> =>
    Effect.flatMapEager(
      Effect.mapErrorEager(
        encodeResult(value) as Effect.Effect<KombuJson, Schema.SchemaError>,
        (refused) =>
          new Misfit(
            TaskError.typeError(`${signature.name}() gave a result that its definition refuses: ${refused.message}`)
          )
      ),
      (encoded) => carried(signature.name, encoded)
    )

  /** The fields of a declared error; nothing for any other. */
  const fieldsOf = (error: unknown): Effect.Effect<Option.Option<KombuJson>> =>
    encodeError === undefined
      ? Effect.succeedNone
      : Effect.option(encodeError(error) as Effect.Effect<KombuJson, Schema.SchemaError>)

  const python = task.error === undefined ? undefined : PythonError.classes(task.error)

  const toFailure = (error: unknown): Effect.Effect<Failure> =>
    Effect.map(fieldsOf(error), (fields) => TaskError.toFailure(error, fields, python?.(error)))

  const delay = (retries: number): Effect.Effect<Duration.Duration> =>
    task.options.retry === undefined
      ? Effect.succeed(Duration.fromInputUnsafe(TaskError.defaultRetryDelay))
      : task.options.retry.delay(retries)

  const onRequested = Effect.fnUntraced(function* (
    requested: TaskError.RetryRequested,
    { id, retries }: TaskContext["Service"],
    trace: string
  ) {
    const max = requested.maxRetries ?? task.options.retry?.maxRetries ?? TaskError.defaultMaxRetries
    const failure = yield* toFailure(requested.cause ?? requested)
    if (max !== "forever" && retries >= max) {
      return failed(requested.cause === undefined ? TaskError.maxRetriesExceeded(task.name, id) : failure, trace)
    }
    if (requested.eta !== undefined) return again(requested.eta.getTime(), failure, trace)
    const countdown = requested.countdown ?? (yield* delay(retries))
    return again((yield* Clock.currentTimeMillis) + Duration.toMillis(countdown), failure, trace)
  })

  const onFailure = Effect.fnUntraced(function* (error: unknown, { retries }: TaskContext["Service"], trace: string) {
    const failure = yield* toFailure(error)
    const policy = task.options.retry
    if (policy === undefined || !Retry.allows(policy, retries, error)) return failed(failure, trace)
    return again((yield* Clock.currentTimeMillis) + Duration.toMillis(yield* policy.delay(retries)), failure, trace)
  })

  const onCause = (
    cause: Cause.Cause<
      E | TaskError.Steering | TaskError.SoftTimeLimitExceeded | HubError | Schema.SchemaError | Misfit
    >,
    request: TaskContext["Service"]
  ): Effect.Effect<Outcome> => {
    const error = Cause.squash(cause)
    if (error instanceof Misfit) return Effect.succeed(failed(error.failure))
    if (error instanceof TaskError.Ignore) return Effect.succeed({ _tag: "Ignore" })
    if (error instanceof TaskError.Reject) {
      return Effect.succeed({ _tag: "Reject", requeue: error.requeue, reason: error.message })
    }
    if (error instanceof TaskError.ReplaceRequested) {
      return Effect.succeed({ _tag: "Replace", signature: error.signature })
    }
    const trace = TaskError.traceback(cause)
    return Effect.catchDefect(
      error instanceof TaskError.RetryRequested ? onRequested(error, request, trace) : onFailure(error, request, trace),
      // The policy is the user's code, too.
      (defect) => Effect.succeed(failed(TaskError.toFailure(defect), trace))
    )
  }

  /** With the handler's services, the request, and a scope that ends with it. */
  const within = <B, E2>(
    fiber: Fiber.Fiber<unknown, unknown>,
    effect: Effect.Effect<B, E2, R>,
    request: TaskContext["Service"]
  ): Effect.Effect<B, E2> => {
    const scope = Scope.makeUnsafe()
    const own = Context.add(Context.add(surrounded(context, fiber), TaskContext, request), Scope.Scope, scope)
    return Effect.onExit(Effect.setContext(effect, own as unknown as Context.Context<R>), (exit) =>
      Scope.close(scope, exit)
    )
  }

  const given = <B, E2>(effect: Effect.Effect<B, E2, R>, request: TaskContext["Service"]): Effect.Effect<B, E2> =>
    Effect.withFiber((fiber) => within(fiber, effect, request))

  const hooked = hooks === undefined ? undefined : Hooks.make(hooks, given)

  const handle = (payload: PayloadOf<P>, request: TaskContext["Service"]) =>
    Effect.withFiber((fiber) => {
      const running = run(payload)
      // An async function, from JavaScript: what is no effect would end the fiber without a finalizer, and settle nothing.
      if (!Effect.isEffect(running)) {
        return Effect.die(new TypeError(`The handler of ${task.name} gave no Effect: is it an async function?`))
      }
      const [, soft] = request.timeLimit
      return within(fiber, soft === null ? running : softly(running, soft), request)
    })

  const handleHooked = (
    hooked: Hooks.Hooked<PayloadOf<P>, A>,
    payload: PayloadOf<P>,
    request: TaskContext["Service"]
  ) =>
    hooked.before(payload, request).pipe(
      Effect.andThen(handle(payload, request)),
      Effect.flatMap((value) => Effect.tap(encode(value), hooked.onSuccess(value, payload, request)))
    )

  return (call, request) =>
    Effect.suspend(() => {
      let bound: unknown
      try {
        bound = bind(call)
      } catch (error) {
        const outcome = failed(TaskError.typeError((error as Binding.BindingError).message))
        return hooked === undefined ? Effect.succeed(outcome) : hooked.ended(outcome, Cause.fail(error), request)
      }
      const performed = Effect.flatMapEager(decode(bound), (payload) =>
        hooked === undefined ? Effect.flatMap(handle(payload, request), encode) : handleHooked(hooked, payload, request)
      )
      return Effect.matchCauseEffect(performed, {
        onSuccess: (value): Effect.Effect<Outcome> => {
          const outcome: Outcome = { _tag: "Success", value }
          return hooked === undefined ? Effect.succeed(outcome) : hooked.ended(outcome, undefined, request)
        },
        onFailure: (cause) =>
          hooked === undefined
            ? onCause(cause, request)
            : Effect.flatMap(onCause(cause, request), (outcome) => hooked.ended(outcome, cause, request))
      })
    })
}
