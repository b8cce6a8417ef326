/** How the message of a task is settled, and who is told: an event last, for who hears of the end of a task may ask for its result. */
import type { HubError } from "@apium/hub/HubError"
import type { KombuJson } from "@apium/protocol/kombu/Json"
import * as Effect from "effect/Effect"
import type { EventDispatcher } from "../events/EventDispatcher.ts"
import type { Settlement } from "./Acknowledgement.ts"
import type { Passing } from "./Failpoint.ts"
import type * as Request from "./Request.ts"

export const make = (events: EventDispatcher["Service"], passing: Passing) => {
  /** A settle that comes too late changes nothing: the broker has the message back, and somebody will run it again. */
  const settle = (request: Request.Request, how: Settlement): Effect.Effect<void> =>
    how === "none"
      ? Effect.void
      : // Not before its turn: until then the delivery may be replaced.
        late(
          Effect.suspend(() => {
            if (how === "ack") {
              request.acknowledged = true
              return request.delivery.ack
            }
            request.rejected = how === "reject"
            return request.delivery.reject({ requeue: how === "requeue" })
          })
        )

  const end = (
    request: Request.Request,
    how: Settlement,
    type: string,
    fields: () => Readonly<Record<string, KombuJson>>
  ): Effect.Effect<void> => {
    const settled = passing("after-ack", request.message.headers.id, settle(request, how))
    return events.enabled()
      ? Effect.andThen(
          settled,
          Effect.sync(() => events.send(type, { uuid: request.message.headers.id, ...fields() }))
        )
      : settled
  }

  const rejected = (request: Request.Request, how: Settlement): Effect.Effect<void> =>
    end(request, how, "task-rejected", () => ({ requeue: how === "requeue" }))

  /** Back to its queue, to be run again: nothing is stored that says it is over. */
  const requeued = (request: Request.Request, why: string, reason: string): Effect.Effect<void> =>
    Effect.andThen(Effect.logWarning(why, { ...about(request), reason }), rejected(request, "requeue"))

  return { settle, end, rejected, requeued }
}

/** What a log says of a task. */
export const about = ({ message: { headers } }: Request.Request) => ({ id: headers.id, task: headers.task })

export const late = (settling: Effect.Effect<void, HubError>): Effect.Effect<void> =>
  Effect.catch(settling, (error) => Effect.logDebug("A delivery could not be settled", { reason: error.message }))
