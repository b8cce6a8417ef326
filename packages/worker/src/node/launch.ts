/** A worker as a process: signals take it down the ladder of `Shutdown`. */
import type { Signal } from "@apium/hub/Host"
import type { HubError } from "@apium/hub/HubError"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import { setInterval, setTimeout } from "node:timers"
import * as Shutdown from "../Shutdown.ts"
import { Worker } from "../Worker.ts"
import { layerHost } from "./host.ts"

const announced = {
  warm: "Warm shutdown: tasks that run are finished; once more to interrupt them",
  soft: "Soft shutdown: tasks that run have some time to finish; once more to interrupt them",
  cold: "Cold shutdown: tasks that run are interrupted, and given back; once more to exit at once",
  hard: "Hard shutdown"
} as const

const levels = ["warm", "soft", "cold", "hard"] as const

/** Says where a ladder has led, whoever asked for it (a signal, remote control, the time that was up), and ends on its last rung. */
const watch = (ladder: Shutdown.Shutdown["Service"]): Effect.Effect<void> =>
  Effect.forEach(
    levels,
    (level) =>
      Effect.andThen(
        ladder.reached(level),
        // A level that was passed on the way down says nothing.
        Effect.suspend(() => (ladder.level() === level ? Effect.logWarning(announced[level]) : Effect.void))
      ),
    { concurrency: "unbounded", discard: true }
  ).pipe(Effect.andThen(Effect.sync(() => process.exit(1))))

/** Obeyed on the spot, and not when some fiber's turn comes: nothing begins after a signal. */
const listening = (obey: (signal: Signal) => void) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      for (const signal of signals) process.on(signal, obey)
    }),
    () =>
      Effect.sync(() => {
        for (const signal of signals) process.off(signal, obey)
      })
  )

const signals = ["SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP"] as const

/** Nothing else may be left to keep the process alive. */
const keptAlive = Effect.acquireRelease(
  Effect.sync(() => setInterval(() => undefined, 2 ** 31 - 1)),
  (timer) => Effect.sync(() => clearInterval(timer))
)

/**
 * Runs a worker until a signal, remote control or an interruption ends it, and gives back how far down the ladder that went.
 * While it runs, SIGTERM, SIGINT, SIGQUIT and SIGHUP (as SIGTERM) are its own; a hard shutdown exits with code 1 on the spot.
 */
export const launch = <E, R>(worker: Layer.Layer<Worker, E, R>): Effect.Effect<Shutdown.Level, E | HubError, R> =>
  Effect.gen(function* () {
    // Before the worker has a ladder, any signal ends the start, and the third one a start that does not end.
    const starting = Shutdown.make({})
    const worked = Deferred.makeUnsafe<Shutdown.Shutdown["Service"]>()
    let ladder = starting
    const follow = (shutdown: Shutdown.Shutdown["Service"]): void => {
      if (ladder !== starting) return
      const asked = starting.level()
      ladder = shutdown
      Deferred.doneUnsafe(worked, Effect.succeed(shutdown))
      if (asked !== "running") Effect.runSync(shutdown.request(asked))
    }

    // The signals outlive the worker: the last of them ends a worker that cannot end.
    yield* listening((signal) => Effect.runSync(ladder.signal(signal)))
    yield* Effect.forkScoped(watch(starting), { startImmediately: true })
    yield* Effect.forkScoped(Effect.flatMap(Deferred.await(worked), watch), { startImmediately: true })
    yield* keptAlive
    const ended = Effect.raceFirst(
      starting.reached("warm"),
      Effect.flatMap(Deferred.await(worked), (shutdown) => shutdown.reached("warm"))
    )
    yield* Effect.scoped(
      Effect.gen(function* () {
        const building = Effect.provideService(Layer.build(worker), Shutdown.Observer, follow)
        const started = yield* Effect.raceFirst(building, Effect.as(ended, undefined))
        if (started === undefined) return
        const { shutdown, stopped } = Context.get(started, Worker)
        // A worker of other steps may not have told.
        follow(shutdown)
        yield* stopped
      })
    )
    return ladder.level()
  }).pipe(Effect.scoped, Effect.provide(layerHost))

/** How long what a worker has left behind (a handler that could not be interrupted) may keep the process. In milliseconds. */
const exitGrace = 1000

/**
 * `launch` as a program, which ends the process: with 0 after a warm shutdown, with 1 after a cold one and when the worker
 * could not start.
 */
export const run = <E>(worker: Layer.Layer<Worker, E>): void => {
  // Until the very end: a supervisor that repeats itself would kill a worker that is through, and take it for a failure.
  for (const signal of signals) process.on(signal, () => undefined)
  const fiber = Effect.runFork(
    Effect.tapCause(launch(worker), (cause) =>
      Cause.hasInterruptsOnly(cause) ? Effect.void : Effect.logFatal("The worker could not run", cause)
    )
  )
  fiber.addObserver((exit) => {
    process.exitCode = Exit.isSuccess(exit) && exit.value !== "cold" ? 0 : 1
    setTimeout(() => process.exit(), exitGrace).unref()
  })
}
