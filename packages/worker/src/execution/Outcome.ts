/**
 * How one run of a handler ended, as plain data: it may have happened in another thread. `failure` and `traceback` are what
 * the result backend keeps.
 */
import type { Failure } from "@apium/protocol/celery/ResultMessage"
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
