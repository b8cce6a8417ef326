/**
 * A handle on a task that was sent (celery/result.py). It holds an id and asks the backend; any number may exist for one
 * task.
 */
import type { HubError } from "@apium/hub/HubError"
import * as ResultMessage from "@apium/protocol/celery/ResultMessage"
import type { KombuJson } from "@apium/protocol/kombu/Json"
import * as TaskState from "@apium/protocol/celery/TaskState"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { Wire } from "../task/Task.ts"
import * as PythonError from "../task/PythonError.ts"
import { fieldsOf, TaskFailed } from "../task/TaskError.ts"
import type { GroupResult } from "./GroupResult.ts"
import type { ResultBackend } from "./ResultBackend.ts"

export interface AsyncResult<A, E = never> {
  readonly id: string
  /** What was sent before it: of a chain the step before, of a chord its header; unchecked. */
  readonly parent: Option.Option<Parent>
  /** Waits for the end: the result, the task's own error if it declared one, or `TaskFailed`. */
  readonly get: Effect.Effect<A, E | TaskFailed | HubError>
  /** `PENDING` also for a task nobody knows, as in Celery. */
  readonly state: Effect.Effect<string, HubError>
  readonly ready: Effect.Effect<boolean, HubError>
  /** Every state change, STARTED and custom ones such as PROGRESS included, until the task is ready. */
  readonly changes: Stream.Stream<{ readonly state: string; readonly meta: unknown }, HubError>
  /** What it sent when it succeeded: callbacks and the next step of its chain. Empty until then. */
  readonly children: Effect.Effect<ReadonlyArray<ResultMessage.ResultTuple>, HubError>
  /** Deletes what the backend holds of it. */
  readonly forget: Effect.Effect<void, HubError>
  /**
   * Tells all workers not to run it; with `terminate` also to end it if it runs. Workers that are away do not hear of it. It
   * returns when the broker has the request; `get` fails with `TaskFailed` of the state `REVOKED` once a worker came upon it.
   */
  readonly revoke: (options?: RevokeOptions) => Effect.Effect<void, HubError>
}

export type Parent = AsyncResult<unknown, unknown> | GroupResult<unknown, unknown>

export interface RevokeOptions {
  readonly terminate?: boolean | undefined
  /** What to end it with, where its pool knows signals. Default `SIGTERM`. */
  readonly signal?: string | undefined
}

/** How a task is revoked: the client's, who has the connection. */
export type Revoke = (id: string, options?: RevokeOptions) => Effect.Effect<void, HubError>

export interface Codecs<A, E> {
  readonly result: Wire<A>
  readonly error: Wire<E> | undefined
}

/** Of a task nobody here knows. */
export const anything: Codecs<KombuJson, never> = {
  result: Schema.declare((_value): _value is KombuJson => true),
  error: undefined
}

export interface Options {
  /** No result is stored. */
  readonly ignored: boolean
  readonly revoke: Revoke
}

/** A class with getters, for a batch of 100,000 tasks has as many: five effects each would be most of what sending costs. */
class Result<A, E> implements AsyncResult<A, E> {
  readonly id: string
  readonly parent: Option.Option<Parent>
  readonly #backend: ResultBackend["Service"]
  readonly #codecs: Codecs<A, E>
  readonly #options: Options

  constructor(
    backend: ResultBackend["Service"],
    id: string,
    codecs: Codecs<A, E>,
    options: Options,
    parent: Parent | undefined
  ) {
    this.id = id
    this.parent = Option.fromUndefinedOr(parent)
    this.#backend = backend
    this.#codecs = codecs
    this.#options = options
  }

  get get(): Effect.Effect<A, E | TaskFailed | HubError> {
    // As Celery has it: a result that will never be stored is None at once.
    return this.#options.ignored
      ? Effect.succeed(undefined as A)
      : Effect.flatMap(this.#backend.wait(this.id), (message) => conclude(message, this.#codecs))
  }

  get state(): Effect.Effect<string, HubError> {
    return Effect.map(
      this.#backend.get(this.id),
      Option.match({ onNone: () => TaskState.PENDING, onSome: (message) => message.status })
    )
  }

  get ready(): Effect.Effect<boolean, HubError> {
    return Effect.map(
      this.#backend.get(this.id),
      Option.exists((message) => TaskState.isReady(message.status))
    )
  }

  get changes(): Stream.Stream<{ readonly state: string; readonly meta: unknown }, HubError> {
    return Stream.map(this.#backend.changes(this.id), (message) => ({ state: message.status, meta: message.result }))
  }

  get children(): Effect.Effect<ReadonlyArray<ResultMessage.ResultTuple>, HubError> {
    return Effect.map(
      this.#backend.get(this.id),
      Option.match({
        onNone: () => [],
        onSome: ({ status, children }) => (status === TaskState.SUCCESS ? (children ?? []) : [])
      })
    )
  }

  get forget(): Effect.Effect<void, HubError> {
    return this.#backend.forget(this.id)
  }

  revoke(options?: RevokeOptions): Effect.Effect<void, HubError> {
    return this.#options.revoke(this.id, options)
  }
}

export const make = <A, E>(
  backend: ResultBackend["Service"],
  id: string,
  codecs: Codecs<A, E>,
  options: Options,
  parent?: Parent
): AsyncResult<A, E> => new Result(backend, id, codecs, options, parent)

/** What a final message means to the caller. */
export const conclude = <A, E>(
  message: ResultMessage.ResultMessage,
  { result, error }: Codecs<A, E>
): Effect.Effect<A, E | TaskFailed> => {
  if (message.status === TaskState.SUCCESS) {
    return Effect.mapErrorEager(Schema.decodeUnknownEffect(result)(message.result), (refused) =>
      failed(message, {
        excType: "SchemaError",
        excMessage: [`the result is not what the task's definition says: ${refused.message}`],
        excModule: "apium"
      })
    )
  }
  const failure = ResultMessage.unwrapFailure(
    ResultMessage.decodeFailure(message.result) ?? { excType: "Exception", excMessage: [], excModule: "builtins" }
  )
  const untyped = Effect.fail<E | TaskFailed>(failed(message, failure))
  if (error === undefined) return untyped
  const found: ReadonlyArray<unknown> = PythonError.fieldsOf(error, failure)
  const candidates = found.length > 0 ? found : Option.toArray(fieldsOf(failure))
  const decode = Schema.decodeUnknownEffect(error)
  return candidates.reduceRight<Effect.Effect<never, E | TaskFailed>>(
    (otherwise, fields) =>
      Effect.matchEffect(decode(fields), {
        onFailure: () => otherwise,
        onSuccess: (typed) => Effect.fail<E | TaskFailed>(typed)
      }),
    untyped
  )
}

const failed = (message: ResultMessage.ResultMessage, failure: ResultMessage.Failure) =>
  new TaskFailed({
    taskId: message.taskId,
    state: message.status,
    excType: failure.excType,
    excMessage: failure.excMessage,
    excModule: failure.excModule,
    traceback: Option.fromNullOr(message.traceback)
  })
