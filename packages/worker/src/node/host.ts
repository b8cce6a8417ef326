/** The `Host` of a process: Node, Bun and Deno alike. */
import { Host, type Signal } from "@apium/hub/Host"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import * as os from "node:os"

const signalNames: ReadonlyArray<Signal> = ["SIGTERM", "SIGINT", "SIGQUIT", "SIGUSR1", "SIGHUP"]

/** While this runs, these signals do not end the process. */
const signals = Stream.callback<Signal>((queue) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const listen = (signal: Signal) => void Queue.offerUnsafe(queue, signal)
      for (const name of signalNames) process.on(name, listen)
      return listen
    }),
    (listen) =>
      Effect.sync(() => {
        for (const name of signalNames) process.off(name, listen)
      })
  )
)

export const layerHost: Layer.Layer<never> = Layer.sync(Host, () => ({
  hostname: os.hostname(),
  pid: process.pid,
  cpus: os.availableParallelism(),
  system: os.type(),
  loadAverage: Effect.sync(() => {
    const [one = 0, five = 0, fifteen = 0] = os.loadavg()
    return [one, five, fifteen] as const
  }),
  memory: Effect.sync(() => ({ residentBytes: process.memoryUsage.rss() })),
  signals
}))
