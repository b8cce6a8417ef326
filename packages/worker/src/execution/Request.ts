/**
 * A task that was received and is to be run: its message, its handler, and the delivery that is settled when it ends
 * (celery/worker/request.py).
 */
import * as Delivery from "@apium/hub/Delivery"
import type { Arguments } from "@apium/hub/Exchange"
import { formatEta, republishable, type TaskHeaders, type TaskMessage } from "@apium/protocol/celery/TaskMessage"
import type { Outgoing } from "../client/Outgoing.ts"
import { toSeconds } from "../task/Countdown.ts"
import type { RequestInfo } from "../task/TaskContext.ts"
import type { Registered } from "../task/Tasks.ts"
import * as Acknowledgement from "./Acknowledgement.ts"
import * as Fired from "./Fired.ts"
import type { Job } from "./Pool.ts"

/** What is set for all runs of a task in this worker from now on; seconds, `null` for no limit, left out for unchanged. */
export interface TimeLimits {
  readonly hard?: number | null | undefined
  readonly soft?: number | null | undefined
}

export interface Request {
  /** Replaced when the link of the first one was lost and the message came again while the task runs. */
  delivery: Delivery.Delivery
  /** Whatever became of the acknowledgement, this message asks for nothing any more. */
  acknowledged?: boolean
  /** It was rejected, and is not to run again. */
  rejected?: boolean
  readonly registered: Registered
  readonly message: TaskMessage
  /** The how manieth this worker received. */
  readonly sequence: number
  /** Milliseconds since the epoch: not to be started from then on. */
  readonly expiresAt?: number | undefined
  /** Consumed without acknowledgements: the broker has forgotten it. */
  readonly noAck?: boolean | undefined
  /** It came to no end so often that it may be why: it runs beside no other such. */
  suspect?: boolean | undefined
  /** When its run began, in milliseconds since the epoch. */
  timeStart?: number
  /** Its run is over; a handler that was abandoned may go on. */
  ended?: boolean
  /** The headers of its trace, for what it causes. */
  trace?: Arguments | undefined
  /** What the pool was given: what `Pool.kill` asks for. */
  job?: Job
  /** Revoked while it ran: set before its run is interrupted or killed, which then ends as REVOKED whatever the pool says. */
  terminated?: { readonly signal: string }
}

/** Acknowledged after the run: the default, and what keeps a task when its worker dies. */
export const acksLate = ({ registered }: Request): boolean => registered.task.options.acksLate ?? true

/** Whether it was delivered before: also as the message that it is a copy of (`Recount`). */
export const redelivered = ({ delivery }: Request): boolean =>
  delivery.redelivered || (Delivery.counted(delivery) ?? 0) > 0

/** What the matrix says of this request; nothing for what was acknowledged by now. */
export const settlement = (
  { registered, noAck, acknowledged }: Request,
  ending: Acknowledgement.Ending
): Acknowledgement.Settlement =>
  noAck === true || acknowledged === true ? "none" : Acknowledgement.settlement(ending, registered.task.options)

/** What its results are of; whether they are wanted is for the caller and for the task to say. */
export const resultOf = ({ registered, message: { headers } }: Request): TaskHeaders =>
  registered.task.options.ignoreResult === true && !headers.ignoreResult ? { ...headers, ignoreResult: true } : headers

/** The same task again: same id, one retry more, the same parent; and where it had none, as its own (`send_task` of celery/app/base.py). */
export const again = (
  { delivery, message: { headers, args, kwargs, embed }, trace }: Request,
  at: number
): Outgoing => ({
  task: {
    headers: {
      ...headers,
      retries: headers.retries + 1,
      eta: formatEta(at),
      parentId: headers.parentId ?? headers.id,
      extra: { ...republishable(headers.extra), ...trace }
    },
    args,
    kwargs,
    embed
  },
  // The queue is there, for it was consumed; what it was declared with need not be known (a broker may have named it).
  to: { exchange: "", routingKey: delivery.queue },
  priority: delivery.message.properties.priority ?? 0,
  replyTo: delivery.message.properties.replyTo,
  notBefore: at,
  serializer: delivery.message.properties.contentType
})

/** What the sender asked for, else what remote control has set for this task (`override`), else what its definition says. */
export const timeLimit = (
  { registered, message: { headers } }: Request,
  override: TimeLimits | undefined
): TaskHeaders["timelimit"] => {
  const { timeLimit, softTimeLimit } = registered.task.options
  const [hard, soft] = headers.timelimit
  if (
    hard === null &&
    soft === null &&
    timeLimit === undefined &&
    softTimeLimit === undefined &&
    override === undefined
  )
    return headers.timelimit
  return [
    positive(hard) ?? positive(override?.hard === undefined ? toSeconds(timeLimit) : override.hard),
    positive(soft) ?? positive(override?.soft === undefined ? toSeconds(softTimeLimit) : override.soft)
  ]
}

/** 0 is no limit, and in a header nothing that was asked for, as in Celery. */
const positive = (limit: number | null): number | null => (limit !== null && limit > 0 ? limit : null)

export const info = (request: Request, override: TimeLimits | undefined): RequestInfo => {
  const {
    delivery,
    message: { embed, headers },
    trace
  } = request
  // Without what a broker wrote there, as one that kept the task until it was due, or a chord.
  const extra = Fired.unmarked("x-death" in headers.extra ? republishable(headers.extra) : headers.extra)
  return {
    id: headers.id,
    name: headers.task,
    retries: headers.retries,
    rootId: headers.rootId,
    parentId: headers.parentId,
    group: headers.group,
    groupIndex: headers.groupIndex,
    chord: embed.chord,
    timeLimit: timeLimit(request, override),
    headers: trace === undefined ? extra : { ...extra, ...trace },
    stamps: headers.stamps,
    stampedHeaders: headers.stampedHeaders ?? [],
    delivery: {
      exchange: delivery.route.exchange,
      routingKey: delivery.route.routingKey,
      queue: delivery.queue,
      redelivered: redelivered(request),
      priority: delivery.message.properties.priority ?? 0
    }
  }
}
