/**
 * Full jitter: a random share of a delay that doubles up to a cap, so that clients that lost the same broker do not come
 * back together.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import type { HubError } from "../HubError.ts"

export interface Backoff {
  readonly base: Duration.Input
  readonly cap: Duration.Input
}

/**
 * 200 ms doubling to 1.5 s: a broker that restarts is found again within two seconds of its opening the port, and no 100 ms see
 * more than a tenth of the attempts (from 50 ms on, the first 100 saw a fifth of those of 200 clients).
 */
export const reconnect: Backoff = { base: "200 millis", cap: "1500 millis" }

const shareOf = (backoff: Backoff, delay: Duration.Duration): Effect.Effect<Duration.Duration> =>
  Effect.map(Random.next, (share) => Duration.times(Duration.min(delay, Duration.fromInputUnsafe(backoff.cap)), share))

/** The pause after so many failures before this one. */
export const jittered = (backoff: Backoff, failures: number): Effect.Effect<Duration.Duration> =>
  shareOf(backoff, Duration.times(Duration.fromInputUnsafe(backoff.base), 2 ** failures))

/** Retries what a fresh link can mend, and nothing else. */
export const schedule = (backoff: Backoff): Schedule.Schedule<unknown, HubError> =>
  Schedule.exponential(backoff.base).pipe(
    Schedule.modifyDelay(({ duration }) => shareOf(backoff, duration)),
    Schedule.setInputType<HubError>(),
    Schedule.while(({ input }) => input.recoverable)
  )
