/** What a fault test prints and bounds: times, and what a process holds. */
import { Effect } from "effect"
import { readdirSync, readlinkSync } from "node:fs"
import { connect } from "node:net"

/** How often, or how many: usually, and with `APIUM_FULL=1`. */
export const times = (usual: number, full: number): number => (process.env["APIUM_FULL"] === "1" ? full : usual)

/** One line, beside the test's name. */
export const print = (line: string): Effect.Effect<void> => Effect.sync(() => console.log(line))

/** `p50/p95/max` of milliseconds. */
export const spread = (milliseconds: ReadonlyArray<number>): string => {
  const sorted = milliseconds.toSorted((one, other) => one - other)
  const at = (share: number) => Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0)
  return `${at(0.5)}/${at(0.95)}/${at(1)}`
}

/** Milliseconds that it took. */
export const timed = <A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<number, E, R> =>
  Effect.suspend(() => {
    const began = performance.now()
    return Effect.map(work, () => performance.now() - began)
  })

/** Sockets that this process has open, TCP and others. */
export const sockets = (): number => {
  let open = 0
  for (const name of readdirSync("/proc/self/fd")) {
    try {
      if (readlinkSync(`/proc/self/fd/${name}`).startsWith("socket:")) open++
    } catch {
      // The folder's own, which is closed by now.
    }
  }
  return open
}

/** Octets of the heap that are in use, after a collection where the runtime lets us ask for one. */
export const heap: Effect.Effect<number> = Effect.promise(async () => {
  const { runInNewContext } = await import("node:vm")
  const { setFlagsFromString } = await import("node:v8")
  try {
    setFlagsFromString("--expose-gc")
    for (let turn = 0; turn < 3; turn++) {
      await new Promise((resolve) => setTimeout(resolve, 5))
      ;(runInNewContext("gc") as () => void)()
    }
  } catch {
    // Deno and Bun.
  }
  return process.memoryUsage().heapUsed
})

export const mebibytes = (octets: number): string => (octets / 1_048_576).toFixed(1)

/** Asks again every few milliseconds, until it is so. */
export const until = <E, R>(holds: Effect.Effect<boolean, E, R>): Effect.Effect<void, E, R> =>
  Effect.flatMap(holds, (held) => (held ? Effect.void : Effect.andThen(Effect.sleep("5 millis"), until(holds))))

/** When somebody listens at this port. */
export const listening = (port: number): Effect.Effect<void> =>
  until(
    Effect.callback<boolean>((resume) => {
      const socket = connect({ host: "127.0.0.1", port })
      socket.once("connect", () => {
        socket.destroy()
        resume(Effect.succeed(true))
      })
      socket.once("error", () => resume(Effect.succeed(false)))
    })
  )
