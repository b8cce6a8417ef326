/** A worker as a process: signals take it down the ladder of `Shutdown`. */
import { Host } from "@apium/hub/Host"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import type { Level, Shutdown } from "../Shutdown.ts"
import { Worker } from "../Worker.ts"
import { layerHost } from "./host.ts"

const announced: Readonly<Record<Exclude<Level, "running">, string>> = {
  warm: "Warm shutdown: tasks that run are finished; once more to interrupt them",
  soft: "Soft shutdown: tasks that run have some time to finish; once more to interrupt them",
  cold: "Cold shutdown: tasks that run are interrupted, and given back; once more to exit at once",
  hard: "Hard shutdown"
}

/** Nothing else may be left to keep the process alive. */
const keptAlive = Effect.acquireRelease(
  Effect.sync(() => setInterval(() => undefined, 2 ** 31 - 1)),
  (timer) => Effect.sync(() => clearInterval(timer))
)

/**
 * Runs a worker until a signal, remote control or an interruption ends it, and gives back how far down the ladder that went.
 * While it runs, SIGTERM, SIGINT, SIGQUIT and SIGHUP (as SIGTERM) are its own; a hard shutdown exits with code 1 on the spot.
 */
export const launch = <E, R>(worker: Layer.Layer<Worker, E, R>): Effect.Effect<Level, E, R> =>
  Effect.gen(function* () {
    const { signals } = yield* Host
    const early = Deferred.makeUnsafe<void>()
    let shutdown: Shutdown["Service"] | undefined
    let level: Level = "running"

    // The signals outlive the worker: the last of them ends a worker that cannot end.
    yield* signals.pipe(
      Stream.runForEach((signal) =>
        Effect.gen(function* () {
          // Before there is a worker, any of them ends the start.
          const reached = shutdown === undefined ? "warm" : yield* shutdown.signal(signal)
          if (shutdown === undefined) yield* Deferred.succeed(early, undefined)
          if (reached === level || reached === "running") return
          level = reached
          yield* Effect.logWarning(announced[reached])
          if (reached === "hard") process.exit(1)
        })
      ),
      Effect.forkScoped({ startImmediately: true })
    )
    yield* keptAlive
    yield* Effect.scoped(
      Effect.gen(function* () {
        const started = yield* Effect.raceFirst(Layer.build(worker), Effect.as(Deferred.await(early), undefined))
        if (started === undefined) return
        const { shutdown: ladder, stopped } = Context.get(started, Worker)
        shutdown = ladder
        yield* stopped
        level = ladder.level()
      })
    )
    return level
  }).pipe(Effect.scoped, Effect.provide(layerHost))

/** `launch` as a program: exits with 0 after a warm shutdown, with 1 after a cold one and when the worker could not start. */
export const run = <E>(worker: Layer.Layer<Worker, E>): void => {
  const fiber = Effect.runFork(
    Effect.tapCause(launch(worker), (cause) =>
      Cause.hasInterruptsOnly(cause) ? Effect.void : Effect.logFatal("The worker could not run", cause)
    )
  )
  fiber.addObserver((exit) => {
    process.exitCode = Exit.isSuccess(exit) && exit.value !== "cold" ? 0 : 1
  })
}
