/**
 * What workers tell each other when one starts (celery/worker/consumer/mingle.py, celery/worker/control.py `hello`): the ids of
 * revoked tasks, and the logical clock.
 *
 * Celery's `LimitedSet` (celery/utils/collections.py) has a time for each id, in seconds of its own machine's uptime, which nobody
 * else knows. It takes any time that JSON writes with a fraction; forgets what is 10,800 s behind its own; and, of more than
 * 50,000, the one with the least. Uptime here would be forgotten by a machine that is up three hours longer, and never by one that
 * was started later: there it stands before all that it is told itself, as the time of day (1.8e9) does on every machine. So
 * what we say is `0.0`: `add` has `now or time.monotonic()`, so that Python puts its own time, and what it is told a moment later
 * comes after it. As each `hello` renews that, only what was revoked in the last three hours is told (`Revoked.lately`).
 */
import { Serializers } from "@apium/hub/Serializer"
import * as Effect from "effect/Effect"
import type { LogicalClock } from "../events/LogicalClock.ts"
import { maxLength } from "../execution/Revoked.ts"
import type { Requests } from "../execution/Requests.ts"

/** JavaScript writes 0 as an integer, which Celery refuses. ES2026, in all of Node 22, Bun, Deno and workerd. */
const json = JSON as JSON & { readonly rawJSON: (text: string) => object }

/** What was revoked here lately, the oldest first: each id with the pair that Celery's `LimitedSet` has for it. */
export const encode = (
  requests: Pick<Requests["Service"], "revokedLately">
): Effect.Effect<Readonly<Record<string, readonly [at: unknown, id: string]>>> =>
  Effect.map(Serializers, ({ serializer = "json" }) => {
    // Others cannot say it (signed messages need not be JSON): half a second after a machine's start comes before all of Python's own.
    const at = serializer === "json" ? json.rawJSON("0.0") : 0.5
    return Object.fromEntries(requests.revokedLately().map((id) => [id, [at, id] as const]))
  })

/** The ids of a peer's, whatever it has for each. What is no such object has none; what is too long for an id is none. */
export const decode = (revoked: unknown): ReadonlyArray<string> =>
  typeof revoked === "object" && revoked !== null && !Array.isArray(revoked)
    ? Object.keys(revoked).filter((id) => id.length <= maxLength)
    : []

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
