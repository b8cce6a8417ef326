/**
 * When a failed task runs again (celery/app/autoretry.py). A policy decides from the number of retries so far: the state of
 * a schedule does not travel in a message.
 *
 * ```ts
 * Task.make("mail.send", { params, retry: Retry.exponential({ maxRetries: 5, base: "1 second", cap: "10 minutes", jitter: "full" }) })
 * ```
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
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

/** Whether a policy allows one more try. */
export const allows = (policy: RetryPolicy, retries: number, error: unknown): boolean =>
  (policy.maxRetries === "forever" || retries < policy.maxRetries) && (policy.while?.(error) ?? true)

/**
 * From inside a handler: run this task again, later. Without a countdown or an eta the task's policy says when, and without
 * a policy it is Celery's 180 seconds. When it has been tried often enough the task fails with `cause`.
 */
export const again = (
  options: {
    readonly countdown?: Duration.Input | undefined
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
