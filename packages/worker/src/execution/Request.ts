/**
 * A task that was received and is to be run: its message, its handler, and the delivery that is settled when it ends
 * (celery/worker/request.py).
 */
import type { Delivery } from "@apium/hub/Delivery"
import type { TaskHeaders, TaskMessage } from "@apium/protocol/celery/TaskMessage"
import * as Duration from "effect/Duration"
import type { Countdown } from "../task/Countdown.ts"
import type { RequestInfo } from "../task/TaskContext.ts"
import type { Registered } from "../task/Tasks.ts"

export interface Request {
  /** Replaced when the link of the first one was lost and the message came again while the task runs. */
  delivery: Delivery
  /** Whatever became of the acknowledgement, this message asks for nothing any more. */
  acknowledged?: boolean
  readonly registered: Registered
  readonly message: TaskMessage
  /** Milliseconds since the epoch: not to be started from then on. */
  readonly expiresAt?: number | undefined
}

/** Acknowledged after the run: the default, and what keeps a task when its worker dies. */
export const acksLate = ({ registered }: Request): boolean => registered.task.options.acksLate ?? true

/** What its results are of; whether they are wanted is for the caller and for the task to say. */
export const resultOf = ({ registered, message: { headers } }: Request): TaskHeaders =>
  registered.task.options.ignoreResult === true && !headers.ignoreResult ? { ...headers, ignoreResult: true } : headers

/** Milliseconds to seconds, and no limit for what is none. */
const seconds = (limit: Countdown | undefined): number | null => {
  if (limit === undefined) return null
  const millis = Duration.toMillis(limit)
  return Number.isFinite(millis) ? millis / 1000 : null
}

/** What the sender asked for, else what the task's definition says. */
export const timeLimit = ({ registered, message: { headers } }: Request): TaskHeaders["timelimit"] => {
  const { timeLimit, softTimeLimit } = registered.task.options
  if (timeLimit === undefined && softTimeLimit === undefined) return headers.timelimit
  const [hard, soft] = headers.timelimit
  return [hard ?? seconds(timeLimit), soft ?? seconds(softTimeLimit)]
}

export const info = (request: Request): RequestInfo => {
  const {
    delivery,
    message: { headers }
  } = request
  return {
    id: headers.id,
    name: headers.task,
    retries: headers.retries,
    rootId: headers.rootId,
    parentId: headers.parentId,
    timeLimit: timeLimit(request),
    headers: headers.extra,
    delivery: {
      exchange: delivery.route.exchange,
      routingKey: delivery.route.routingKey,
      queue: delivery.queue,
      redelivered: delivery.redelivered,
      priority: delivery.message.properties.priority ?? 0
    }
  }
}
