/**
 * The tasks a worker has in its hands, and what can be done to them: what remote control shows and changes
 * (celery/worker/state.py, celery/worker/control.py). `steps/Tasks` provides it.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { Request } from "./Request.ts"

export interface Terminate {
  /** Also end it if it runs. */
  readonly terminate?: boolean | undefined
  /** Celery's name of the signal, shown to monitors; `SIGTERM` unless said otherwise. */
  readonly signal?: string | undefined
}

/** What is set for all runs of a task in this worker from now on; seconds, `null` for no limit, left out for unchanged. */
export interface TimeLimits {
  readonly hard?: number | null | undefined
  readonly soft?: number | null | undefined
}

export class Requests extends Context.Service<
  Requests,
  {
    /** Those that run. `timeStart`: milliseconds since the epoch. */
    readonly active: () => ReadonlyArray<{ readonly request: Request; readonly timeStart: number }>
    /** Received, due, and not begun. */
    readonly reserved: () => ReadonlyArray<Request>
    /** Held here until they are due; `until` in milliseconds since the epoch. */
    readonly scheduled: () => ReadonlyArray<{ readonly request: Request; readonly until: number }>
    /** How many runs were begun, by task. */
    readonly totals: () => ReadonlyMap<string, number>
    /** How many deliveries may be unsettled at once. */
    readonly prefetch: () => number
    /** How many tasks may run at once. */
    readonly concurrency: () => number
    /** The pool grows or shrinks with it. */
    readonly resize: (concurrency: number) => Effect.Effect<void>
    /**
     * These are not to be run, now or when they come; bounded memory (50,000 ids, 3 hours). Those that wait here are discarded at
     * once; those that run go on, unless terminated.
     */
    readonly revoke: (ids: ReadonlyArray<string>, how?: Terminate) => Effect.Effect<void>
    /** As `revoke`, for tasks stamped with one of these values. Gives the ids of those that were in this worker's hands. */
    readonly revokeByStampedHeaders: (
      headers: Readonly<Record<string, ReadonlyArray<string>>>,
      how?: Terminate
    ) => Effect.Effect<ReadonlyArray<string>>
    /** The revoked ids that are remembered. */
    readonly revoked: () => ReadonlyArray<string>
    /** Celery's notation (`10/m`); `null` lifts the limit. Fails with the text of what is wrong. */
    readonly rateLimit: (task: string, rate: string | number | null) => Effect.Effect<void, string>
    readonly timeLimit: (task: string, limits: TimeLimits) => Effect.Effect<void>
  }
>()("@apium/worker/Requests") {}
