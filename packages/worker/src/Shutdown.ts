/**
 * How a worker ends: a ladder it only descends (celery/apps/worker.py, WIRE 4.6.4).
 *
 * ```text
 *   running ── SIGTERM, SIGINT ──▶ warm: takes nothing more, finishes what runs
 *      │                             │
 *      └──── SIGQUIT ──────┐   SIGINT, SIGQUIT
 *                          ▼         ▼
 *                      soft: as warm, for as long as `softTimeout` says (0: not at all)
 *                          │ SIGINT, SIGQUIT, time up
 *                          ▼
 *                      cold: interrupts what runs, and gives back what was not acknowledged
 *                          │ SIGINT, SIGQUIT
 *                          ▼
 *                      hard: exits now
 * ```
 *
 * A SIGHUP (the terminal is gone) is a SIGTERM. A SIGTERM that comes again changes nothing, for supervisors repeat it. With `remapSigterm: "SIGQUIT"` (Celery's
 * `REMAP_SIGTERM`) it is a SIGQUIT. Whatever the way, what is reserved goes back to its queue, and results and
 * acknowledgements are flushed before the link closes.
 */
import type { Signal } from "@apium/hub/Host"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

export type Level = "running" | "warm" | "soft" | "cold" | "hard"

const ladder: ReadonlyArray<Level> = ["running", "warm", "soft", "cold", "hard"]

const rank = (level: Level): number => ladder.indexOf(level)

export interface Options {
  /** How long what runs may go on before a cold shutdown (Celery's `worker_soft_shutdown_timeout`). Default: not at all. */
  readonly softTimeout?: Duration.Input | undefined
  readonly remapSigterm?: "SIGQUIT" | undefined
}

/** Where a signal leads. */
export const next = (level: Level, signal: Signal, options: Options = {}): Level => {
  const meant = signal === "SIGTERM" && options.remapSigterm !== undefined ? options.remapSigterm : signal
  switch (meant) {
    case "SIGTERM":
    case "SIGHUP":
      return level === "running" ? "warm" : level
    case "SIGINT":
      return level === "running" ? "warm" : further(level, options)
    case "SIGQUIT":
      return further(level, options)
    default:
      return level
  }
}

const further = (level: Level, { softTimeout }: Options): Level => {
  switch (level) {
    case "running":
    case "warm":
      return softTimeout !== undefined && Duration.toMillis(softTimeout) > 0 ? "soft" : "cold"
    case "soft":
      return "cold"
    case "cold":
    case "hard":
      return "hard"
  }
}

export class Shutdown extends Context.Service<
  Shutdown,
  {
    readonly level: () => Level
    /** Goes down to this level, never up. Returns at once: `Worker.stopped` says when it is done. */
    readonly request: (level: Exclude<Level, "running">) => Effect.Effect<void>
    /** Does what this signal asks for, and says where that led. */
    readonly signal: (signal: Signal) => Effect.Effect<Level>
    /** Waits until it is at this level, or below. */
    readonly reached: (level: Exclude<Level, "running">) => Effect.Effect<void>
  }
>()("@apium/worker/Shutdown") {}

/**
 * Told of the ladder of a worker that starts, before its other steps do: whoever passes signals on has no worker yet, and its
 * tasks may run already.
 */
export class Observer extends Context.Reference<(shutdown: Shutdown["Service"]) => void>(
  "@apium/worker/Shutdown/Observer",
  { defaultValue: () => () => undefined }
) {}

export const make = (options: Options): Shutdown["Service"] => {
  let level: Level = "running"
  const reached = new Map(ladder.map((one) => [one, Deferred.makeUnsafe<void>()] as const))
  const descend = (wanted: Level): void => {
    if (rank(wanted) <= rank(level)) return
    level = wanted
    for (const passed of ladder.slice(0, rank(wanted) + 1)) Deferred.doneUnsafe(reached.get(passed)!, Effect.void)
  }
  return {
    level: () => level,
    request: (wanted) => Effect.sync(() => descend(wanted)),
    signal: (signal) =>
      Effect.sync(() => {
        descend(next(level, signal, options))
        return level
      }),
    reached: (wanted) => Deferred.await(reached.get(wanted)!)
  }
}

/** As a step: it also ends a soft shutdown when its time is up. */
export const layer = (options: Options = {}): Layer.Layer<Shutdown> =>
  Layer.effect(
    Shutdown,
    Effect.gen(function* () {
      const shutdown = make(options)
      const observe = yield* Observer
      observe(shutdown)
      yield* shutdown
        .reached("soft")
        .pipe(
          Effect.andThen(Effect.sleep(options.softTimeout ?? 0)),
          Effect.andThen(shutdown.request("cold")),
          Effect.forkScoped
        )
      return shutdown
    })
  )
