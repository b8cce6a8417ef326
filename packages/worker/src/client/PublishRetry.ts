/**
 * How often, and after which pauses, a publish is tried again that the broker did not take for the moment (a nack, no memory left):
 * Celery's `task_publish_retry_policy`, with Kombu's arithmetic (kombu/utils/functional.py `fxrange`). By default at once, after 0.2 s, and
 * after 0.4 s more.
 *
 * A link that is lost is another matter: a publish goes out on the next one, for which it waits as long as the connection's `patience` says.
 * With `false`, it does neither: it fails with the first failure, and where there is no link, at once.
 */
import type { HubError } from "@apium/hub/HubError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Countdown } from "../task/Countdown.ts"

export interface Policy {
  /** Default 3; `Infinity`: for ever. */
  readonly maxRetries?: number | undefined
  /** Before the first. Default 0. */
  readonly intervalStart?: Countdown | undefined
  /** More before each further one. Default 0.2 s. */
  readonly intervalStep?: Countdown | undefined
  /** By how much a pause may be longer than the first one. Default 1 s. */
  readonly intervalMax?: Countdown | undefined
}

/** `true` is the default policy. */
export type PublishRetry = boolean | Policy

const millis = (interval: Countdown | undefined, byDefault: number): number =>
  interval === undefined ? byDefault : Duration.toMillis(interval)

/** In milliseconds, before the retry of this number; the first is 0. */
export const pause = ({ intervalMax, intervalStart, intervalStep }: Policy, retry: number): number => {
  const start = millis(intervalStart, 0)
  const step = millis(intervalStep, 200)
  const most = millis(intervalMax, 1000)
  // `fxrange` without an end has none.
  if (start + most === 0) return retry * step
  return start + (step === 0 ? 0 : Math.min(retry, Math.floor(most / step)) * step)
}

/** What one send says, over what is so for all (`apply_async`: `retry`, `retry_policy`). */
export const over = (
  all: PublishRetry,
  { retry, retryPolicy }: { readonly retry?: boolean | undefined; readonly retryPolicy?: Policy | undefined }
): PublishRetry => {
  if (retry === false || (retry === undefined && all === false)) return false
  const base = typeof all === "object" ? all : {}
  if (retryPolicy === undefined) return base
  return {
    maxRetries: retryPolicy.maxRetries ?? base.maxRetries,
    intervalStart: retryPolicy.intervalStart ?? base.intervalStart,
    intervalStep: retryPolicy.intervalStep ?? base.intervalStep,
    intervalMax: retryPolicy.intervalMax ?? base.intervalMax
  }
}

/** Two that come to the same have the same. */
const key = (retry: PublishRetry): string => {
  if (retry === false) return "never"
  const { intervalMax, intervalStart, intervalStep, maxRetries = 3 } = retry === true ? {} : retry
  return [maxRetries, millis(intervalStart, 0), millis(intervalStep, 200), millis(intervalMax, 1000)].join()
}

/** By what each is published again, in their order; `all`: of those that do not say. */
export const grouped = <A extends { readonly publishRetry?: PublishRetry | undefined }>(
  batch: ReadonlyArray<A>,
  all: PublishRetry
): ReadonlyArray<ReadonlyArray<A>> => {
  const first = batch[0]?.publishRetry
  // Nearly always nobody says anything, and a batch has 100,000 of them.
  if (batch.every(({ publishRetry }) => publishRetry === first)) return batch.length === 0 ? [] : [batch]
  const groups = new Map<string, Array<A>>()
  for (const one of batch) {
    const of = key(one.publishRetry ?? all)
    const known = groups.get(of)
    if (known === undefined) groups.set(of, [one])
    else known.push(one)
  }
  return [...groups.values()]
}

/** What is left after this error, again, for as long as it may be taken a little later. */
export const retrying = (
  left: (error: HubError) => Effect.Effect<void, HubError>,
  policy: Policy,
  error: HubError,
  retry = 0
): Effect.Effect<void, HubError> =>
  error.transient && retry < (policy.maxRetries ?? 3)
    ? Effect.andThen(
        Effect.sleep(pause(policy, retry)),
        Effect.catch(left(error), (error) => retrying(left, policy, error, retry + 1))
      )
    : Effect.fail(error)
