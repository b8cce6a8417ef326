/**
 * A task that was received and is to be run: its message, its handler, and the delivery that is settled when it ends
 * (celery/worker/request.py).
 */
import type { Delivery } from "@apium/hub/Delivery"
import type { TaskMessage } from "@apium/protocol/celery/TaskMessage"
import type { RequestInfo } from "../task/TaskContext.ts"
import type { Registered } from "../task/Tasks.ts"

export interface Request {
  readonly delivery: Delivery
  readonly registered: Registered
  readonly message: TaskMessage
}

/** Acknowledged after the run: the default, and what keeps a task when its worker dies. */
export const acksLate = ({ registered }: Request): boolean => registered.task.options.acksLate ?? true

export const ignoresResult = ({ registered, message }: Request): boolean =>
  message.headers.ignoreResult || registered.task.options.ignoreResult === true

export const info = ({ delivery, message: { headers } }: Request): RequestInfo => ({
  id: headers.id,
  name: headers.task,
  retries: headers.retries,
  rootId: headers.rootId,
  parentId: headers.parentId,
  headers: headers.extra,
  delivery: {
    exchange: delivery.route.exchange,
    routingKey: delivery.route.routingKey,
    queue: delivery.queue,
    redelivered: delivery.redelivered,
    priority: delivery.message.properties.priority ?? 0
  }
})
