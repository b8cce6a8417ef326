/**
 * Programs of a test as real processes: bundled once, started often, sent signals, read line by line. A process that a test
 * leaves behind is killed when its scope closes.
 */
import { Data, Deferred, Effect, type Scope } from "effect"
import { build } from "esbuild"
import { type ChildProcess, spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { createInterface } from "node:readline"

const root = path.resolve(import.meta.dirname, "../..")

/** A process ended, and had not said what the test waited for. */
export class Unsaid extends Data.TaggedError("Unsaid")<{ readonly message: string }> {}

export interface Ended {
  readonly code: number | null
  /** What killed it, if anything did. */
  readonly signal: NodeJS.Signals | null
  readonly lines: ReadonlyArray<string>
  /** What it said last. */
  readonly last: string
  readonly stderr: string
}

export interface Program {
  readonly signal: (signal: NodeJS.Signals) => Effect.Effect<void>
  /** Waits for a line of its stdout that contains this, from the first one on. */
  readonly line: (text: string) => Effect.Effect<string, Unsaid>
  /** What it has said on its stdout by now. */
  readonly lines: () => ReadonlyArray<string>
  readonly ended: Effect.Effect<Ended>
}

/** One module of everything the program needs but Node.js: a start costs a third of what it does from sources. */
export const bundle = (file: string): Effect.Effect<string, never, Scope.Scope> =>
  Effect.gen(function* () {
    const folder = yield* Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(path.join(tmpdir(), "apium-"))),
      (made) => Effect.sync(() => rmSync(made, { recursive: true, force: true }))
    )
    const outfile = path.join(folder, "program.mjs")
    yield* Effect.promise(() =>
      build({
        absWorkingDir: root,
        entryPoints: [file],
        outfile,
        bundle: true,
        format: "esm",
        target: "node22",
        platform: "node",
        mainFields: ["module", "main"],
        conditions: ["@apium/source"],
        // CommonJS inside of it, such as Redis' client, requires what Node.js brings.
        banner: {
          js: 'import { createRequire as requireOf } from "node:module"; const require = requireOf(import.meta.url);'
        },
        logLevel: "error"
      })
    )
    return outfile
  })

/** `env` comes on top of the environment of the test. Always Node.js, whatever runs the test. */
export const start = (
  file: string,
  options: { readonly args?: ReadonlyArray<string>; readonly env?: Readonly<Record<string, string>> } = {}
): Effect.Effect<Program, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => running(file, options)),
      ({ child, exited }) =>
        Effect.andThen(
          Effect.sync(() => child.kill("SIGKILL")),
          exited
        )
    ),
    ({ program }) => program
  )

const running = (file: string, { args = [], env = {} }: Parameters<typeof start>[1] & object) => {
  const child: ChildProcess = spawn(node, [file, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...env }
  })
  const lines: Array<string> = []
  const waiting = new Set<{ readonly text: string; readonly said: Deferred.Deferred<string, Unsaid> }>()
  const ended = Deferred.makeUnsafe<Ended>()
  let stderr = ""
  child.stderr!.setEncoding("utf8").on("data", (chunk: string) => {
    stderr += chunk
  })
  createInterface({ input: child.stdout! }).on("line", (line) => {
    lines.push(line)
    for (const one of waiting) {
      if (!line.includes(one.text)) continue
      waiting.delete(one)
      Deferred.doneUnsafe(one.said, Effect.succeed(line))
    }
  })
  const unsaid = (text: string) =>
    new Unsaid({ message: `It never said ${JSON.stringify(text)}, but:\n${lines.join("\n")}\n${stderr}` })
  child.once("error", (error) => {
    stderr += String(error)
  })
  // After the last of its output.
  child.once("close", (code, signal) => {
    Deferred.doneUnsafe(ended, Effect.succeed({ code, signal, lines, last: lines.at(-1) ?? "", stderr }))
    for (const { text, said } of waiting) Deferred.doneUnsafe(said, Effect.fail(unsaid(text)))
  })
  const program: Program = {
    // Not `child.kill`, which in Deno takes the first signal for the end of the process.
    signal: (signal) =>
      Effect.sync(() => {
        try {
          process.kill(child.pid!, signal)
        } catch {
          // It is gone.
        }
      }),
    line: (text) =>
      Effect.suspend(() => {
        const said = lines.find((line) => line.includes(text))
        if (said !== undefined) return Effect.succeed(said)
        if (Deferred.isDoneUnsafe(ended)) return Effect.fail(unsaid(text))
        const one = { text, said: Deferred.makeUnsafe<string, Unsaid>() }
        waiting.add(one)
        return Deferred.await(one.said)
      }),
    lines: () => [...lines],
    ended: Deferred.await(ended)
  }
  return { child, program, exited: Deferred.await(ended) }
}

const node = "Bun" in globalThis || "Deno" in globalThis ? "node" : process.execPath
