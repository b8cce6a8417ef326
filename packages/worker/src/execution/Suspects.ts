/**
 * Who may have taken workers down. A worker that dies gives back all that it held, and the queue cannot tell which of it was to
 * blame: the innocent ones that were delivered with a poison are counted with it. A task that came to no end half as often as it
 * may is a suspect, and suspects run one at a time, beside all others: another death is the fault of the one that ran.
 *
 * ```text
 *   one of them runs ──▶ it ends: a worker less, and the next        it was innocent
 *                   └──▶ the worker dies: it alone is counted        behind those that have had no turn, from then on
 * ```
 *
 * So each of `n` poisons costs one worker before all innocents have run, and then as many as `maxDeliveries` leaves it.
 */
import * as Delivery from "@apium/hub/Delivery"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Random from "effect/Random"
import type { Request } from "./Request.ts"

export interface Suspects {
  /** Takes it, if it is one, until it is its turn. */
  readonly holds: (request: Request) => boolean
  /** Whose turn it is, if none of them has it: until it has `ended`. */
  readonly next: () => Request | undefined
  readonly ended: (request: Request) => void
  readonly waiting: () => ReadonlyArray<Request>
  /** Takes out those that match. */
  readonly remove: (matches: (request: Request) => boolean) => ReadonlyArray<Request>
  /** Waits for a message of this id that comes for the first time: the copy of the one that is to be counted. */
  readonly back: (id: string) => Effect.Effect<void>
}

export const make = (random: (typeof Random.Random)["Service"]): Suspects => {
  let waiting: ReadonlyArray<Request> = []
  let current: Request | undefined
  let expected: { readonly id: string; readonly came: Deferred.Deferred<void> } | undefined

  return {
    holds: (request) => {
      if (request.suspect !== true) return false
      waiting = [...waiting, request]
      if (expected?.id === request.message.headers.id && !request.delivery.redelivered) {
        Deferred.doneUnsafe(expected.came, Effect.void)
      }
      return true
    },
    next: () => {
      if (current !== undefined || waiting.length === 0) return undefined
      const first = Math.min(...waiting.map(turn))
      const equals = waiting.filter((request) => turn(request) === first)
      current = equals[Math.floor(random.nextDoubleUnsafe() * equals.length)]!
      waiting = waiting.filter((request) => request !== current)
      return current
    },
    ended: (request) => {
      if (request === current) current = undefined
    },
    waiting: () => waiting,
    remove: (matches) => {
      const removed = waiting.filter(matches)
      if (removed.length > 0) waiting = waiting.filter((request) => !removed.includes(request))
      return removed
    },
    back: (id) =>
      Effect.suspend(() => {
        if (waiting.some(({ delivery, message }) => message.headers.id === id && !delivery.redelivered))
          return Effect.void
        const came = Deferred.makeUnsafe<void>()
        expected = { id, came }
        return Effect.ensuring(
          Deferred.await(came),
          Effect.sync(() => void (expected = undefined))
        )
      })
  }
}

/**
 * Lower is sooner: those that are counted for this very run, then those that had the fewest. What is counted by its queue, or
 * by a store, is counted for each time it was held; what a header of ours counts had a turn.
 */
const turn = ({ delivery }: Request): number =>
  Delivery.counted(delivery) !== undefined && !delivery.redelivered ? -1 : (Delivery.counted(delivery) ?? 0)
