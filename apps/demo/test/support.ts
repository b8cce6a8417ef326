/**
 * The real command, as a process of its own, on the runtime that runs the tests.
 */
import { onTestFinished } from "@effect/vitest"
import { spawn } from "node:child_process"
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

const runtime = "deno" in process.versions ? "deno" : "bun" in process.versions ? "bun" : "node"

const main = fileURLToPath(new URL("../src/main.ts", import.meta.url))

export interface Exit {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface Demo {
  /** Resolves with all of standard output when it has this; rejects when the process ended without. */
  readonly says: (pattern: RegExp) => Promise<string>
  readonly interrupt: () => void
  /** SIGKILL. */
  readonly kill: () => void
  readonly exit: Promise<Exit>
}

const command = (args: ReadonlyArray<string>): ReadonlyArray<string> => [
  process.execPath,
  ...(runtime === "deno" ? ["run", "-A"] : []),
  "--conditions=@apium/source",
  main,
  ...args
]

const launch = ([file, ...args]: ReadonlyArray<string>, env: Readonly<Record<string, string>> = {}): Demo => {
  const inherited = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(?:FORCE_COLOR$|APIUM_(?:BROKER|RESULT_BACKEND))/.test(name))
  )
  const child = spawn(file!, args, { env: { ...inherited, ...env }, stdio: ["ignore", "pipe", "pipe"] })
  // A test that gives up leaves nothing behind.
  onTestFinished(() => void child.kill("SIGKILL"))
  let stdout = ""
  let stderr = ""
  const listeners = new Set<() => void>()
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text
    for (const listener of listeners) listener()
  })
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text
  })
  const exit = new Promise<Exit>((resolve, reject) => {
    child.on("error", reject)
    // Deno takes exit code 130 for an end by SIGINT.
    child.on("close", (code, signal) => resolve({ code: signal === "SIGINT" ? 130 : code, stdout, stderr }))
  })
  return {
    says: (pattern) =>
      new Promise((resolve, reject) => {
        const listener = () => {
          if (!pattern.test(stdout)) return
          listeners.delete(listener)
          resolve(stdout)
        }
        listeners.add(listener)
        listener()
        exit.then(
          () => reject(new Error(`It never said ${String(pattern)}, but:\n${stdout}${stderr}`)),
          (error: unknown) => reject(error)
        )
      }),
    interrupt: () => void child.kill("SIGINT"),
    kill: () => void process.kill(child.pid!, "SIGKILL"),
    exit
  }
}

export const start = (args: ReadonlyArray<string>, env?: Readonly<Record<string, string>>): Demo =>
  launch(command(args), env)

/** `demo ... | head -n 1`, with the demo's exit code on standard error. */
export const startIntoHead = (args: ReadonlyArray<string>): Demo =>
  launch(["sh", "-c", '{ "$@"; echo "code $?" >&2; } | head -n 1', "sh", ...command(args)])

export const demo = (args: ReadonlyArray<string>, env?: Readonly<Record<string, string>>): Promise<Exit> =>
  start(args, env).exit

/** A folder that is gone when the block is left. */
export class Folder implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "apium demo "))
  constructor(files: Readonly<Record<string, string | Uint8Array>> = {}) {
    for (const [name, content] of Object.entries(files)) {
      const path = join(this.path, name)
      mkdirSync(dirname(path), { recursive: true })
      writeFileSync(path, content)
    }
  }
  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true })
  }
}
