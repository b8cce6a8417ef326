/**
 * A length of time that says its unit: `"10 seconds"`, a `Duration`. A bare number does not compile, for Celery's are seconds
 * and Effect's are milliseconds, and `countdown: 10` would be right to nobody.
 */
import type * as Duration from "effect/Duration"

export type Countdown = Exclude<Duration.Input, number | bigint>
