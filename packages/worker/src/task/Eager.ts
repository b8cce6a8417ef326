/**
 * Eager application (`apply()` of celery/app/task.py): a task is run here and now, by its handler of the registry, without a
 * broker, a worker or a result backend. Its arguments travel as they would on the wire (encoded, JSON, bound, decoded), and so
 * does its result. `Task.apply` is this module's.
 *
 * ```ts
 * const result = yield* Task.apply(add, { x: 2, y: 3 })
 * result.state // "SUCCESS"
 * yield* result.get // 5
 * ```
 *
 * A retry is run at once, whatever its delay, up to the policy's maximum. Callbacks need a worker.
 */
import type { Arguments } from "@apium/hub/Exchange"
import { EncodeFailed, HubError } from "@apium/hub/HubError"
import * as Serializer from "@apium/hub/Serializer"
import type { Failure } from "@apium/protocol/celery/ResultMessage"
import * as ResultMessage from "@apium/protocol/celery/ResultMessage"
import * as TaskMessage from "@apium/protocol/celery/TaskMessage"
import * as TaskState from "@apium/protocol/celery/TaskState"
import * as IsoTime from "@apium/protocol/kombu/IsoTime"
import type { KombuJson } from "@apium/protocol/kombu/Json"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type { SchemaError } from "effect/Schema"
import * as AsyncResult from "../client/AsyncResult.ts"
import { encoder } from "../client/Client.ts"
import type { Outcome } from "../execution/Outcome.ts"
import type { Call } from "../execution/Perform.ts"
import type { Job } from "../execution/Pool.ts"
import * as FiberPool from "../execution/pools/FiberPool.ts"
import type { Params } from "./Binding.ts"
import * as Countdown from "./Countdown.ts"
import type { PayloadOf, Task } from "./Task.ts"
import { TaskContext } from "./TaskContext.ts"
import * as TaskError from "./TaskError.ts"
import { Tasks } from "./Tasks.ts"

export interface ApplyOptions {
  /** Default: a new UUID. */
  readonly taskId?: string | undefined
  /** How often the task is to think it was run before. Default 0. */
  readonly retries?: number | undefined
  /** Headers of your own, for the handler's `TaskContext`. */
  readonly headers?: Arguments | undefined
  /** Instead of the task's own limits. */
  readonly timeLimit?: Countdown.Countdown | undefined
  readonly softTimeLimit?: Countdown.Countdown | undefined
}

/** What became of it (Celery's EagerResult). */
export interface EagerResult<A, E = never> {
  readonly id: string
  /** `SUCCESS` or `FAILURE`; `IGNORED` or `REJECTED` where the handler asked for that. */
  readonly state: string
  /** The result, the task's own error if it declared one, or `TaskFailed`; that, too, when it was ignored or rejected. */
  readonly get: Effect.Effect<A, E | TaskError.TaskFailed>
  readonly traceback: Option.Option<string>
}

/** A handler that fails is a result; an error is a payload or a result that no message can carry. */
export const apply = <N extends string, P extends Params, A, E>(
  task: Task<N, P, A, E>,
  payload: PayloadOf<P>,
  options: ApplyOptions = {}
): Effect.Effect<EagerResult<A, E>, HubError | SchemaError, Tasks> =>
  Effect.gen(function* () {
    const message = yield* run(task.name, yield* encoder(task)(payload), options, () => Effect.void)
    return {
      id: message.taskId,
      state: message.status,
      get: AsyncResult.conclude(message, task),
      traceback: Option.fromNullOr(message.traceback)
    }
  })

/** By name. `updateState`: where states of the task's own go. */
export const run = Effect.fnUntraced(function* (
  name: string,
  sent: Call,
  options: ApplyOptions,
  updateState: (id: string, state: string, meta: KombuJson) => Effect.Effect<void, HubError>
): Effect.fn.Return<ResultMessage.ResultMessage, HubError, Tasks> {
  const message = yield* received(name, sent, options)
  const { headers } = message
  const registered = (yield* Tasks).find(name)
  if (registered === undefined) {
    return yield* resultOf(headers, { _tag: "Failure", failure: TaskError.notRegistered(name), traceback: null })
  }
  const { timeLimit, softTimeLimit } = registered.task.options
  const job = (retries: number): Job => ({
    registered,
    call: message,
    info: {
      id: headers.id,
      name,
      retries,
      rootId: headers.rootId,
      parentId: headers.parentId,
      group: null,
      groupIndex: null,
      chord: null,
      timeLimit: [
        Countdown.toSeconds(options.timeLimit ?? timeLimit),
        Countdown.toSeconds(options.softTimeLimit ?? softTimeLimit)
      ],
      headers: headers.extra,
      stamps: headers.stamps,
      stampedHeaders: [],
      delivery: { exchange: "", routingKey: "", queue: "", redelivered: false, priority: 0 }
    },
    updateState: (state, meta) => updateState(headers.id, state, meta),
    sendEvent: () => Effect.void
  })
  for (let retries = headers.retries; ; retries++) {
    const outcome = yield* FiberPool.run(job(retries))
    if (outcome._tag !== "Retry") return yield* resultOf(headers, outcome)
    // One that is retried for ever can be interrupted.
    yield* Effect.yieldNow
  }
})

/** The message as a worker would read it. A task applied by a handler belongs to the handler's tree. */
const received = Effect.fnUntraced(function* (name: string, sent: Call, options: ApplyOptions) {
  const parent = Option.getOrUndefined(yield* Effect.serviceOption(TaskContext))
  const headers = TaskMessage.makeHeaders({
    task: name,
    id: options.taskId ?? crypto.randomUUID(),
    retries: options.retries ?? 0,
    ...(parent === undefined ? undefined : { rootId: parent.rootId, parentId: parent.id }),
    ...(options.headers === undefined ? undefined : { extra: options.headers })
  })
  const message = yield* Serializer.encode(TaskMessage.encodeBody(sent.args, sent.kwargs), {
    headers: TaskMessage.encodeHeaders(headers)
  })
  const decoded = TaskMessage.decode(message.headers, yield* Serializer.decode(message))
  if (Result.isSuccess(decoded)) return decoded.success
  return yield* new HubError({
    reason: new EncodeFailed({ what: "the options of a task", text: decoded.failure.message })
  })
})

const resultOf = (
  { id, parentId }: TaskMessage.TaskHeaders,
  outcome: Exclude<Outcome, { readonly _tag: "Retry" }>
): Effect.Effect<ResultMessage.ResultMessage, HubError> =>
  Effect.gen(function* () {
    const { status, failure, traceback = null } = endOf(outcome)
    const result =
      outcome._tag === "Success"
        ? ((yield* Effect.flatMap(Serializer.encode(outcome.value), Serializer.decode)) as KombuJson)
        : ResultMessage.encodeFailure(failure!)
    return {
      taskId: id,
      status,
      result,
      traceback,
      children: [],
      dateDone: IsoTime.format(yield* Clock.currentTimeMillis),
      parentId: parentId ?? undefined
    }
  })

interface End {
  readonly status: string
  readonly failure?: Failure
  readonly traceback?: string | null
}

const endOf = (outcome: Exclude<Outcome, { readonly _tag: "Retry" }>): End => {
  switch (outcome._tag) {
    case "Success":
      return { status: TaskState.SUCCESS }
    case "Failure":
      return { ...outcome, status: TaskState.FAILURE }
    case "TimedOut":
      return { status: TaskState.FAILURE, failure: TaskError.timeLimitExceeded(outcome.timeLimit) }
    case "Lost":
      return { status: TaskState.FAILURE, failure: TaskError.workerLost(outcome.text) }
    case "Ignore":
      return { status: TaskState.IGNORED, failure: celeryException("Ignore", "the task asked to be ignored") }
    case "Reject":
      return { status: TaskState.REJECTED, failure: celeryException("Reject", outcome.reason) }
    case "Replace":
    case "Join":
      return { status: TaskState.FAILURE, failure: celeryException("Ignore", "a canvas needs a worker") }
  }
}

const celeryException = (excType: string, text: string): Failure => ({
  excType,
  excMessage: [text],
  excModule: "celery.exceptions"
})
