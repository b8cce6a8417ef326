/** A task on its way to the broker, and where it goes: what `Apply` plans, what middleware sees, and what a `Publisher` writes. */
import type { Arguments } from "@apium/hub/Exchange"
import type { TaskMessage } from "@apium/protocol/celery/TaskMessage"
import type { PublishRetry } from "./PublishRetry.ts"
import type { Destination } from "./Router.ts"

export interface Outgoing {
  readonly task: Omit<TaskMessage, "protocol">
  readonly to: Destination
  readonly priority: number
  readonly replyTo?: string | undefined
  /** Milliseconds the message may wait in its queue, where the profile lets the broker drop it. */
  readonly expiration?: number | undefined
  /** Milliseconds since the epoch; the headers say the same as `eta`. */
  readonly notBefore?: number | undefined
  readonly serializer?: string | undefined
  readonly compression?: string | undefined
  /** Instead of the publisher's. */
  readonly publishRetry?: PublishRetry | undefined
}

/** With these headers of the application's own beside those it has. */
export const withHeaders = (outgoing: Outgoing, headers: Arguments): Outgoing => {
  const { task } = outgoing
  return { ...outgoing, task: { ...task, headers: { ...task.headers, extra: { ...task.headers.extra, ...headers } } } }
}
