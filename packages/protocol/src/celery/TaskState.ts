/**
 * Names of task states and what they mean (`celery/states.py`). A state is a text: tasks may report their own (`PROGRESS`), which count as started, not ready.
 */

/** A built-in state or one of the application's own. */
export type TaskState =
  | "PENDING"
  | "RECEIVED"
  | "STARTED"
  | "SUCCESS"
  | "FAILURE"
  | "REVOKED"
  | "REJECTED"
  | "RETRY"
  | "IGNORED"
  | (string & {})

/** Nothing is known of the task: waiting, or never sent. */
export const PENDING = "PENDING"
/** A worker took it. Seen in events, not stored. */
export const RECEIVED = "RECEIVED"
/** It runs; stored only if `track_started`. */
export const STARTED = "STARTED"
export const SUCCESS = "SUCCESS"
export const FAILURE = "FAILURE"
export const REVOKED = "REVOKED"
/** Given back or dropped by `Reject`. */
export const REJECTED = "REJECTED"
/** Failed, and sent again. */
export const RETRY = "RETRY"
/** Raised `Ignore`; never stored. */
export const IGNORED = "IGNORED"

/** The result is there, for good or ill. */
export const READY: ReadonlySet<string> = new Set([SUCCESS, FAILURE, REVOKED])
/** The result may still come. */
export const UNREADY: ReadonlySet<string> = new Set([PENDING, RECEIVED, STARTED, REJECTED, RETRY])
/** The result is an exception. */
export const EXCEPTION: ReadonlySet<string> = new Set([RETRY, FAILURE, REVOKED])
/** The result is an exception that the caller gets. */
export const PROPAGATE: ReadonlySet<string> = new Set([FAILURE, REVOKED])
/** All that Celery itself stores. */
export const ALL: ReadonlySet<string> = new Set([PENDING, RECEIVED, STARTED, SUCCESS, FAILURE, RETRY, REVOKED])

export const isReady = (state: string): boolean => READY.has(state)
export const isException = (state: string): boolean => EXCEPTION.has(state)

/** Highest first; `custom` stands for every state that is not listed. */
const order = [SUCCESS, FAILURE, "custom", REVOKED, STARTED, RECEIVED, REJECTED, RETRY, PENDING] as const

const ranks: ReadonlyMap<string, number> = new Map(order.map((state, rank) => [state, rank]))
const customRank = order.indexOf("custom")

/** The rank of a state when events arrive out of order: 0, `SUCCESS`, wins over all; the application's own states stand between `FAILURE` and `REVOKED`. */
export const precedence = (state: string): number => ranks.get(state) ?? customRank

/** Of two states of one task, the one that says more. */
export const later = <A extends string, B extends string>(a: A, b: B): A | B => (precedence(b) < precedence(a) ? b : a)
