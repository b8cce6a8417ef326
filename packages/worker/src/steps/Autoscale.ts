/**
 * The step that lets a worker grow with its work (celery/worker/autoscale.py): once a second it looks at how many tasks it has
 * in its hands, starts more at once when there are more than slots, and retires slots that nobody needed for a while.
 *
 * It requires the tasks and the timer.
 */
import { Hub } from "@apium/hub/Hub"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Requests } from "../execution/Requests.ts"

export interface Options {
  readonly max: number
  readonly min: number
  /** How long after the last growth the worker keeps what it has. Default 30 s, Celery's `AUTOSCALE_KEEPALIVE`. */
  readonly keepalive?: Duration.Input | undefined
}

/** How often it looks. */
const interval = "1 second"

export const layer = (options: Options): Layer.Layer<never, never, Requests | Hub> =>
  Layer.effectDiscard(
    Effect.gen(function* () {
      const requests = yield* Requests
      const hub = yield* Hub
      const clock = yield* Clock.Clock
      const keepalive = Duration.toMillis(options.keepalive ?? "30 seconds")
      const min = Math.max(1, options.min)
      const max = Math.max(min, options.max)
      let grewAt = Number.NEGATIVE_INFINITY

      const scale = Effect.suspend(() => {
        const now = Number(clock.monotonicTimeNanosUnsafe() / 1_000_000n)
        const current = requests.concurrency()
        const wanted = Math.min(max, Math.max(min, requests.active().length + requests.reserved().length))
        if (wanted > current) {
          grewAt = now
          return Effect.andThen(Effect.logInfo("Scaling up", { from: current, to: wanted }), requests.resize(wanted))
        }
        return wanted < current && now - grewAt >= keepalive
          ? Effect.andThen(Effect.logInfo("Scaling down", { from: current, to: wanted }), requests.resize(wanted))
          : Effect.void
      })

      yield* Effect.acquireRelease(hub.callRepeatedly(interval, scale), (timer) => timer.cancel)
    })
  )
