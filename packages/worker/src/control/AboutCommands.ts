/**
 * What a worker says about itself (celery/worker/control.py, celery/utils/debug.py): its settings, a report for who looks for a
 * mistake, its memory; and what it tells one that starts (`hello`).
 */
import { Host } from "@apium/hub/Host"
import * as ControlMessage from "@apium/protocol/celery/ControlMessage"
import * as Effect from "effect/Effect"
import * as Heartbeat from "../events/Heartbeat.ts"
import type { LogicalClock } from "../events/LogicalClock.ts"
import type { Requests } from "../execution/Requests.ts"
import { ArgumentError } from "./Arguments.ts"
import { type Command, command, inspect } from "./Command.ts"
import * as Conf from "./Conf.ts"
import * as Hello from "./Hello.ts"

const units = ["TB", "GB", "MB", "KB"] as const

/** Celery's `humanbytes`: five significant digits. */
export const humanBytes = (bytes: number): string => {
  for (const [index, unit] of units.entries()) {
    const size = 2 ** (40 - 10 * index)
    if (bytes >= size) return `${Number((bytes / size).toPrecision(5))}${unit}`
  }
  return `${bytes}b`
}

/** Of the samples that were asked for: the latest so many are remembered. */
const maxSamples = 1000

/** Every so manyth, as Celery chooses them. */
const some = (samples: ReadonlyArray<string>, count: number): ReadonlyArray<string> => {
  if (samples.length <= count) return samples
  const step = Math.floor(samples.length / count)
  return samples.filter((_, index) => index % step === 0).slice(0, count)
}

export const make = Effect.fnUntraced(function* (options: {
  readonly hostname: string
  readonly settings: Conf.Options
  readonly transport: string
  readonly requests: Requests["Service"]
  readonly clock: LogicalClock["Service"]
}): Effect.fn.Return<ReadonlyArray<Command>> {
  const { hostname, settings, transport, requests, clock } = options
  const { memory, platform, system } = yield* Host
  let samples: Array<string> = []

  /** Nothing where the platform does not say: as in Celery, where psutil is missing. */
  const resident = Effect.map(memory, ({ residentBytes }) =>
    residentBytes > 0 ? humanBytes(residentBytes) : undefined
  )

  const report = Effect.sync(() => {
    const table = Conf.table(settings, false)
    const { result_backend: results = "unknown" } = table as { readonly result_backend?: string }
    return [
      "",
      `software -> apium:${Heartbeat.version} ${platform?.runtime ?? "runtime:unknown"}`,
      `platform -> system:${system ?? "unknown"} arch:${platform?.arch ?? "unknown"}`,
      `            kernel version:${platform?.release ?? "unknown"} imp:JavaScript`,
      "loader   -> apium",
      `settings -> transport:${transport} results:${results}`,
      "",
      Conf.human(table),
      ""
    ].join("\n")
  })

  return [
    inspect("conf", (args) => Conf.table(settings, args.flag("with_defaults"))),
    command("report", () => Effect.map(report, ControlMessage.ok)),
    command("memsample", () =>
      Effect.map(resident, (now) => {
        if (now === undefined) return null
        samples = [...samples, now].slice(-maxSamples)
        return now
      })
    ),
    command("memdump", (args) => {
      const count = args.whole("samples", 1) ?? 10
      return Effect.map(resident, (now) => {
        if (now === undefined) return "- rss: (psutil not installed).\n"
        const shown = some(samples, count)
        samples = []
        return [
          ...(shown.length === 0 ? [] : ["- rss (sample):", ...shown.map((one) => `-    > ${one},`)]),
          `- rss (end): ${now}.`,
          ""
        ].join("\n")
      })
    }),
    inspect("objgraph", () => {
      // The words of a Python worker without it: there is no such library for JavaScript.
      throw new ArgumentError("ImportError", "Requires the objgraph library")
    }),
    command("hello", (args) => {
      if (args.text("from_node") === hostname) return Effect.succeed(null)
      return Effect.gen(function* () {
        const learned = yield* Hello.merge(requests, args.get("revoked"))
        if (learned > 0) yield* Effect.logInfo("Another worker has started, and knew of revoked tasks", { learned })
        return {
          revoked: yield* Hello.encode(requests),
          clock: clock.forward()
        }
      })
    })
  ]
})
