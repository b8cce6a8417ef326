/** What a Redis is asked, by everybody: its `MONITOR`. */
import { Effect } from "effect"
import * as Process from "../../../../test/support/Process.ts"
import { Redis as Server } from "../../../../test/support/Redis.ts"

export interface Asked {
  /** Whether a script asked. */
  readonly script: boolean
  readonly command: string
  readonly args: ReadonlyArray<string>
}

/** Everything that is asked while this runs, by who waits for something as well: on a slow machine these ask often. */
export const during = <A, E, R>(work: Effect.Effect<A, E, R>) =>
  Effect.scoped(
    Effect.gen(function* () {
      const server = yield* Server
      const { host, port } = server.node
      const monitor = yield* Process.start(["redis-cli", "-h", host, "-p", String(port), "MONITOR"], { kept: 100_000 })
      yield* monitor.line("OK")
      const value = yield* work
      yield* server.command("ECHO", "the end of the monitor")
      yield* monitor.line("the end of the monitor")
      return { value, asked: monitor.lines().flatMap(read) }
    })
  )

/** `1795222784.058593 [0 lua] "SETEX" "key" "86400" "text"` */
const read = (line: string): ReadonlyArray<Asked> => {
  const match = /^\d+\.\d+ \[\d+ (\S+)\] (.*)$/.exec(line)
  if (match === null) return []
  const [command = "", ...args] = words(match[2]!)
  return command === "ECHO" ? [] : [{ script: match[1] === "lua", command: command.toUpperCase(), args }]
}

/** `"SETEX" "key" "{\"status\": ...}"`: what Redis cannot print is `\xff`. */
export const words = (text: string): ReadonlyArray<string> =>
  [...text.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([, quoted]) =>
    quoted!.replace(/\\(x[0-9a-f]{2}|.)/g, (_, code: string) =>
      code.length === 3
        ? String.fromCharCode(Number.parseInt(code.slice(1), 16))
        : ({ n: "\n", r: "\r", t: "\t", a: "\x07", b: "\b" }[code] ?? code)
    )
  )
