/** How a link is found out to be dead, though its socket is open. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { HubError } from "@apium/hub/HubError"
import { lost } from "./errors.ts"
import type { Link } from "./Link.ts"

export interface Timeouts {
  readonly writeTimeout?: Duration.Input | undefined
  readonly requestTimeout?: Duration.Input | undefined
}

/**
 * Heartbeats, sent when half a period went by in silence, and the peer's judged: nothing at all for two periods is its end. Any
 * octet counts. What waited in the socket while our own thread was busy is read before anybody is judged.
 */
export const watch = (link: Link, now: () => number, options: Timeouts): Effect.Effect<never, HubError> => {
  const { outbox } = link
  const writeTimeout = Duration.toMillis(Duration.fromInputUnsafe(options.writeTimeout ?? "10 seconds"))
  const requestTimeout = Duration.toMillis(Duration.fromInputUnsafe(options.requestTimeout ?? "30 seconds"))
  const heartbeat = link.limits.heartbeat * 1000
  const patience = heartbeat === 0 ? Number.POSITIVE_INFINITY : 2 * heartbeat
  const silence = (): number => now() - link.lastReceived
  /** A broker that answers takes what we write; one that has said `blocked` reads nothing, and says when it does again. */
  const stalledSince = (): number =>
    outbox.writingSince === undefined || link.blocked ? now() : Math.max(outbox.writingSince, link.lastAnswered)
  const stalled = (): boolean => now() - stalledSince() >= writeTimeout
  const round = Effect.gen(function* () {
    if (heartbeat > 0 && outbox.writingSince === undefined && now() - outbox.lastSent >= heartbeat / 2) {
      outbox.frames.heartbeat()
      outbox.wake()
    }
    if (silence() >= patience || stalled()) {
      yield* Effect.sleep(grace)
      if (stalled()) return yield* lost("writeTimeout", `the peer has taken nothing for ${writeTimeout / 1000} s`)
      if (silence() >= patience) return yield* lost("heartbeat", `no octet from the peer for ${patience / 1000} s`)
    }
    link.expire(requestTimeout)
    const next = Math.min(
      // No timer per request: one is found up to a quarter late.
      now() + requestTimeout / 4,
      heartbeat === 0 ? Number.POSITIVE_INFINITY : outbox.lastSent + heartbeat / 2,
      link.lastReceived + patience,
      stalledSince() + writeTimeout
    )
    yield* Effect.sleep(Math.max(next - now(), grace))
  })
  return Effect.forever(round)
}

/** In milliseconds: long enough for a turn of the event loop, which reads. */
export const grace = 20
