/**
 * How a delivery is settled when its task ends: the matrix of celery/worker/request.py, as data. Whoever is not sure whether
 * a task took place gives its message back; whoever is, does not.
 */
import type { TaskOptions } from "../task/Task.ts"

/** How a task ended. `revoked`: before it started, or terminated while it ran. `interrupted`: by a worker that stops. */
export type Ending =
  | "success"
  | "failure"
  | "timedOut"
  | "lost"
  | "retry"
  | "ignore"
  | "reject"
  | "rejectAndRequeue"
  | "revoked"
  | "interrupted"

/** `none`: it was acknowledged before it ran, or the broker asked for no acknowledgement. */
export type Settlement = "ack" | "reject" | "requeue" | "none"

export interface Acknowledging extends Pick<
  TaskOptions,
  "acksLate" | "acksOnFailure" | "acksOnTimeout" | "rejectOnWorkerLost"
> {
  /** Consumed without acknowledgements: there is nothing to settle. */
  readonly noAck?: boolean | undefined
}

export const settlement = (ending: Ending, options: Acknowledging): Settlement => {
  if (options.noAck === true) return "none"
  // What is revoked may never have started, and what is settled twice is settled once.
  if (ending === "revoked") return "ack"
  if (options.acksLate === false) return "none"
  switch (ending) {
    case "success":
    case "retry":
    case "ignore":
      return "ack"
    case "failure":
      return options.acksOnFailure === false ? "reject" : "ack"
    case "timedOut":
      return options.acksOnTimeout === false ? "requeue" : "ack"
    case "lost":
      return options.rejectOnWorkerLost === true ? "requeue" : "ack"
    case "reject":
      return "reject"
    case "rejectAndRequeue":
    case "interrupted":
      return "requeue"
  }
}
