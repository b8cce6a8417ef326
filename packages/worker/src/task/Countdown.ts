/**
 * A length of time that says its unit: `"10 seconds"`, a `Duration`. A bare number does not compile, for Celery's are seconds
 * and Effect's are milliseconds, and `countdown: 10` would be right to nobody.
 */
import * as Duration from "effect/Duration"

export type Countdown = Exclude<Duration.Input, number | bigint>

/** As the wire has it; no limit for what has no end. */
export const toSeconds = (length: Countdown | undefined): number | null => {
  if (length === undefined) return null
  const millis = Duration.toMillis(length)
  return Number.isFinite(millis) ? millis / 1000 : null
}
