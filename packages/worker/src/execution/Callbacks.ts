/**
 * What a task sends when it ends (celery/app/trace.py, celery/backends/base.py `mark_as_done` and `mark_as_failure`): after a success its
 * callbacks and the next step of its chain, with the result; after a failure its errbacks, with its id; and the body of its chord, when it
 * was the last part of it. All of it, or in doubt all of it again: a signature that cannot be sent stops those beside it before they leave.
 */
import type { ChordPart, Failure, ResultTuple } from "@apium/protocol/celery/ResultMessage"
import * as ResultMessage from "@apium/protocol/celery/ResultMessage"
import * as Signature from "@apium/protocol/celery/Signature"
import type { Embed, TaskMessage } from "@apium/protocol/celery/TaskMessage"
import * as PythonRepr from "@apium/protocol/celery/PythonRepr"
import * as TaskState from "@apium/protocol/celery/TaskState"
import type { KombuJson } from "@apium/protocol/kombu/Json"
import type { Arguments } from "@apium/hub/Exchange"
import type { HubError } from "@apium/hub/HubError"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Apply from "../client/Apply.ts"
import * as Tracing from "../Tracing.ts"
import * as TaskError from "../task/TaskError.ts"
import { errbacksOf, leavesOf, replacing } from "../client/Freeze.ts"
import { resultsIn, valuesOf } from "../client/Shape.ts"
import { inheritUnsafe } from "../client/Stamps.ts"
import type { Passing } from "./Failpoint.ts"
import type { Firing } from "./Fired.ts"
import type { Join } from "./Outcome.ts"
import type { Request } from "./Request.ts"
import type { Results } from "./Results.ts"
import * as Sending from "./Sending.ts"
import { CallbackNotSent, notSent } from "./Sending.ts"

export interface Ended extends Pick<TaskMessage, "headers" | "embed"> {
  /** Where the sender waits for results that come as messages: for those of what is sent now, as well. */
  readonly replyTo?: string | undefined
  /** The headers of its trace. */
  readonly trace?: Arguments | undefined
}

export const endedOf = ({ delivery, message: { embed, headers }, trace }: Request): Ended => ({
  embed,
  headers,
  replyTo: delivery.message.properties.replyTo,
  trace: trace ?? Tracing.carried(headers.extra)
})

export interface Callbacks {
  /** Gives the results to come, which are the children of the one that is stored. */
  readonly onSuccess: (message: Ended, value: KombuJson) => Effect.Effect<ReadonlyArray<ResultTuple>, CallbackNotSent>
  /** The steps that will never run have failed as well; then its chord is told, then come the errbacks. To be called when the failure is stored. */
  readonly onFailure: (
    message: Ended,
    failure: Failure,
    traceback: string | null
  ) => Effect.Effect<void, CallbackNotSent>
  /** The same of one that was revoked, which calls no errbacks. */
  readonly onRevoked: (message: Ended, failure: Failure) => Effect.Effect<void, CallbackNotSent>
  /** Counts one that succeeded in its chord, and sends what the last part is to send. To be called when its result is stored. */
  readonly onPart: (message: Ended, result: KombuJson) => Effect.Effect<void, CallbackNotSent>
  /** Sends what takes its place: with its id, its callbacks and errbacks, the rest of its chain, and its part in its chord. */
  readonly onReplace: (message: Ended, signature: Signature.Signature) => Effect.Effect<void, CallbackNotSent>
  /** Calls the body of a chord when all of its parts have ended. Whether they have. */
  readonly onJoin: (message: Ended, join: Join) => Effect.Effect<boolean, CallbackNotSent>
}

/** Whether a success has anything to send; most have not. */
export const onSuccess = ({ callbacks, chain }: Embed): boolean =>
  (callbacks !== null && callbacks.length > 0) || (chain !== null && chain.length > 0)

/** Whether a failure has, or a revocation. */
export const onFailure = ({ errbacks, chain, chord }: Embed): boolean =>
  (errbacks !== null && errbacks.length > 0) || (chain !== null && chain.length > 0) || chord !== null

/** Whether it is a part of a chord. */
export const onPart = ({ embed, headers }: Ended): boolean => embed.chord !== null && headers.group !== null

const none: ReadonlyArray<Signature.Signature> = []

export const make = (
  dependencies: Sending.Dependencies & { readonly results: Results; readonly passing: Passing }
): Callbacks => {
  const { backend, results, passing } = dependencies

  const send = Sending.make(dependencies)

  /** Signatures that will never run: every result of theirs is this failure, and a chord that waits for one of them is told. */
  const fail = (
    signatures: ReadonlyArray<Signature.Signature>,
    failure: Failure,
    traceback: string | null,
    from: Apply.Given
  ): Effect.Effect<void, CallbackNotSent> =>
    Effect.forEach(
      signatures.flatMap(leavesOf),
      ({ options }) => {
        const {
          task_id: id,
          group_id: group,
          group_index: index,
          ignore_result: ignored,
          chord,
          reply_to: replyTo
        } = options
        if (typeof id !== "string") return Effect.void
        const groupId = typeof group === "string" ? group : null
        const of = { id, group: groupId, ignoreResult: ignored === true }
        results.address?.(of, { replyTo: typeof replyTo === "string" ? replyTo : from.replyTo })
        const stored = results.failure(of, failure, traceback)
        if (groupId === null || chord === undefined || chord === null) return stored
        const part = { taskId: id, groupId, groupIndex: typeof index === "number" ? index : null }
        return Effect.andThen(
          stored,
          count({ ...part, state: TaskState.FAILURE, result: ResultMessage.encodeFailure(failure) }, chord, from)
        )
      },
      { concurrency: 64, discard: true }
    )

  const count = (
    part: ChordPart & { readonly groupId: string; readonly groupIndex: number | null },
    chord: unknown,
    from: Apply.Given
  ): Effect.Effect<void, CallbackNotSent> =>
    Effect.suspend(() => {
      const body = Signature.decode(chord, "chord")
      if (body._tag === "Failure") {
        return Effect.fail(new CallbackNotSent({ message: body.failure.message, recoverable: false }))
      }
      const firing = { groupId: part.groupId, firing: crypto.randomUUID() }
      const firingOf = (parts: ReadonlyArray<ChordPart>) =>
        Effect.flatMap(backend.groups.restore(part.groupId), (group) =>
          passing("after-body", part.taskId, fire(Option.getOrUndefined(group), body.success, parts, from, firing))
        )
      const { task_id: id } = body.success.options
      const sent =
        Signature.isCanvas(body.success) || typeof id !== "string"
          ? undefined
          : // A failure may be the chord's own, whose errbacks are still to come.
            Effect.map(
              backend.get(id),
              Option.exists(({ status }) => status !== TaskState.FAILURE)
            )
      return backend.chords.count(part, firingOf, sent).pipe(
        Effect.asVoid,
        Effect.mapError((error) =>
          error._tag === "CallbackNotSent" ? error : notSent(`the body of the chord, ${body.success.task},`, error)
        )
      )
    })

  /** All parts have ended: the body is called with their results (in the shape of `group`), or fails with the first of them that did. */
  const fire = (
    group: ResultTuple | undefined,
    body: Signature.Signature,
    parts: ReadonlyArray<ChordPart>,
    from: Apply.Given,
    firing?: Firing
  ): Effect.Effect<void, CallbackNotSent | HubError> =>
    Effect.suspend(() => {
      const failed = parts.find(({ state }) => state !== TaskState.SUCCESS)
      if (failed === undefined) {
        return Effect.catchIf(
          send([[body, { ...from, args: [valuesOf(group, parts)] }]], firing),
          ({ recoverable }) => !recoverable,
          // It will never be sent, and somebody waits for it.
          ({ message }) => failing(body, TaskError.callbackError(message), from)
        )
      }
      const dependency = ResultMessage.decodeFailure(failed.result)
      const repr =
        dependency === undefined
          ? PythonRepr.safeRepr(failed.result)
          : PythonRepr.exceptionRepr(dependency.excType, dependency.excMessage)
      return failing(body, TaskError.chordError(failed.taskId, repr), from)
    }).pipe(Effect.asVoid)

  /** The body of a chord that will never run. */
  const failing = (body: Signature.Signature, failure: Failure, from: Apply.Given) =>
    Effect.andThen(
      fail([body], failure, null, from),
      send(
        errbacksOf(body).map(
          ([errback, id]) => [errback, { ...from, args: [id], parentId: id ?? from.parentId }] as const
        )
      )
    )

  const givenBy = ({ headers, replyTo, trace }: Ended): Apply.Given => ({
    replyTo,
    trace,
    args: [],
    chain: none,
    rootId: headers.rootId,
    parentId: headers.id
  })

  const part = (
    message: Ended,
    state: TaskState.TaskState,
    result: KombuJson
  ): Effect.Effect<void, CallbackNotSent> => {
    const { embed, headers } = message
    const { group: groupId, groupIndex, id: taskId } = headers
    if (embed.chord === null || groupId === null) return Effect.void
    return count({ taskId, groupId, groupIndex, state, result }, Signature.encode(embed.chord), givenBy(message))
  }

  const onReplace: Callbacks["onReplace"] = (message, signature) =>
    Effect.suspend(() => {
      const { embed, headers } = message
      const { callbacks, chain, chord, errbacks } = embed
      let replacement: Signature.Signature
      try {
        replacement = replacing(inheritUnsafe(signature, headers), {
          task_id: headers.id,
          group_id: headers.group,
          group_index: headers.groupIndex,
          chord: chord === null ? null : Signature.encode(chord),
          link: callbacks?.map(Signature.encode),
          link_error: errbacks?.map(Signature.encode),
          replaced_task_nesting: headers.replacedTaskNesting + 1
        })
      } catch (error) {
        return Effect.fail(new CallbackNotSent({ message: (error as Error).message, recoverable: false }))
      }
      return Effect.asVoid(send([[replacement, { ...givenBy(message), chain: chain ?? none }]]))
    })

  const onJoin: Callbacks["onJoin"] = (message, { body, groupId, results: tuples }) =>
    Effect.gen(function* () {
      const parts: Array<ChordPart> = []
      for (const { id } of tuples.flatMap(resultsIn)) {
        const found = yield* backend.get(id)
        if (Option.isNone(found) || !TaskState.isReady(found.value.status)) return false
        parts.push({ taskId: id, state: found.value.status, result: found.value.result })
      }
      const shape = { id: groupId, parent: null, children: tuples }
      yield* fire(shape, body, parts, givenBy(message), { groupId, firing: crypto.randomUUID() })
      return true
    }).pipe(
      Effect.mapError((error) =>
        error._tag === "CallbackNotSent" ? error : notSent(`the body of the chord, ${body.task},`, error)
      ),
      // A result nobody can read is there the next time, too.
      Effect.catchIf(
        ({ recoverable }) => !recoverable,
        (error) => Effect.as(failing(body, TaskError.callbackError(error.message), givenBy(message)), true)
      )
    )

  const failRest = (message: Ended, failure: Failure, traceback: string | null) =>
    fail((message.embed.chain ?? none).toReversed(), failure, traceback, givenBy(message))

  return {
    onPart: (message, result) => part(message, TaskState.SUCCESS, result),
    onRevoked: (message, failure) =>
      Effect.andThen(
        failRest(message, failure, null),
        part(message, TaskState.REVOKED, ResultMessage.encodeFailure(failure))
      ),
    onReplace,
    onJoin,
    onSuccess: (message, value) => {
      const { embed } = message
      const given: Apply.Given = { ...givenBy(message), args: [value] }
      const signatures: Array<readonly [Signature.Signature, Apply.Given]> = []
      for (const callback of embed.callbacks ?? none) signatures.push([callback, given])
      const step = embed.chain?.at(-1)
      if (step !== undefined) signatures.push([step, { ...given, chain: embed.chain!.slice(0, -1) }])
      return send(signatures)
    },
    onFailure: (message, failure, traceback) => {
      const { embed, headers } = message
      const given = givenBy(message)
      return failRest(message, failure, traceback).pipe(
        // Before the errbacks: one that cannot be sent is not to keep a chord from its end.
        Effect.andThen(part(message, TaskState.FAILURE, ResultMessage.encodeFailure(failure))),
        Effect.andThen(
          send((embed.errbacks ?? none).map((errback) => [errback, { ...given, args: [headers.id] }] as const))
        ),
        Effect.asVoid
      )
    }
  }
}
