/**
 * Who says it and when: what all events have in common.
 */
import type * as EventMessage from "@apium/protocol/celery/EventMessage"
import type * as Clock from "effect/Clock"
import type { LogicalClock } from "./LogicalClock.ts"

export type Origin = Omit<EventMessage.Event, "type" | "fields">

/** `hostname`: a node name, or `gen<pid>@<host>` for a client. */
export type Sender = Pick<Origin, "hostname" | "pid">

export const make =
  (sender: Sender, wall: Clock.Clock, clock: Pick<LogicalClock["Service"], "forward">) => (): Origin => {
    const now = wall.currentTimeMillisUnsafe()
    return {
      ...sender,
      // Celery counts hours west of UTC.
      utcoffset: new Date(now).getTimezoneOffset() / 60,
      clock: clock.forward(),
      timestamp: now / 1000
    }
  }
