/**
 * What runs on although the link it came on is gone. The broker sends such a task again; it is not run a second time beside
 * the first, but adopted: the new delivery is settled as that run ends.
 */
import type { HubError } from "@apium/hub/HubError"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import { acksLate, type Request } from "./Request.ts"
import type { Slots } from "./Slots.ts"

export interface Orphans {
  /** The link is lost: all that runs now is orphaned. */
  readonly mark: Effect.Effect<void>
  /** Settles the delivery of this request some day, if it is of a task that runs; `undefined` if it is not. */
  readonly adopt: (request: Request) => Effect.Effect<void, HubError> | undefined
}

export const make = (slots: Slots, scope: Scope.Scope): Orphans => {
  let orphans: ReadonlySet<Request> = new Set()
  return {
    mark: Effect.sync(() => void (orphans = new Set(slots.running().values()))),
    adopt: ({ delivery, message: { headers } }) => {
      if (!delivery.redelivered || orphans.size === 0) return undefined
      for (const [fiber, request] of slots.running()) {
        const known = request.message.headers
        if (known.id !== headers.id || known.retries !== headers.retries || !orphans.has(request)) continue
        if (!acksLate(request)) return delivery.ack
        request.delivery = delivery
        // Should that run be past its settling already, the message goes back; else this is one settle too many, a no-op.
        const after = Effect.andThen(Fiber.await(fiber), Effect.ignore(delivery.reject({ requeue: true })))
        return Effect.asVoid(Effect.forkIn(after, scope))
      }
      return undefined
    }
  }
}
