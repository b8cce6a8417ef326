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

/** 50 ms doubling to 1.5 s: a broker that restarts is found again within two seconds of its opening the port. */
export const reconnect: Backoff = { base: "50 millis", cap: "1500 millis" }

/** Retries what a fresh link can mend, and nothing else. */
export const schedule = (backoff: Backoff): Schedule.Schedule<unknown, HubError> =>
  Schedule.exponential(backoff.base).pipe(
    Schedule.modifyDelay(({ duration }) =>
      Effect.map(Random.next, (share) =>
        Duration.times(Duration.min(duration, Duration.fromInputUnsafe(backoff.cap)), share)
      )
    ),
    Schedule.setInputType<HubError>(),
    Schedule.while(({ input }) => input.recoverable)
  )
