/**
 * What the machine is, as far as a runtime can tell: a portable default that knows nothing, and the real one from a runtime
 * door (`@apium/worker/node`).
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

export type Signal = "SIGTERM" | "SIGINT" | "SIGQUIT" | "SIGUSR1" | "SIGHUP"

export interface Machine {
  readonly hostname: string
  /** 0 where there are no processes. */
  readonly pid: number
  readonly cpus: number
  /** The operating system, in Python's words: `Linux`, `Darwin`. Left out: unknown. */
  readonly system?: string | undefined
  /** For reports: `node:24.1.0`, `x64`, and the version of the operating system. Left out: unknown. */
  readonly platform?: { readonly runtime: string; readonly arch: string; readonly release: string } | undefined
  /** Over 1, 5 and 15 minutes; zeros where unknown. */
  readonly loadAverage: Effect.Effect<readonly [number, number, number]>
  readonly memory: Effect.Effect<{ readonly residentBytes: number }>
  /** What the process has used so far, by the names and in the units of Python's `getrusage`. Left out: unknown. */
  readonly resourceUsage?: Effect.Effect<{ readonly [name: string]: number }> | undefined
  /** What the operating system asks of the process. */
  readonly signals: Stream.Stream<Signal>
}

export class Host extends Context.Reference<Machine>("@apium/hub/Host", {
  defaultValue: () => ({
    hostname: "localhost",
    pid: 0,
    cpus: 1,
    loadAverage: Effect.succeed([0, 0, 0] as const),
    memory: Effect.succeed({ residentBytes: 0 }),
    signals: Stream.never
  })
}) {}
