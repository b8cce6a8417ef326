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

/** By Python's names: seconds of processor time, kilobytes, counts. */
const resourceUsage = Effect.sync(() => {
  const usage = process.resourceUsage()
  return {
    utime: usage.userCPUTime / 1e6,
    stime: usage.systemCPUTime / 1e6,
    maxrss: usage.maxRSS,
    ixrss: usage.sharedMemorySize,
    idrss: usage.unsharedDataSize,
    isrss: usage.unsharedStackSize,
    minflt: usage.minorPageFault,
    majflt: usage.majorPageFault,
    nswap: usage.swappedOut,
    inblock: usage.fsRead,
    oublock: usage.fsWrite,
    msgsnd: usage.ipcSent,
    msgrcv: usage.ipcReceived,
    nsignals: usage.signalsCount,
    nvcsw: usage.voluntaryContextSwitches,
    nivcsw: usage.involuntaryContextSwitches
  }
})

/** Bun and Deno say for compatibility which Node they are like, and their own version beside it. */
const runtime = (): string => {
  const { versions } = process
  const name = (["bun", "deno"] as const).find((name) => versions[name] !== undefined) ?? "node"
  return `${name}:${versions[name]}`
}

export const layerHost: Layer.Layer<never> = Layer.sync(Host, () => ({
  hostname: os.hostname(),
  pid: process.pid,
  cpus: os.availableParallelism(),
  system: os.type(),
  platform: { runtime: runtime(), arch: os.arch(), release: os.release() },
  loadAverage: Effect.sync(() => {
    const [one = 0, five = 0, fifteen = 0] = os.loadavg()
    return [one, five, fifteen] as const
  }),
  memory: Effect.sync(() => ({ residentBytes: process.memoryUsage.rss() })),
  resourceUsage,
  signals
}))
