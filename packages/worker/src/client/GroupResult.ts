/**
 * A handle on the results of a group (celery/result.py `GroupResult`): one for each member, in its order; a member that ends with a
 * group of its own has a list there. It holds ids and asks the backend.
 */
import type { HubError } from "@apium/hub/HubError"
import type { ResultTuple } from "@apium/protocol/celery/ResultMessage"
import * as TaskState from "@apium/protocol/celery/TaskState"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { TaskFailed } from "../task/TaskError.ts"
import * as AsyncResult from "./AsyncResult.ts"
import type { ResultBackend } from "./ResultBackend.ts"
import type { Leaves } from "./Signature.ts"

/** `A`: the list. */
export interface GroupResult<A, E = never> {
  readonly id: string
  readonly children: ReadonlyArray<AsyncResult.AsyncResult<unknown, E> | GroupResult<unknown, E>>
  /** What was sent before it: of a chain the step before, unchecked. */
  readonly parent: Option.Option<AsyncResult.Parent>
  /** Waits for all of them; the first that failed fails it at once (Celery's `join`). */
  readonly get: Effect.Effect<A, E | TaskFailed | HubError>
  /** Each result as it comes, with its place in the group; the first that failed ends it. */
  readonly iterate: Stream.Stream<readonly [index: number, value: unknown], E | TaskFailed | HubError>
  /** Whether every member has ended, well or not. */
  readonly ready: Effect.Effect<boolean, HubError>
  /** Whether every member has succeeded. */
  readonly successful: Effect.Effect<boolean, HubError>
  /** Whether any member has failed. */
  readonly failed: Effect.Effect<boolean, HubError>
  /** How many have succeeded. */
  readonly completedCount: Effect.Effect<number, HubError>
  /** Keeps the group itself, so that `Client.restoreGroup` finds it by its id, from Python as well. */
  readonly save: Effect.Effect<void, HubError>
  /** Deletes what the backend holds of the members. */
  readonly forget: Effect.Effect<void, HubError>
  /** Revokes every member: see {@link AsyncResult.AsyncResult.revoke}. */
  readonly revoke: (options?: AsyncResult.RevokeOptions) => Effect.Effect<void, HubError>
}

type Child = AsyncResult.AsyncResult<unknown, unknown> | GroupResult<unknown, unknown>

/** One look asks for so many at once. */
const concurrency = 64

class Results implements GroupResult<unknown, unknown> {
  readonly id: string
  readonly children: ReadonlyArray<Child>
  readonly parent: Option.Option<AsyncResult.Parent>
  readonly #backend: ResultBackend["Service"]
  readonly #tuple: ResultTuple

  constructor(
    backend: ResultBackend["Service"],
    tuple: ResultTuple,
    children: ReadonlyArray<Child>,
    parent: Child | undefined
  ) {
    this.id = tuple.id
    this.children = children
    this.parent = Option.fromUndefinedOr(parent)
    this.#backend = backend
    this.#tuple = tuple
  }

  get get(): Effect.Effect<unknown, unknown> {
    return Effect.forEach(this.children, (child) => child.get, { concurrency: "unbounded" })
  }

  get iterate(): Stream.Stream<readonly [number, unknown], unknown> {
    return Stream.mergeAll(
      this.children.map((child, index) => Stream.fromEffect(Effect.map(child.get, (value) => [index, value] as const))),
      { concurrency: "unbounded" }
    )
  }

  #states(): Effect.Effect<ReadonlyArray<string>, HubError> {
    return Effect.map(
      Effect.forEach(this.children, (child) => (child instanceof Results ? child.#states() : stateOf(child)), {
        concurrency
      }),
      (states) => states.flat()
    )
  }

  get ready(): Effect.Effect<boolean, HubError> {
    return Effect.map(this.#states(), (states) => states.every((state) => TaskState.isReady(state)))
  }

  get successful(): Effect.Effect<boolean, HubError> {
    return Effect.map(this.#states(), (states) => states.every((state) => state === TaskState.SUCCESS))
  }

  get failed(): Effect.Effect<boolean, HubError> {
    return Effect.map(this.#states(), (states) => states.some((state) => state === TaskState.FAILURE))
  }

  get completedCount(): Effect.Effect<number, HubError> {
    return Effect.map(this.#states(), (states) => states.filter((state) => state === TaskState.SUCCESS).length)
  }

  get save(): Effect.Effect<void, HubError> {
    return this.#backend.groups.save(this.#tuple)
  }

  get forget(): Effect.Effect<void, HubError> {
    return Effect.forEach(this.children, (child) => child.forget, { concurrency, discard: true })
  }

  revoke(options?: AsyncResult.RevokeOptions): Effect.Effect<void, HubError> {
    return Effect.forEach(this.children, (child) => child.revoke(options), { concurrency, discard: true })
  }
}

const stateOf = (child: Child): Effect.Effect<ReadonlyArray<string>, HubError> =>
  Effect.map((child as AsyncResult.AsyncResult<unknown, unknown>).state, (state) => [state])

export interface Options {
  /** The tasks that store no result. */
  readonly ignored: ReadonlySet<string>
  readonly revoke: AsyncResult.Revoke
}

/** The handle on whatever a signature leaves. */
export const make = (
  backend: ResultBackend["Service"],
  tuple: ResultTuple,
  leaves: Leaves,
  options: Options
): Child => {
  // A loop, for a chain has as many as it has steps.
  const before: Array<ResultTuple> = []
  for (let at = tuple.parent; at !== null; at = at.parent) before.push(at)
  let parent: Child | undefined
  while (before.length > 0) parent = one(backend, before.pop()!, AsyncResult.anything, options, parent)
  return one(backend, tuple, leaves, options, parent)
}

const one = (
  backend: ResultBackend["Service"],
  tuple: ResultTuple,
  leaves: Leaves,
  { ignored, revoke }: Options,
  parent: Child | undefined
): Child => {
  if (tuple.children === null) {
    // A member that nobody knows the definition of.
    const leaf = "result" in leaves ? leaves : AsyncResult.anything
    return AsyncResult.make(backend, tuple.id, leaf, { ignored: ignored.has(tuple.id), revoke }, parent)
  }
  const each = "result" in leaves ? [] : leaves
  return new Results(
    backend,
    tuple,
    tuple.children.map((child, index) =>
      make(backend, child, each[index] ?? AsyncResult.anything, { ignored, revoke })
    ),
    parent
  )
}
