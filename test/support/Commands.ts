/** Commands of the system: looked up, installed where that is possible, run to their end. */
import { Data, Effect } from "effect"
import { spawn } from "node:child_process"
import { accessSync } from "node:fs"
import * as path from "node:path"
import { real } from "./Server.ts"

export class MissingCommand extends Data.TaggedError("MissingCommand")<{ readonly message: string }> {}

/** It ended with another code than 0; the message has what it said last. */
export class CommandFailed extends Data.TaggedError("CommandFailed")<{ readonly message: string }> {}

export interface Options {
  readonly input?: string
  /** On top of the environment of the test. */
  readonly env?: Readonly<Record<string, string>>
}

/** Its standard output. Interrupted, it is killed. */
export const run = (
  [command, ...args]: readonly [string, ...ReadonlyArray<string>],
  { input = "", env = {} }: Options = {}
): Effect.Effect<string, CommandFailed> =>
  Effect.callback<string, CommandFailed>((resume) => {
    const child = spawn(command, args, { stdio: "pipe", env: { ...process.env, ...env } })
    const failed = (how: string) =>
      resume(
        Effect.fail(
          new CommandFailed({ message: `${path.basename(command)} ${how}:\n${(stderr + stdout).slice(-2_000)}` })
        )
      )
    let [stdout, stderr] = ["", ""]
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => void (stdout += chunk))
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => void (stderr += chunk))
    child.once("error", ({ message }) => failed(`did not start (${message})`))
    child.once("close", (code, signal) =>
      code === 0 ? resume(Effect.succeed(stdout)) : failed(`ended with ${code ?? signal}`)
    )
    // One that does not read to the end says why in its own words.
    child.stdin.on("error", () => {}).end(input)
    return Effect.sync(() => void child.kill("SIGKILL"))
  })

/**
 * What a test needs of the system: a command or a file, and the Debian package that has it. Missing packages are installed when the
 * tests run as root where there is `apt-get`; elsewhere, and when that fails again and again, the error says what to install.
 */
export const require = (packages: Readonly<Record<string, string>>): Effect.Effect<void, MissingCommand> =>
  Effect.suspend(() => {
    const missing = absent(packages)
    if (missing.length === 0) return Effect.void
    const names = [...new Set(missing.map((command) => packages[command]!))]
    const refused = (why: string) =>
      new MissingCommand({
        message: `${missing.join(", ")} missing. ${why}Install it: apt-get install ${names.join(" ")}`
      })
    if (process.getuid?.() !== 0 || !present("apt-get")) return Effect.fail(refused(""))
    return install(names).pipe(
      Effect.catch(() => Effect.andThen(apt("update"), install(names))),
      // A mirror that does not answer for a moment, or the lock of a neighbour's lists, for which apt does not wait.
      Effect.tapError(({ message }) => (unknown.test(message) ? Effect.void : real(3_000))),
      Effect.retry({ times: 9, while: ({ message }) => !unknown.test(message) }),
      Effect.mapError((error) => refused(`${error.message}\n`)),
      Effect.filterOrFail(
        () => absent(packages).length === 0,
        () => refused(`${absent(packages).join(", ")} did not come with the package. `)
      ),
      Effect.asVoid
    )
  })

const unknown = /Unable to locate package/

const absent = (packages: Readonly<Record<string, string>>): ReadonlyArray<string> =>
  Object.keys(packages).filter((command) => !present(command))

const present = (command: string): boolean =>
  (command.includes("/") ? [""] : (process.env.PATH ?? "").split(path.delimiter)).some((folder) => {
    try {
      accessSync(path.join(folder, command))
      return true
    } catch {
      return false
    }
  })

const install = (names: ReadonlyArray<string>) => apt("install", "--yes", "--no-install-recommends", ...names)

const apt = (...args: ReadonlyArray<string>) =>
  run(["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=5", ...args], {
    // Runlevel 1 keeps a fresh package from starting the system's own server; it would hold the standard ports.
    env: { RUNLEVEL: "1", DEBIAN_FRONTEND: "noninteractive" }
  })
