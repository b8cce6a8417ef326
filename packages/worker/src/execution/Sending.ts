/** How what follows a task is sent: all of the signatures, or none of them; what one of them makes impossible is found before any leaves. */
import type { ResultTuple } from "@apium/protocol/celery/ResultMessage"
import type * as Signature from "@apium/protocol/celery/Signature"
import type { HubError } from "@apium/hub/HubError"
import type * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Apply from "../client/Apply.ts"
import * as Dispatch from "../client/Dispatch.ts"
import type { Publisher } from "../client/Publisher.ts"
import type { PublishRetry } from "../client/PublishRetry.ts"
import type { ResultBackend } from "../client/ResultBackend.ts"
import type { Router } from "../client/Router.ts"
import type { Tasks } from "../task/Tasks.ts"
import * as Fired from "./Fired.ts"

/** What was to be sent is not. */
export class CallbackNotSent extends Data.TaggedError("CallbackNotSent")<{
  readonly message: string
  /** Another try may send it: the link was lost. */
  readonly recoverable: boolean
}> {}

export const notSent = (what: string, error: HubError): CallbackNotSent =>
  new CallbackNotSent({
    message: `${what.slice(0, 200)} could not be sent: ${error.message}`,
    recoverable: error.recoverable || error.transient
  })

export interface Dependencies {
  readonly publisher: Publisher
  readonly backend: ResultBackend["Service"]
  readonly tasks: Tasks["Service"]
  readonly clock: Clock.Clock
  /** The node name: where they come from. */
  readonly hostname: string
  readonly router: Router
  readonly publishRetry?: PublishRetry | undefined
}

/** Gives the results to come. `firing`: of the chord whose body it is. */
export type Send = (
  signatures: ReadonlyArray<readonly [Signature.Signature, Apply.Given]>,
  firing?: Fired.Firing
) => Effect.Effect<ReadonlyArray<ResultTuple>, CallbackNotSent>

export const make = ({ backend, clock, hostname, publishRetry, publisher, router, tasks }: Dependencies): Send => {
  const optionsOf = (task: string) => tasks.find(task)?.task.options
  const dispatch = Dispatch.make(backend, publisher)

  return (signatures, firing) =>
    Effect.suspend(() => {
      let plan: Apply.Plan
      try {
        const now = clock.currentTimeMillisUnsafe()
        plan = Apply.planUnsafe(signatures, { now, optionsOf, router, origin: hostname, publishRetry })
      } catch (error) {
        return Effect.fail(new CallbackNotSent({ message: (error as Error).message, recoverable: false }))
      }
      const marked = firing === undefined ? plan : { ...plan, messages: plan.messages.map(Fired.marking(firing)) }
      return Effect.mapError(Effect.as(dispatch(marked), plan.results), (error) =>
        notSent(plan.messages.map(({ task }) => task.headers.task).join(", "), error)
      )
    })
}
