/**
 * What a task sends when it ends (celery/app/trace.py, celery/backends/base.py `_call_task_errbacks`): after a success its
 * callbacks and the next step of its chain, with the result; after a failure its errbacks, with its id. All of it, or in
 * doubt all of it again: a signature that cannot be sent stops those beside it before they leave.
 */
import type { Failure, ResultTuple } from "@apium/protocol/celery/ResultMessage"
import type { Signature } from "@apium/protocol/celery/Signature"
import type { Embed, TaskMessage } from "@apium/protocol/celery/TaskMessage"
import type { KombuJson } from "@apium/protocol/kombu/Json"
import type { HubError } from "@apium/hub/HubError"
import type * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Apply from "../client/Apply.ts"
import type { Publisher } from "../client/Publisher.ts"
import type { Tasks } from "../task/Tasks.ts"
import type { Results } from "./Results.ts"

/** What was to be sent is not. */
export class CallbackNotSent extends Data.TaggedError("CallbackNotSent")<{
  readonly message: string
  /** Another try may send it: the link was lost. */
  readonly recoverable: boolean
}> {}

type Ended = Pick<TaskMessage, "headers" | "embed">

export interface Callbacks {
  /** Gives the results to come, which are the children of the one that is stored. */
  readonly onSuccess: (message: Ended, value: KombuJson) => Effect.Effect<ReadonlyArray<ResultTuple>, CallbackNotSent>
  /** The steps that will never run have failed as well; then come the errbacks. To be called when the failure is stored. */
  readonly onFailure: (
    message: Ended,
    failure: Failure,
    traceback: string | null
  ) => Effect.Effect<void, CallbackNotSent>
}

/** Whether a success has anything to send; most have not. */
export const onSuccess = ({ callbacks, chain }: Embed): boolean =>
  (callbacks !== null && callbacks.length > 0) || (chain !== null && chain.length > 0)

/** Whether a failure has. */
export const onFailure = ({ errbacks, chain }: Embed): boolean =>
  (errbacks !== null && errbacks.length > 0) || (chain !== null && chain.length > 0)

const none: ReadonlyArray<Signature> = []

export const make = (dependencies: {
  readonly publisher: Publisher
  readonly tasks: Tasks["Service"]
  readonly results: Results
  readonly clock: Clock.Clock
  /** The node name: where they come from. */
  readonly hostname: string
  /** Where a task goes that nobody says anything about; default `celery`. */
  readonly defaultQueue?: string | undefined
}): Callbacks => {
  const { publisher, tasks, results, clock, hostname, defaultQueue = "celery" } = dependencies

  const optionsOf = (task: string) => tasks.find(task)?.task.options

  const send = (
    signatures: ReadonlyArray<readonly [Signature, Apply.Given]>
  ): Effect.Effect<ReadonlyArray<ResultTuple>, CallbackNotSent> =>
    Effect.suspend(() => {
      let plan: Apply.Plan
      try {
        const now = clock.currentTimeMillisUnsafe()
        plan = Apply.planUnsafe(signatures, { now, optionsOf, defaultQueue, origin: hostname })
      } catch (error) {
        return Effect.fail(new CallbackNotSent({ message: (error as Error).message, recoverable: false }))
      }
      const { messages } = plan
      const [only] = messages
      if (only === undefined) return Effect.succeed(plan.results)
      return Effect.mapError(
        Effect.as(messages.length === 1 ? publisher.publish(only) : publisher.publishAll(messages), plan.results),
        (error: HubError) =>
          new CallbackNotSent({
            message: `${messages
              .map(({ task }) => task.headers.task)
              .join(", ")
              .slice(0, 200)} could not be sent: ${error.message}`,
            recoverable: error.recoverable || error.transient
          })
      )
    })

  return {
    onSuccess: ({ headers, embed }, value) => {
      const given: Apply.Given = { args: [value], chain: none, rootId: headers.rootId, parentId: headers.id }
      const signatures: Array<readonly [Signature, Apply.Given]> = []
      for (const callback of embed.callbacks ?? none) signatures.push([callback, given])
      const step = embed.chain?.at(-1)
      if (step !== undefined) signatures.push([step, { ...given, chain: embed.chain!.slice(0, -1) }])
      return send(signatures)
    },
    onFailure: ({ headers, embed }, failure, traceback) => {
      const given: Apply.Given = { args: [headers.id], chain: none, rootId: headers.rootId, parentId: headers.id }
      const steps = (embed.chain ?? none).map(({ options }) => options)
      const propagate = Effect.forEach(
        steps,
        ({ task_id: id, group_id: group, ignore_result: ignored }) =>
          typeof id !== "string"
            ? Effect.void
            : results.failure(
                { id, group: typeof group === "string" ? group : null, ignoreResult: ignored === true },
                failure,
                traceback
              ),
        { discard: true }
      )
      return Effect.andThen(propagate, send((embed.errbacks ?? none).map((errback) => [errback, given] as const)))
    }
  }
}
