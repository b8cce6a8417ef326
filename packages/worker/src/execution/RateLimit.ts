/**
 * At most so many starts per second, minute or hour of a task in one worker (Celery's `rate_limit`; kombu/utils/limits.py). A
 * bucket holds one token, so starts are evenly spaced; what waits keeps its order, and holds up no other task.
 */
import type { Hub } from "@apium/hub/Hub"
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as MutableList from "effect/MutableList"
import * as Result from "effect/Result"
import type { Request } from "./Request.ts"

const perSecond: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600 }

/** Starts per second; 0 for no limit, as Celery has it. A number is per second; text is `10/m`. Fails with what is wrong. */
export const parse = (rate: string | number | null): Result.Result<number, string> => {
  if (rate === null) return Result.succeed(0)
  const match = /^\s*(\d{1,15}(?:\.\d{1,15})?)\s*(?:\/\s*([smh])\s*)?$/.exec(String(rate).slice(0, 64))
  if (match === null) {
    return Result.fail(
      `A rate limit should be a number per s, m or h, as in "10/m", and is ${JSON.stringify(String(rate).slice(0, 64))}`
    )
  }
  return Result.succeed(Number(match[1]) / perSecond[match[2] ?? "s"]!)
}

export interface RateLimit {
  /** Whether the request has to wait: it is handed to `due` when its turn comes. */
  readonly holds: (request: Request) => boolean
  /** From now on, for those that wait too. 0: no limit. */
  readonly set: (task: string, startsPerSecond: number) => void
  readonly waiting: () => ReadonlyArray<Request>
  /** How many wait. */
  readonly backlog: () => number
  /** Takes out those that match. */
  readonly remove: (matches: (request: Request) => boolean) => ReadonlyArray<Request>
}

/** In milliseconds: so much of a pause (a handler that computes) is made up for. */
const maxCatchUp = 100

interface Bucket {
  /** Milliseconds between two starts; 0: no limit. */
  interval: number
  /** Not before, in milliseconds of the monotonic clock: the wall clock may be set back. */
  next: number
  readonly waiting: MutableList.MutableList<Request>
  /** The one timer that counts. */
  timer: { cancel?: Effect.Effect<void> } | undefined
}

export const make = (dependencies: {
  readonly hub: Hub["Service"]
  readonly clock: Clock.Clock
  readonly fork: (effect: Effect.Effect<unknown>) => void
  /** Its turn has come. */
  readonly due: (request: Request) => void
}): RateLimit => {
  const { hub, clock, fork, due } = dependencies
  const buckets = new Map<string, Bucket>()
  const monotonic = (): number => Number(clock.monotonicTimeNanosUnsafe() / 1_000_000n)

  const bucketOf = (task: string, startsPerSecond: number): Bucket => {
    const bucket: Bucket = {
      interval: startsPerSecond > 0 ? 1000 / startsPerSecond : 0,
      next: Number.NEGATIVE_INFINITY,
      waiting: MutableList.make(),
      timer: undefined
    }
    buckets.set(task, bucket)
    return bucket
  }

  /** The bucket that a task's definition or remote control gave it. */
  const find = ({ registered: { task } }: Request): Bucket | undefined => {
    const known = buckets.get(task.name)
    if (known !== undefined || task.options.rateLimit === undefined) return known
    // A definition with a limit that is none is refused when its handler is registered.
    return bucketOf(
      task.name,
      Result.getOrElse(parse(task.options.rateLimit), () => 0)
    )
  }

  const release = (bucket: Bucket): void => {
    const now = monotonic()
    while (bucket.waiting.length > 0 && (bucket.interval === 0 || bucket.next <= now)) {
      const request = MutableList.take(bucket.waiting)
      if (request === MutableList.Empty) return
      // Timers tick in milliseconds and come late: what is due since the last tick starts now.
      bucket.next = Math.max(bucket.next, now - maxCatchUp) + bucket.interval
      due(request)
    }
    if (bucket.waiting.length > 0) arm(bucket)
  }

  const arm = (bucket: Bucket): void => {
    if (bucket.timer !== undefined) return
    const timer: Bucket["timer"] = {}
    bucket.timer = timer
    const fire = Effect.sync(() => {
      if (bucket.timer !== timer) return
      bucket.timer = undefined
      release(bucket)
    })
    // A whole tick at least: what a sum of fractions is late by is no time at all, and would be asked for again and again.
    const wait = Math.max(1, Math.ceil(bucket.next - monotonic()))
    fork(Effect.map(hub.callAfter(wait, fire), ({ cancel }) => void (timer.cancel = cancel)))
  }

  return {
    holds: (request) => {
      const bucket = find(request)
      if (bucket === undefined || bucket.interval === 0) return false
      const now = monotonic()
      if (bucket.waiting.length === 0 && bucket.next <= now) {
        bucket.next = now + bucket.interval
        return false
      }
      MutableList.append(bucket.waiting, request)
      arm(bucket)
      return true
    },
    set: (task, startsPerSecond) => {
      const bucket = buckets.get(task) ?? bucketOf(task, startsPerSecond)
      const before = bucket.interval
      bucket.interval = startsPerSecond > 0 ? 1000 / startsPerSecond : 0
      // The next start is so far from the last one as the new limit says.
      bucket.next = bucket.next - before + bucket.interval
      if (bucket.timer?.cancel !== undefined) fork(bucket.timer.cancel)
      bucket.timer = undefined
      release(bucket)
    },
    backlog: () => {
      let count = 0
      // Mostly there are none, and this is asked for each task.
      if (buckets.size > 0) for (const { waiting } of buckets.values()) count += waiting.length
      return count
    },
    waiting: () => [...buckets.values()].flatMap(({ waiting }) => MutableList.toArray(waiting)),
    remove: (matches) => {
      const removed: Array<Request> = []
      for (const { waiting } of buckets.values()) {
        if (waiting.length === 0) continue
        MutableList.filter(waiting, (request) => {
          if (!matches(request)) return true
          removed.push(request)
          return false
        })
      }
      return removed
    }
  }
}
