/**
 * When a failed task runs again (celery/app/autoretry.py). A policy decides from the number of retries so far: the state of
 * a schedule does not travel in a message.
 *
 * ```ts
 * Task.make("mail.send", { params, retry: Retry.exponential({ maxRetries: 5, base: "1 second", cap: "10 minutes", jitter: "full" }) })
 * ```
 */
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Pull from "effect/Pull"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import type { Countdown } from "./Countdown.ts"
import { RetryRequested } from "./TaskError.ts"

export interface RetryPolicy {
  readonly maxRetries: number | "forever"
  /** How long to wait before the next try. `retries`: how many there were, 0 after the first run. */
  readonly delay: (retries: number) => Effect.Effect<Duration.Duration>
  /** Whether this error is worth another try; left out: every failure and every defect is. */
  readonly while?: ((error: unknown) => boolean) | undefined
}

export interface Conditions {
  readonly maxRetries: number | "forever"
  readonly while?: ((error: unknown) => boolean) | undefined
}

/** `base` doubling up to `cap`. With `jitter: "full"` (the default) a random share of it, so that failures do not come back together. */
export const exponential = (
  options: Conditions & {
    readonly base: Duration.Input
    readonly cap: Duration.Input
    readonly jitter?: "full" | "none" | undefined
  }
): RetryPolicy => {
  const base = Duration.toMillis(options.base)
  const cap = Duration.toMillis(options.cap)
  return {
    maxRetries: options.maxRetries,
    while: options.while,
    delay: (retries) => {
      const full = Math.min(cap, base * 2 ** Math.min(retries, 1000))
      return options.jitter === "none"
        ? Effect.succeed(Duration.millis(full))
        : Effect.map(Random.next, (share) => Duration.millis(full * share))
    }
  }
}

/** The same delay every time. */
export const fixed = (options: Conditions & { readonly delay: Duration.Input }): RetryPolicy => ({
  maxRetries: options.maxRetries,
  while: options.while,
  delay: () => Effect.succeed(Duration.fromInputUnsafe(options.delay))
})

/** This schedule cannot say when the n-th retry is from `n` alone. */
export class ScheduleRefused extends Data.TaggedError("ScheduleRefused")<{ readonly message: string }> {}

/** What a schedule is tried out with: so many steps, and in the second walk so much time lost before each. */
const probeSteps = 100
const probeStart = 1_000_000_012_345
const probeLate = 314_159_265_358

/** The first delays of a schedule, whose clock stands at `start` and loses `late` milliseconds more at each step. */
const replay = (
  schedule: Schedule.Schedule<unknown>,
  steps: number,
  start: number,
  late: number
): Effect.Effect<ReadonlyArray<Duration.Duration>> =>
  Effect.gen(function* () {
    const step = yield* Schedule.toStep(schedule)
    const delays: Array<Duration.Duration> = []
    for (let now = start; delays.length < steps; now += late) {
      const next = yield* Pull.catchDone(
        Effect.map(step(now, undefined), ([, delay]) => delay),
        () => Effect.undefined
      )
      if (next === undefined) break
      delays.push(next)
      now += Duration.toMillis(next)
    }
    return delays
  })

/**
 * The delays of a schedule, replayed for each retry: its state does not travel in a message. Jitter is drawn anew. A schedule
 * that ends within its first 100 steps limits the retries as `maxRetries` does; one that ends later keeps its last delay.
 *
 * Throws {@link ScheduleRefused} for one that depends on elapsed time or on the time of day (`during`, `fixed`, `windowed`,
 * `cron`), or on its input: it is tried out here, with two clocks.
 */
export const fromSchedule = (schedule: Schedule.Schedule<unknown>, options: Conditions): RetryPolicy => {
  const limit = options.maxRetries === "forever" ? Number.POSITIVE_INFINITY : options.maxRetries
  const steps = Math.min(limit, probeSteps)
  const probe = (start: number, late: number): ReadonlyArray<Duration.Duration> => {
    const exit = Effect.runSyncExit(
      Effect.provideService(replay(schedule, steps, start, late), Random.Random, {
        nextDoubleUnsafe: () => 0.5,
        nextIntUnsafe: () => 0
      })
    )
    if (Exit.isSuccess(exit)) return exit.value
    throw new ScheduleRefused({
      message: "A retry policy cannot be made of a schedule that waits, fails or reads its input: use Retry.exponential"
    })
  }
  const punctual = probe(0, 0)
  const late = probe(probeStart, probeLate)
  if (punctual.length !== late.length || punctual.some((delay, step) => !Duration.equals(delay, late[step]!))) {
    throw new ScheduleRefused({
      message:
        "A retry policy cannot be made of a schedule that depends on elapsed time or the time of day: of a task that is " +
        "retried only the number of its retries is known. Limit them with maxRetries, and use Schedule.spaced for Schedule.fixed"
    })
  }
  return {
    maxRetries: punctual.length < steps ? punctual.length : options.maxRetries,
    while: options.while,
    delay: (retries) => Effect.map(replay(schedule, retries + 1, 0, 0), (delays) => delays.at(-1) ?? Duration.zero)
  }
}

/** Whether a policy allows one more try. */
export const allows = (policy: RetryPolicy, retries: number, error: unknown): boolean =>
  (policy.maxRetries === "forever" || retries < policy.maxRetries) && (policy.while?.(error) ?? true)

/**
 * From inside a handler: run this task again, later. Without a countdown or an eta the task's policy says when, and without
 * a policy it is Celery's 180 seconds. When it has been tried often enough the task fails with `cause`.
 */
export const again = (
  options: {
    readonly countdown?: Countdown | undefined
    readonly eta?: Date | undefined
    readonly maxRetries?: number | undefined
    readonly cause?: unknown
  } = {}
): Effect.Effect<never, RetryRequested> =>
  Effect.fail(
    new RetryRequested({
      ...(options.countdown === undefined ? {} : { countdown: Duration.fromInputUnsafe(options.countdown) }),
      ...(options.eta === undefined ? {} : { eta: options.eta }),
      ...(options.maxRetries === undefined ? {} : { maxRetries: options.maxRetries }),
      ...(options.cause === undefined ? {} : { cause: options.cause })
    })
  )

/** For a policy's `while`: these errors, by tag or name, are final. */
export const unless =
  (...names: ReadonlyArray<string>) =>
  (error: unknown): boolean => {
    if (typeof error !== "object" || error === null) return true
    const name = "_tag" in error ? error._tag : "name" in error ? error.name : undefined
    return typeof name !== "string" || !names.includes(name)
  }
