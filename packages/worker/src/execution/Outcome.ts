/**
 * How one run of a handler ended, as plain data: it may have happened in another thread. `failure` and `traceback` are what
 * the result backend keeps.
 */
import type { Failure } from "@apium/protocol/celery/ResultMessage"
import type { ResultTuple } from "@apium/protocol/celery/ResultMessage"
import type { Signature } from "@apium/protocol/celery/Signature"
import type { KombuJson } from "@apium/protocol/kombu/Json"

export type Outcome =
  | { readonly _tag: "Success"; readonly value: KombuJson }
  | { readonly _tag: "Failure"; readonly failure: Failure; readonly traceback: string | null }
  /** To be run again at `at`, in milliseconds since the epoch. */
  | { readonly _tag: "Retry"; readonly at: number; readonly failure: Failure; readonly traceback: string | null }
  | { readonly _tag: "Ignore" }
  | { readonly _tag: "Reject"; readonly requeue: boolean; readonly reason: string }
  /** The hard limit ran out, and what ran it was killed or abandoned. `timeLimit`: seconds. */
  | { readonly _tag: "TimedOut"; readonly timeLimit: number }
  /** The thread or process that ran it is gone. */
  | { readonly _tag: "Lost"; readonly text: string }
  /** Another task, or a canvas, takes its place: its id, its callbacks, its chain and its chord (`Canvas.replace`). */
  | { readonly _tag: "Replace"; readonly signature: Signature }
  /** Once all of these have ended the body of a chord is called with their results (`celery.chord_unlock`). */
  | { readonly _tag: "Join"; readonly join: Join }

export interface Join {
  readonly groupId: string
  readonly results: ReadonlyArray<ResultTuple>
  readonly body: Signature
  /** Seconds until it looks again. */
  readonly interval: number
  /** `null`: for ever. */
  readonly maxRetries: number | null
}
