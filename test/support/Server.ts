/** Servers of a test: started until they say that they are ready, stopped, killed and started again with the same ports and data. */
import { Effect, Scope } from "effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import * as Process from "./Process.ts"

export interface Server {
  /** Waits until it is ready. Nothing when it runs. */
  readonly start: Effect.Effect<void, Process.Silent>
  /** SIGTERM, and waits; SIGKILL when it takes longer than 60 s. */
  readonly stop: Effect.Effect<void>
  /** SIGKILL, and waits until it is gone. */
  readonly kill: Effect.Effect<void>
  /** SIGSTOP: the kernel goes on to accept connections and bytes for it, and nobody reads them. */
  readonly freeze: Effect.Effect<void>
  /** SIGCONT */
  readonly thaw: Effect.Effect<void>
  /** What it said last since its last start. */
  readonly lines: () => ReadonlyArray<string>
}

export interface Options extends Process.Options {
  readonly command: ReadonlyArray<string>
  /** Part of the line with which it says that it is ready. */
  readonly ready: string
  /** How long that may take, in milliseconds of real time: 120,000. */
  readonly within?: number
}

/** Started; killed when the scope closes. */
export const start = ({
  command,
  ready,
  within = 120_000,
  env
}: Options): Effect.Effect<Server, Process.Silent, Scope.Scope> =>
  Effect.gen(function* () {
    const scope = yield* Effect.scope
    let process: Process.Process | undefined
    const use = (what: (process: Process.Process) => Effect.Effect<unknown>) =>
      Effect.suspend(() => (process === undefined ? Effect.void : Effect.asVoid(what(process))))
    const gone = Effect.sync(() => void (process = undefined))
    const server: Server = {
      start: Effect.suspend(() =>
        process?.running() !== true
          ? Effect.gen(function* () {
              process = yield* Process.start(command, { env })
              yield* Effect.onError(process.line(ready, within), () => server.kill)
            }).pipe(Effect.provideService(Scope.Scope, scope))
          : Effect.void
      ),
      stop: Effect.andThen(
        use((process) =>
          Effect.gen(function* () {
            yield* process.signal("SIGTERM")
            yield* Effect.raceFirst(process.ended, Effect.andThen(real(60_000), process.kill))
          })
        ),
        gone
      ),
      kill: Effect.andThen(
        use((process) => process.kill),
        gone
      ),
      freeze: use((process) => process.signal("SIGSTOP")),
      thaw: use((process) => process.signal("SIGCONT")),
      lines: () => process?.lines() ?? []
    }
    yield* server.start
    return server
  })

/** Milliseconds of real time, also under a `TestClock`. */
export const real = (milliseconds: number): Effect.Effect<void> =>
  Effect.callback((resume) => {
    const timer = setTimeout(() => resume(Effect.void), milliseconds)
    return Effect.sync(() => clearTimeout(timer))
  })

/** A folder that is removed when the scope closes. */
export const folder: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(path.join(tmpdir(), "apium-"))),
  // A server that was killed this moment may still have a file to write.
  (made) => Effect.sync(() => rmSync(made, { recursive: true, force: true, maxRetries: 5, retryDelay: 20 }))
)
