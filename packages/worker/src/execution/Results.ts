/**
 * What a worker writes to the result backend: each state in Python's shape (celery/backends/base.py, WIRE 4.5.2). A backend
 * that is away costs a warning and the result, not the task.
 */
import type { ResultMessage } from "@apium/protocol/celery/ResultMessage"
import * as Result from "@apium/protocol/celery/ResultMessage"
import type { TaskHeaders, TaskMessage } from "@apium/protocol/celery/TaskMessage"
import * as TaskState from "@apium/protocol/celery/TaskState"
import * as IsoTime from "@apium/protocol/kombu/IsoTime"
import type { KombuJson } from "@apium/protocol/kombu/Json"
import type { HubError } from "@apium/hub/HubError"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import type { Destination, ResultBackend } from "../client/ResultBackend.ts"
import { revoked } from "../task/TaskError.ts"

/** The task a result is of; without headers (they could not be read) it is an id alone. */
type Of = Pick<TaskHeaders, "id"> &
  Partial<Pick<TaskHeaders, "group" | "parentId" | "ignoreResult" | "task" | "retries" | "stampedHeaders" | "stamps">>

/** Results that their task was not told of, for the backend was away for longer than is waited for, or refused them. */
export const lost = Metric.counter("apium_results_lost", {
  description: "Results of tasks that could not be stored",
  incremental: true
})

export interface Results {
  /**
   * With `result_extended`: what the results of this message say of it. To be called before any is stored; for a message of which it
   * was not, they say that they do not know. Left out: they say nothing of it.
   */
  readonly describe?: ((message: TaskMessage, routingKey: string) => void) | undefined
  /** Where results go as messages: the sender's word, to be heard before any of its results is stored. */
  readonly address?: ((of: Of, to: Destination) => void) | undefined
  readonly started: (of: Of, worker: { readonly pid: number; readonly hostname: string }) => Effect.Effect<void>
  /** `children`: what it sent. */
  readonly success: (of: Of, value: KombuJson, children: ReadonlyArray<Result.ResultTuple>) => Effect.Effect<void>
  /** What a run before this one stored as its SUCCESS; nothing, too, where the backend cannot say. */
  readonly succeeded: (of: Of) => Effect.Effect<Option.Option<KombuJson>>
  readonly failure: (of: Of, failure: Result.Failure, traceback: string | null) => Effect.Effect<void>
  readonly retry: (of: Of, failure: Result.Failure, traceback: string | null) => Effect.Effect<void>
  readonly revoked: (of: Of, why: "revoked" | "expired" | "terminated") => Effect.Effect<void>
  /** A state of the task's own; here the caller wants to know whether it was stored. */
  readonly custom: (of: Of, state: string, meta: KombuJson) => Effect.Effect<void, HubError>
}

const noRest: Partial<ResultMessage> = {}

/** Each stamp is a key of its own. */
const stamped = ({ stampedHeaders, stamps }: Of): Pick<ResultMessage, "extra"> | undefined =>
  stamps === undefined || Object.keys(stamps).length === 0
    ? undefined
    : { extra: { ...stamps, stamped_headers: stampedHeaders ?? [] } }

/** `worker`: the node's name. */
export const make = (backend: ResultBackend["Service"], worker: string | null = null): Results => {
  /** By the headers that go with every result of a message. */
  const described = new WeakMap<object, Pick<ResultMessage, "args" | "kwargs" | "queue">>()
  const addressed = backend.replyTo === undefined ? undefined : new WeakMap<object, Destination>()
  const unknown = { args: null, kwargs: null, queue: null }

  const plain = (of: Of, status: string, result: KombuJson): ResultMessage => ({
    taskId: of.id,
    status,
    result,
    traceback: null,
    children: [],
    dateDone: null,
    groupId: of.group ?? undefined,
    parentId: of.parentId ?? undefined
  })

  const message = backend.extended
    ? (of: Of, status: string, result: KombuJson): ResultMessage => ({
        ...plain(of, status, result),
        name: of.task ?? null,
        worker,
        retries: of.retries ?? null,
        ...(described.get(of) ?? unknown),
        ...stamped(of)
      })
    : plain

  const store = (message: ResultMessage, to: Destination | undefined): Effect.Effect<void> =>
    Effect.catchCause(backend.store(message, to), (cause) =>
      Effect.andThen(
        Metric.update(lost, 1),
        Effect.logError("A result could not be stored, and is lost", {
          id: message.taskId,
          state: message.status,
          reason: Cause.pretty(cause)
        })
      )
    )

  // Thousands of tasks end in one millisecond, and its text is made once.
  let lastMillis = Number.NaN
  let lastText = ""
  const dateDone = (now: number): string => {
    if (now !== lastMillis) {
      lastMillis = now
      lastText = IsoTime.format(now)
    }
    return lastText
  }

  const final = (of: Of, status: string, result: KombuJson, rest: Partial<ResultMessage>): Effect.Effect<void> =>
    of.ignoreResult === true
      ? Effect.void
      : Effect.clockWith((clock) =>
          store(
            { ...message(of, status, result), dateDone: dateDone(clock.currentTimeMillisUnsafe()), ...rest },
            addressed?.get(of)
          )
        )

  return {
    describe: backend.extended
      ? ({ args, headers, kwargs }, routingKey) => void described.set(headers, { args, kwargs, queue: routingKey })
      : undefined,
    address: addressed === undefined ? undefined : (of, to) => void addressed.set(of, to),
    started: (of, worker) =>
      of.ignoreResult === true ? Effect.void : store(message(of, TaskState.STARTED, { ...worker }), addressed?.get(of)),
    success: (of, value, children) =>
      final(of, TaskState.SUCCESS, value, children.length === 0 ? noRest : { children }),
    succeeded: (of) =>
      backend.get(of.id).pipe(
        Effect.map((found) =>
          Option.isSome(found) && found.value.status === TaskState.SUCCESS
            ? Option.some(found.value.result)
            : Option.none()
        ),
        Effect.catchCause((cause) =>
          Effect.as(
            Effect.logWarning("Whether a task succeeded before could not be asked", {
              id: of.id,
              reason: Cause.pretty(cause)
            }),
            Option.none()
          )
        )
      ),
    failure: (of, failure, traceback) => final(of, TaskState.FAILURE, Result.encodeFailure(failure), { traceback }),
    // Its own id as the one child: the run that is to come.
    retry: (of, failure, traceback) =>
      of.ignoreResult === true
        ? Effect.void
        : store(
            {
              ...message(of, TaskState.RETRY, Result.encodeFailure(failure)),
              traceback,
              children: [{ id: of.id, parent: null, children: null }]
            },
            addressed?.get(of)
          ),
    revoked: (of, why) => final(of, TaskState.REVOKED, Result.encodeFailure(revoked(why)), { children: null }),
    custom: (of, state, meta) => backend.store(message(of, state, meta), addressed?.get(of))
  }
}
