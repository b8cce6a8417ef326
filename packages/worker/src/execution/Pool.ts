/**
 * Where handlers run (Celery's pool). The worker decides how many at once; a pool decides where: in fibers of this thread, in
 * threads of their own, in processes of their own.
 *
 * Limits travel in `job.info.timeLimit`. The soft one is kept where the handler runs (`Perform`): it interrupts, and is a
 * failure the task's retry policy may look at. The hard one is the pool's: what runs past it is killed where that can be,
 * else abandoned, and the outcome is `TimedOut` at once.
 */
import type { Arguments } from "@apium/hub/Exchange"
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
  readonly sendEvent: (type: string, fields: Arguments) => Effect.Effect<void>
}

export class Pool extends Context.Service<
  Pool,
  {
    /** `fiber`, `inline`, `thread`, `process`. */
    readonly name: string
    /** How many jobs can run at once now; the worker asks for no more. */
    readonly size: () => number
    /** Runs one handler. Interrupting this interrupts the handler, and kills what runs it if it does not end in time. */
    readonly run: (job: Job) => Effect.Effect<Outcome>
    /** Ends a run at once, where that can be: its thread or process is killed and replaced, and its outcome is `Lost`. */
    readonly kill: (job: Job) => Effect.Effect<void>
    /** Grows or shrinks to this many, at least one: what runs is left to end. No matter for a pool without children. */
    readonly resize: (size: number) => Effect.Effect<void>
    /** What `inspect stats` shows under `pool`, in Celery's words. */
    readonly stats: () => { readonly [key: string]: KombuJson }
  }
>()("@apium/worker/Pool") {}
