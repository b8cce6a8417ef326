/**
 * Where handlers run (Celery's pool). The worker decides how many at once; a pool decides where: in fibers of this thread, in
 * threads of their own.
 */
import type { HubError } from "@apium/hub/HubError"
import type { KombuJson } from "@apium/protocol/kombu/Json"
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { Registered } from "../task/Tasks.ts"
import type { RequestInfo } from "../task/TaskContext.ts"
import type { Outcome } from "./Outcome.ts"
import type { Call } from "./Perform.ts"

export interface Job {
  readonly registered: Registered
  readonly call: Call
  readonly info: RequestInfo
  readonly updateState: (state: string, meta: KombuJson) => Effect.Effect<void, HubError>
}

export class Pool extends Context.Service<
  Pool,
  {
    /** `fiber`, `thread`. */
    readonly name: string
    /** How many jobs can run at once; the worker asks for no more. */
    readonly capacity: number
    /** Runs one handler. Interrupting this interrupts the handler. */
    readonly run: (job: Job) => Effect.Effect<Outcome>
  }
>()("@apium/worker/Pool") {}
