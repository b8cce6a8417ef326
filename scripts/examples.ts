/**
 * Keeps every example true: type-checks and runs the ```ts blocks of README.md, docs and packages/{*}/README.md, and runs examples/.
 *
 *   ```ts            type-checked and run: it has to end, and end well
 *   ```ts no-run     type-checked only
 *   ```ts tasks.ts   the same as ```ts, under a name that the page's other blocks can import as "./tasks.ts"
 *
 *   ```console          its `$ apium ...` lines are run in the page's folder; what follows one is what it prints, with … for anything
 *   ```console no-run   to be read
 *
 * A block or a file may close with what it prints, and is held to it (a file of examples/ that does not is a module for others, and not run):
 *
 *   // prints:
 *   // 5
 *
 * Blocks go to .tmp/examples: Node.js runs no TypeScript below node_modules. They keep their line numbers, so an error points into the page.
 */
import { execFile, spawnSync } from "node:child_process"
import { chmodSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { availableParallelism } from "node:os"
import * as path from "node:path"

interface Example {
  readonly name: string
  /** A TypeScript file, or a line for a shell. */
  readonly file: string
  /** Where a line is run. */
  readonly folder?: string
  readonly prints: string | undefined
}

const root = path.resolve(import.meta.dirname, "..")
const out = path.join(root, ".tmp/examples")

const printsOf = (source: string): string | undefined =>
  /^\/\/ prints:\n((?:\/\/.*\n?)*)\s*$/m
    .exec(source)?.[1]
    ?.replaceAll(/^\/\/ ?/gm, "")
    .trim()

/** The commands of a page's sessions, each with what it is to print. */
const sessionsOf = (page: string, markdown: string, folder: string): ReadonlyArray<Example> =>
  [...markdown.matchAll(/^```console\b(.*)\n([^]*?)^```$/gm)].flatMap(({ 1: words = "", 2: session = "", index }) => {
    if (/\bno-run\b/.test(words)) return []
    const line = markdown.slice(0, index).split("\n").length
    return [...session.matchAll(/^\$ (.*)\n((?:(?!\$ ).*\n)*)/gm)].map(({ 1: file = "", 2: prints = "" }) => ({
      name: `${page}:${line} ${file}`,
      file,
      folder,
      prints: prints.trim()
    }))
  })

/** Writes the blocks of a page, and answers with those to run. */
const blocksOf = (page: string): ReadonlyArray<Example> => {
  const markdown = readFileSync(path.join(root, page), "utf8")
  const folder = path.join(out, page.replace(/\.md$/, ""))
  const examples: Array<Example> = []
  for (const { 1: words = "", 2: source = "", index } of markdown.matchAll(/^```ts\b(.*)\n([^]*?)^```$/gm)) {
    const line = markdown.slice(0, index).split("\n").length
    const name = /\S+\.ts\b/.exec(words)?.[0] ?? `line${line}.ts`
    const file = path.join(folder, name)
    mkdirSync(folder, { recursive: true })
    writeFileSync(file, "\n".repeat(line) + source)
    if (!/\bno-run\b/.test(words)) examples.push({ name: `${page}:${line}`, file, prints: printsOf(source) })
  }
  return [...examples, ...sessionsOf(page, markdown, folder)]
}

const escaped = (text: string): string => text.replaceAll(/[\\^$.*+?()[\]{}|]/g, String.raw`\$&`)

const matches = (printed: string, expected: string): boolean =>
  new RegExp(`^${expected.split("…").map(escaped).join(".*")}$`).test(printed)

const bin = path.join(out, "bin")
const writeApium = (): void => {
  mkdirSync(bin)
  const main = path.join(root, "packages/cli/src/main.ts")
  writeFileSync(
    path.join(bin, "apium"),
    `#!/bin/sh\nexec "${process.execPath}" --conditions=@apium/source "${main}" "$@"\n`
  )
  chmodSync(path.join(bin, "apium"), 0o755)
}

const runLine = ({ file, folder, name, prints }: Example): Promise<string | undefined> =>
  new Promise((resolve) => {
    const env = { ...process.env, NO_COLOR: "1", PATH: `${bin}${path.delimiter}${process.env.PATH}` }
    execFile("sh", ["-c", `${file} 2>&1`], { cwd: folder, timeout: 30_000, env }, (_, stdout) => {
      resolve(matches(stdout.trim(), prints ?? "") ? undefined : `${name} prints\n${stdout}instead of\n${prints}`)
    })
  })

const run = (example: Example): Promise<string | undefined> =>
  new Promise((resolve) => {
    if (example.folder !== undefined) return resolve(runLine(example))
    const { file, name, prints } = example
    const options = { cwd: root, timeout: 30_000, env: { ...process.env, NO_COLOR: "1" } }
    execFile(process.execPath, ["--conditions=@apium/source", file], options, (error, stdout, stderr) => {
      if (error !== null) resolve(`${name} ${error.killed ? "did not end within 30 s" : "failed"}\n${stdout}${stderr}`)
      else if (prints !== undefined && stdout.trim() !== prints)
        resolve(`${name} prints\n${stdout}instead of\n${prints}`)
      else resolve(undefined)
    })
  })

rmSync(out, { recursive: true, force: true })
mkdirSync(out, { recursive: true })
writeApium()

const pages = globSync(["README.md", "docs/**/*.md", "packages/*/README.md", "examples/**/*.md"], {
  cwd: root,
  exclude: ["**/node_modules/**"]
})
const blocks = pages.toSorted().flatMap(blocksOf)
const files = globSync("examples/**/*.ts", { cwd: root, exclude: ["**/node_modules/**"] })
  .toSorted()
  .map((name) => ({ name, file: path.join(root, name), prints: printsOf(readFileSync(path.join(root, name), "utf8")) }))
const faults: Array<string> = []

// examples/ itself belongs to tsconfig.test.json. A block is a fragment: it may leave a name unused.
const written = globSync("**/*.ts", { cwd: out })
if (written.length > 0) {
  const compilerOptions = { composite: false, incremental: false, noEmit: true, noUnusedLocals: false, types: ["node"] }
  writeFileSync(
    path.join(out, "tsconfig.json"),
    JSON.stringify({ extends: "../../tsconfig.base.json", compilerOptions, include: ["."] })
  )
  const tsc = path.join(root, "node_modules/typescript/bin/tsc")
  const { status, stdout, stderr } = spawnSync(process.execPath, [tsc, "-p", out], { cwd: root, encoding: "utf8" })
  if (status !== 0) faults.push(stdout + stderr)
}

const queue = [...blocks, ...files.filter(({ prints }) => prints !== undefined)]
const total = queue.length
await Promise.all(
  Array.from({ length: availableParallelism() }, async () => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const fault = await run(next)
      if (fault !== undefined) faults.push(fault)
    }
  })
)

console.log(
  `examples: ${written.length} blocks on ${pages.length} pages, ${total} run (${total - blocks.length} files), ${faults.length} faults`
)
for (const fault of faults) console.error(`\n${fault}`)
process.exitCode = faults.length === 0 ? 0 : 1
