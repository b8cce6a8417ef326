/**
 * The step that lets a worker grow with its work (celery/worker/autoscale.py): once a second it looks at how many tasks it has
 * in its hands, starts more at once when there are more than slots, and retires slots that nobody needed for a while.
 *
 * Where the window is full, nobody knows how many more there are: with `fetch: "exact"` or a multiplier of 1 there are never more
 * than slots. It doubles them then, and keeps one that is free, which tells that there are no more. (Celery's window is of
 * `max` slots from the beginning, and holds what other workers could run.)
 *
 * It requires the tasks and the timer.
 */
import { Hub } from "@apium/hub/Hub"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
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

export interface Scale {
  readonly max: number
  readonly min: number
}

/** For remote control. */
export class Autoscaler extends Context.Service<
  Autoscaler,
  {
    /** Grows or shrinks at once to what is outside of it now; at least one. */
    readonly update: (max: number, min: number) => Effect.Effect<Scale>
    /** What `inspect stats` shows under `autoscaler`; `qty`: how many tasks the worker has in its hands. */
    readonly info: () => Scale & { readonly current: number; readonly qty: number }
  }
>()("@apium/worker/Autoscaler") {}

/** How often it looks. */
const interval = "1 second"

export const layer = (options: Options): Layer.Layer<Autoscaler, never, Requests | Hub> =>
  Layer.effect(
    Autoscaler,
    Effect.gen(function* () {
      const requests = yield* Requests
      const hub = yield* Hub
      const clock = yield* Clock.Clock
      const keepalive = Duration.toMillis(options.keepalive ?? "30 seconds")
      let min = Math.max(1, options.min)
      let max = Math.max(min, options.max)
      let grewAt = Number.NEGATIVE_INFINITY
      /** Slots that are kept free: one, if it grew without knowing how many it needs. */
      let spare = 0

      const qty = () => requests.active().length + requests.reserved().length

      /** No slot is free, and no delivery comes before one is settled. */
      const full = (): boolean => {
        const active = requests.active()
        if (active.length < requests.concurrency()) return false
        const unsettled = active.filter(({ request }) => request.acknowledged !== true).length
        return unsettled + requests.reserved().length + requests.scheduled().length >= requests.prefetch()
      }

      const scale = Effect.suspend(() => {
        const now = Number(clock.monotonicTimeNanosUnsafe() / 1_000_000n)
        const current = requests.concurrency()
        const known = qty()
        const needed = full() ? Math.max(known, 2 * current) : known
        const wanted = Math.min(max, Math.max(min, needed))
        if (wanted > current) {
          grewAt = now
          spare = needed > known ? 1 : 0
          return Effect.andThen(Effect.logInfo("Scaling up", { from: current, to: wanted }), requests.resize(wanted))
        }
        const kept = Math.min(max, Math.max(min, needed + spare))
        return kept < current && now - grewAt >= keepalive
          ? Effect.andThen(Effect.logInfo("Scaling down", { from: current, to: kept }), requests.resize(kept))
          : Effect.void
      })

      yield* Effect.acquireRelease(hub.callRepeatedly(interval, scale), (timer) => timer.cancel)

      return {
        update: (most, least) =>
          Effect.suspend(() => {
            min = Math.max(1, least)
            max = Math.max(min, most)
            const current = requests.concurrency()
            const wanted = Math.min(max, Math.max(min, current))
            return Effect.as(wanted === current ? Effect.void : requests.resize(wanted), { max, min })
          }),
        info: () => ({ max, min, current: requests.concurrency(), qty: qty() })
      }
    })
  )
