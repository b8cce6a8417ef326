/**
 * What runs on although the link it came on is gone. The broker sends such a task again; it is not run a second time beside
 * or after the first, but adopted: the new delivery is settled as that run ends, or at once if it has ended. A retry would
 * otherwise go on twice, from the message it sent and from the one that came again.
 */
import { counted, type Delivery } from "@apium/hub/Delivery"
import type { HubError } from "@apium/hub/HubError"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import type { Request } from "./Request.ts"
import type { Slots } from "./Slots.ts"

export interface Orphans {
  /** How many of them still run whose messages are to come again: those that were adopted hold a place of the window as any other. */
  readonly running: () => number
  /** The link is lost: all that runs now is orphaned. */
  readonly mark: Effect.Effect<void>
  /** A run has ended. Its acknowledgement may have gone into a link that was lost by then, and nobody can know. */
  readonly ended: (request: Request) => void
  /**
   * Settles the delivery some day, if it is of a task that ran when the link was lost or ended around that time, or a copy that
   * is here already; else `undefined`. Asked before anything is decided about the message: it may be past its expiry by now, and the run is not.
   */
  readonly adopt: (delivery: Delivery) => Effect.Effect<void, HubError> | undefined
}

/** How many runs that have ended are remembered, a hundred bytes each. */
const maxEnded = 1000

interface Ended {
  readonly id: string
  readonly retries: number
  /** As the message of that run had it (`Recount`). */
  readonly counted: number
  readonly rejected: boolean
}

/** `changed`: one was adopted. */
export const make = (slots: Slots, scope: Scope.Scope, changed: () => void = () => undefined): Orphans => {
  let orphans: ReadonlyMap<Fiber.Fiber<void>, Request> = new Map()
  /** Those that have a delivery of the present link. */
  const adopted = new Set<Fiber.Fiber<void>>()
  const ended: Array<Ended> = []
  let oldest = 0

  const adoptRunning = (delivery: Delivery, id: unknown, retries: unknown) => {
    for (const [fiber, request] of orphans) {
      const known = request.message.headers
      // One that has given its message back is run again: this may be it.
      if (known.id !== id || known.retries !== retries || !slots.running().has(fiber)) continue
      if (request.acknowledged === true) return delivery.ack
      request.delivery = delivery
      adopted.add(fiber)
      changed()
      // Should that run be giving it back at this moment, so does this; else it is one settle too many, a no-op.
      const after = Effect.andThen(Fiber.await(fiber), Effect.ignore(delivery.reject({ requeue: true })))
      return Effect.asVoid(Effect.forkIn(after, scope))
    }
    return undefined
  }

  /** The same copy twice (`Recount`): a link was lost before it was confirmed, and it was sent again. The broker keeps the first until it is settled. */
  const isHere = (id: unknown, retries: unknown, count: number): boolean =>
    [...slots.running().values(), ...slots.waiting()].some(
      ({ delivery, message: { headers } }) =>
        headers.id === id && headers.retries === retries && counted(delivery) === count
    )

  return {
    mark: Effect.sync(() => {
      orphans = new Map(slots.running())
      adopted.clear()
    }),
    running: () => {
      // Mostly there are none, and this is asked for each task.
      if (orphans.size === 0) return 0
      let count = 0
      for (const [fiber, { acknowledged }] of orphans) {
        // What was acknowledged does not come again.
        if (acknowledged !== true && !adopted.has(fiber) && slots.running().has(fiber)) count++
      }
      return count
    },
    ended: ({ acknowledged, delivery, rejected, message: { headers } }) => {
      if (acknowledged !== true && rejected !== true) return
      ended[oldest] = {
        id: headers.id,
        retries: headers.retries,
        counted: counted(delivery) ?? 0,
        rejected: rejected === true
      }
      oldest = (oldest + 1) % maxEnded
    },
    adopt: (delivery) => {
      const own = counted(delivery)
      if (!delivery.redelivered && own === undefined) return undefined
      const { id, retries = 0 } = delivery.message.headers
      const adopted = delivery.redelivered ? adoptRunning(delivery, id, retries) : undefined
      if (adopted !== undefined) return adopted
      if (own !== undefined && !delivery.redelivered && isHere(id, retries, own)) return delivery.ack
      const count = own ?? 0
      // A higher count is that of the copy of a message that was acknowledged for it: it has had no run.
      const before = ended.find((one) => one.id === id && one.retries === retries && count <= one.counted)
      if (before === undefined) return undefined
      return before.rejected ? delivery.reject({ requeue: false }) : delivery.ack
    }
  }
}
