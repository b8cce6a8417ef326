/**
 * What a user gets from the registry, before it is there. After a build: packs every package, lints the tarballs (publint, attw), installs
 * them with npm in a project outside the workspace, and there, on Node.js, Bun and Deno, runs each package's round trip
 * (scripts/packages/<name>.mjs) and imports every public module.
 */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"

const root = path.resolve(import.meta.dirname, "..")
const modules = path.join(root, "node_modules")
const tarballs = path.join(root, ".tmp/tarballs")
const project = fs.mkdtempSync(path.join(tmpdir(), "apium-packages-"))
process.once("exit", () => fs.rmSync(project, { recursive: true, force: true }))

// pnpm hands its settings to whatever it starts: without them, npm below is the one a user has. NODE_PATH would let an import reach back into
// the workspace, which is also why the programs below are called by file and not by node_modules/.bin.
const env = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !/^(?:npm_|pnpm_|NODE_PATH$)/i.test(name))
)
const node = process.execPath
const publint = path.join(modules, "publint/src/cli.js")
const attw = path.join(modules, "@arethetypeswrong/cli/dist/index.js")
const runtimes = {
  node: [node],
  bun: [path.join(modules, "bun/bin/bun.exe")],
  deno: [node, path.join(modules, "deno/bin.cjs"), "run", "--allow-all", "--no-prompt"]
} as const

const fail = (text: string): never => {
  console.error(text)
  process.exit(1)
}

/** Runs a program and prints a line for it, with what the program printed if that is worth reading. */
const run = (
  what: string,
  [command, ...args]: readonly [string, ...ReadonlyArray<string>],
  cwd = root,
  print = false
): void => {
  const started = performance.now()
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd, env, encoding: "utf8", timeout: 600_000 })
  if (status !== 0) fail(`failed: ${what}\n${stdout}${stderr}${error?.message ?? ""}`)
  const seconds = ((performance.now() - started) / 1000).toFixed(1).padStart(5)
  console.log(`${seconds} s  ${what}${print ? `: ${stdout.trim()}` : ""}`)
}
const runOnEach = (name: string, program: string): void => {
  for (const [runtime, command] of Object.entries(runtimes))
    run(`@apium/${name} on ${runtime}`, [...command, program], project, true)
}
/** With a registry that does not answer for a moment. By itself npm asks twice more, ten seconds and a minute later. */
const patient = ["--fetch-retries=8", "--fetch-retry-mintimeout=1000", "--fetch-retry-factor=2"]
const npmInstall = (wanted: ReadonlyArray<string>): void =>
  run(
    `npm install ${wanted.map((what) => what.replace(`${tarballs}/`, "")).join(" ")}`,
    ["npm", "install", "--no-audit", "--no-fund", ...patient, ...wanted],
    project
  )

/** The files of a folder that end so, without that ending. */
const list = (folder: string, ending: string): ReadonlyArray<string> =>
  fs.globSync(`**/*${ending}`, { cwd: folder }).map((file) => file.slice(0, -ending.length))
const json = (file: string) => JSON.parse(fs.readFileSync(file, "utf8"))

const names = fs.readdirSync(path.join(root, "packages"))
for (const name of names) {
  // `tsc -b` never deletes: what was built from a source that is gone would be packed for good.
  const folder = path.join(root, "packages", name)
  const sources = list(path.join(folder, "src"), ".ts")
  const built = list(path.join(folder, "dist"), ".js")
  const apart = [...sources.filter((file) => !built.includes(file)), ...built.filter((file) => !sources.includes(file))]
  if (apart.length > 0)
    fail(`packages/${name}/dist is not what src says (${apart.join(", ")}): pnpm clean && pnpm build`)
}

fs.rmSync(tarballs, { recursive: true, force: true })
run("pnpm pack", ["pnpm", "--recursive", "--filter", "./packages/*", "pack", "--pack-destination", tarballs])
const packed = fs.readdirSync(tarballs).map((file) => path.join(tarballs, file))
for (const tarball of packed) {
  run(`publint ${path.basename(tarball)}`, [node, publint, "run", tarball, "--strict"])
  run(`attw ${path.basename(tarball)}`, [node, attw, tarball, "--profile", "esm-only"])
}

fs.writeFileSync(path.join(project, "package.json"), JSON.stringify({ private: true, type: "module" }))
npmInstall([...packed, `effect@${json(path.join(modules, "effect/package.json")).version}`])
for (const name of names) {
  const program = path.join(root, "scripts/packages", `${name}.mjs`)
  if (!fs.existsSync(program)) fail(`packages/${name} has no round trip: write scripts/packages/${name}.mjs`)
  fs.copyFileSync(program, path.join(project, `${name}.mjs`))
  runOnEach(name, `${name}.mjs`)
}

// Only now the optional peers, for nothing above may need them. With them every public module has to load, save those for workerd alone,
// and those that only a pool's child can load.
const peers = names.flatMap((name) => {
  const { peerDependencies, peerDependenciesMeta = {} } = json(path.join(root, "packages", name, "package.json"))
  return Object.keys(peerDependenciesMeta).map((peer) => `${peer}@${peerDependencies[peer]}`)
})
if (peers.length > 0) npmInstall([...new Set(peers)])
for (const name of names) {
  const installed = path.join(project, "node_modules/@apium", name)
  const closed = Object.entries(json(path.join(installed, "package.json")).exports)
    .filter(([, target]) => target === null)
    .map(([subpath]) => subpath.replace(/^\.\//, "").replace(/\*$/, ""))
  const files = list(path.join(installed, "dist"), ".js").filter(
    (file) => !/^(?:workerd|node\/(?:process|thread))\b/.test(file) && !closed.some((prefix) => file.startsWith(prefix))
  )
  const imports = files.map((file) => `await import("@apium/${name}/${file}")`)
  fs.writeFileSync(
    path.join(project, `every-${name}.mjs`),
    [...imports, `console.log("${files.length} modules load")`].join("\n")
  )
  runOnEach(name, `every-${name}.mjs`)
}
