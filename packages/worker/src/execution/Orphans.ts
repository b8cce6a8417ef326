/**
 * What runs on although the link it came on is gone. The broker sends such a task again; it is not run a second time beside
 * or after the first, but adopted: the new delivery is settled as that run ends, or at once if it has ended. A retry would
 * otherwise go on twice, from the message it sent and from the one that came again.
 */
import type { Delivery } from "@apium/hub/Delivery"
import type { HubError } from "@apium/hub/HubError"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import type { Request } from "./Request.ts"
import type { Slots } from "./Slots.ts"

export interface Orphans {
  /** How many of them still run. */
  readonly running: () => number
  /** The link is lost: all that runs now is orphaned. */
  readonly mark: Effect.Effect<void>
  /**
   * Settles the delivery some day, if it is of a task that ran when the link was lost; else `undefined`. Asked before anything
   * is decided about the message: it may be past its expiry by now, and the run is not.
   */
  readonly adopt: (delivery: Delivery) => Effect.Effect<void, HubError> | undefined
}

/** How many runs that ended while their link was away are remembered. */
const maxEnded = 1000

export const make = (slots: Slots, scope: Scope.Scope): Orphans => {
  let orphans: Map<Fiber.Fiber<void>, Request> = new Map()
  return {
    // A link may be lost again before what ended meanwhile has come again: the latest of those are remembered.
    mark: Effect.sync(() => {
      const ended = [...orphans].filter(([fiber]) => !slots.running().has(fiber))
      orphans = new Map([...ended.slice(-maxEnded), ...slots.running()])
    }),
    running: () => {
      // Mostly there are none, and this is asked for each task.
      if (orphans.size === 0) return 0
      let count = 0
      for (const fiber of orphans.keys()) if (slots.running().has(fiber)) count++
      return count
    },
    adopt: (delivery) => {
      if (!delivery.redelivered) return undefined
      const { id, retries = 0 } = delivery.message.headers
      for (const [fiber, request] of orphans) {
        const known = request.message.headers
        if (known.id !== id || known.retries !== retries) continue
        if (request.acknowledged === true) {
          if (!slots.running().has(fiber)) orphans.delete(fiber)
          return delivery.ack
        }
        if (request.rejected === true) {
          if (!slots.running().has(fiber)) orphans.delete(fiber)
          return delivery.reject({ requeue: false })
        }
        // It gave its message back, and this is it.
        if (!slots.running().has(fiber)) continue
        request.delivery = delivery
        // Should that run be giving it back at this moment, so does this; else it is one settle too many, a no-op.
        const after = Effect.andThen(Fiber.await(fiber), Effect.ignore(delivery.reject({ requeue: true })))
        return Effect.asVoid(Effect.forkIn(after, scope))
      }
      return undefined
    }
  }
}
