/**
 * For process tests: `APIUM_FAILPOINT=after-result-store:17` ends this process with SIGKILL when the 17th task comes past that
 * step. Without the variable nothing is installed.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Failpoint, type Step, steps } from "../execution/Failpoint.ts"

const isStep = (name: string): name is Step => (steps as ReadonlyArray<string>).includes(name)

/** Dies of a value that names no step, or counts nothing. */
export const layerFailpoint: Layer.Layer<never> = Layer.suspend(() => {
  const value = process.env.APIUM_FAILPOINT
  if (value === undefined || value === "") return Layer.empty
  const [name = "", times = "1", ...rest] = value.split(":")
  let left = Number(times)
  if (!isStep(name) || !Number.isSafeInteger(left) || left < 1 || rest.length > 0) {
    throw new RangeError(`APIUM_FAILPOINT should be <step>:<times>, with a step of ${steps.join(", ")}`)
  }
  return Layer.succeed(Failpoint, (step) =>
    Effect.suspend(() => {
      if (step !== name || --left !== 0) return Effect.void
      process.kill(process.pid, "SIGKILL")
      // The signal is on its way; nothing of this process goes on before it arrives.
      return Effect.never
    })
  )
})
