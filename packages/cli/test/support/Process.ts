/** The real command, as a process of its own, on the runtime that runs the tests. */
import { onTestFinished } from "@effect/vitest"
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"

export interface Exit {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface Running {
  /** Resolves when either output has it; rejects when the process ended without. */
  readonly says: (text: string) => Promise<void>
  readonly signal: (signal: NodeJS.Signals) => void
  readonly exit: Promise<Exit>
}

const main = fileURLToPath(new URL("../../src/main.ts", import.meta.url))
const fixtures = fileURLToPath(new URL("../fixtures", import.meta.url))

const command = (args: ReadonlyArray<string>): ReadonlyArray<string> => [
  process.execPath,
  ...("deno" in process.versions ? ["run", "-A"] : []),
  "--conditions=@apium/source",
  main,
  ...args
]

const launch = ([file, ...args]: ReadonlyArray<string>, env: Readonly<Record<string, string>> = {}): Running => {
  const { APIUM_BROKER_URL: _, FORCE_COLOR: _color, REMAP_SIGTERM: _remap, ...inherited } = process.env
  const child = spawn(file!, args, {
    cwd: fixtures,
    env: { ...inherited, ...env },
    stdio: ["ignore", "pipe", "pipe"]
  })
  // A test that gives up leaves nothing behind.
  onTestFinished(() => void child.kill("SIGKILL"))
  const written = { stdout: "", stderr: "" }
  const listeners = new Set<() => void>()
  for (const output of ["stdout", "stderr"] as const) {
    child[output].setEncoding("utf8").on("data", (text: string) => {
      written[output] += text
      for (const listener of listeners) listener()
    })
  }
  const exit = new Promise<Exit>((resolve, reject) => {
    child.on("error", reject)
    // Deno takes exit code 130 for an end by SIGINT, and says of a process that it signalled both.
    child.on("close", (code, signal) => resolve({ code: code ?? (signal === "SIGINT" ? 130 : null), ...written }))
  })
  return {
    says: (text) =>
      new Promise((resolve, reject) => {
        const listener = () => {
          if (`${written.stdout}${written.stderr}`.includes(text)) resolve()
        }
        listeners.add(listener)
        listener()
        exit.then(
          () => reject(new Error(`It never said ${text}, but:\n${written.stdout}${written.stderr}`)),
          (error: unknown) => reject(error)
        )
      }),
    // Deno's own `kill` works once.
    signal: (signal) => void process.kill(child.pid!, signal),
    exit
  }
}

export const start = (args: ReadonlyArray<string>, env?: Readonly<Record<string, string>>): Running =>
  launch(command(args), env)

/** `apium ... 2>&1 | head -n 1`, with the command's exit code on standard error. */
export const startIntoHead = (args: ReadonlyArray<string>): Running =>
  launch(["sh", "-c", '{ { "$@" 2>&1; echo "code $?" >&3; } | head -n 1; } 3>&2', "sh", ...command(args)])
