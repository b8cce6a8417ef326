/**
 * What workers tell each other when one starts (celery/worker/consumer/mingle.py, celery/worker/control.py `hello`): the ids of
 * revoked tasks, and the logical clock.
 *
 * Celery gives each id the time it was revoked at, in seconds of its own machine's uptime, and forgets those of a peer that are
 * three hours behind its own: of a machine that was started later, all of them. Ours are the time of day, which no uptime
 * reaches, so that they are kept as long as there is room. It refuses a time that JSON writes without a fraction.
 */
import * as Effect from "effect/Effect"
import type { LogicalClock } from "../events/LogicalClock.ts"
import type { Requests } from "../execution/Requests.ts"

/** `now`: milliseconds since the epoch. Each id with the pair that Celery's `LimitedSet` has for it. */
export const encode = (
  ids: ReadonlyArray<string>,
  now: number
): Readonly<Record<string, readonly [at: number, id: string]>> => {
  const at = (Math.floor(now) + 0.5) / 1000
  return Object.fromEntries(ids.map((id) => [id, [at, id] as const]))
}

/** The ids of a peer's, whatever it has for each. What is no such object has none. */
export const decode = (revoked: unknown): ReadonlyArray<string> =>
  typeof revoked === "object" && revoked !== null && !Array.isArray(revoked) ? Object.keys(revoked) : []

/** What a peer has revoked is not run here, either. Gives how many ids were new. */
export const merge = (requests: Requests["Service"], revoked: unknown): Effect.Effect<number> =>
  Effect.suspend(() => {
    const known = new Set(requests.revoked())
    const ids = decode(revoked).filter((id) => !known.has(id))
    return ids.length === 0 ? Effect.succeed(0) : Effect.as(requests.revoke(ids), ids.length)
  })

/** The answer to `hello`, told apart from what anybody may have sent. */
export const adopt = (
  requests: Requests["Service"],
  clock: LogicalClock["Service"],
  reply: unknown
): Effect.Effect<number> =>
  Effect.suspend(() => {
    if (typeof reply !== "object" || reply === null) return Effect.succeed(0)
    const theirs: unknown = Reflect.get(reply, "clock")
    if (typeof theirs === "number") clock.adjust(theirs)
    return merge(requests, Reflect.get(reply, "revoked"))
  })
