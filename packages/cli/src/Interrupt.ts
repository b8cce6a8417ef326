/** Ctrl-C, for commands that are no worker: the first one ends them in order, the second one at once. */
import * as Effect from "effect/Effect"
import { Ended } from "./Errors.ts"

/** As a shell counts them. */
const codes = { SIGINT: 130, SIGTERM: 143 } as const

/** The listeners stay when it has ended by a signal: what closes then may take its time, and has to be stoppable. */
const signal = Effect.callback<never, Ended>((resume) => {
  let asked = false
  const listen = (name: keyof typeof codes) => {
    if (asked) process.exit(codes[name])
    asked = true
    resume(Effect.fail(new Ended({ code: codes[name] })))
  }
  process.on("SIGINT", listen)
  process.on("SIGTERM", listen)
  return Effect.sync(() => {
    process.off("SIGINT", listen)
    process.off("SIGTERM", listen)
  })
})

export const untilSignal = <A, E, R>(command: Effect.Effect<A, E, R>): Effect.Effect<A, E | Ended, R> =>
  Effect.raceFirst(command, signal)
