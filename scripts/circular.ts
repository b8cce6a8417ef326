/**
 * Which way imports run. Three rules over the src folders of packages and apps, on the imports that are left at run time (types are free):
 *
 *   1. no cycles between files;
 *   2. packages depend on each other as `layers` says;
 *   3. `node:*` and the Node.js platform packages stay behind the doors: a door is `src/node.ts` or `src/workerd.ts`, and what only a door
 *      needs lives in the folder of its name. Buffer, process and their like are the linter's (`.oxlintrc.json`) and the compiler's (`types: []`).
 *
 * esbuild reads the files, so neither a comment nor a string looks like an import. It resolves nothing but relative paths.
 */
import { build } from "esbuild"
import { globSync } from "node:fs"
import * as path from "node:path"

const root = path.resolve(import.meta.dirname, "..")

/** What a package may import of ours. Nothing may import an app, the benchmarks or the runtime tests. */
const layers: Readonly<Record<string, ReadonlyArray<string>>> = {
  "packages/protocol": [],
  "packages/hub": ["protocol"],
  "packages/transport-amqp": ["protocol", "hub"],
  "packages/transport-redis": ["protocol", "hub"],
  "packages/worker": ["protocol", "hub"],
  "packages/cli": ["protocol", "hub", "worker", "transport-amqp", "transport-redis"]
}
const everything = Object.keys(layers).map((folder) => path.basename(folder))

const files = globSync("{packages,apps}/*/src/**/*.ts", { cwd: root }).toSorted()
const { metafile } = await build({
  absWorkingDir: root,
  entryPoints: files,
  outdir: ".tmp",
  bundle: true,
  write: false,
  metafile: true,
  format: "esm",
  logLevel: "error",
  plugins: [
    {
      name: "relative-only",
      setup: ({ onResolve }) =>
        onResolve({ filter: /^[^.]/ }, ({ kind, path }) => (kind === "entry-point" ? null : { external: true, path }))
    }
  ]
})

const folderOf = (file: string) => file.split("/", 2).join("/")
const doorOf = (file: string) => /^packages\/[^/]+\/src\/(node|workerd)(?:\.ts$|\/)/.exec(file)?.[1]

const faults: Array<string> = []
const edges = new Map<string, ReadonlyArray<string>>()
for (const [file, { imports }] of Object.entries(metafile.inputs)) {
  const folder = folderOf(file)
  const allowed = layers[folder] ?? (folder.startsWith("apps/") ? everything : undefined)
  if (allowed === undefined)
    faults.push(`${folder} is not in the layers of scripts/circular.ts: say what it may import`)
  for (const { external, path } of imports) {
    const ours = /^@apium\/([^/]+)/.exec(path)?.[1] ?? /^(?:demo|bench|runtime-tests)(?=\/|$)/.exec(path)?.[0]
    if (!external && folderOf(path) !== folder)
      faults.push(`${file} reaches into ${path}: import the package by its name`)
    if (!external && doorOf(path) !== undefined && doorOf(file) !== doorOf(path))
      faults.push(`${file} imports the ${doorOf(path)} door ${path}`)
    if (ours !== undefined && allowed?.includes(ours) === false)
      faults.push(`${file} imports ${path}: ${folder} may import ${allowed.join(", ") || "none of ours"}`)
    if (
      /^(?:node:|@effect\/platform-)/.test(path) &&
      folder.startsWith("packages/") &&
      doorOf(file) !== "node" &&
      folder !== "packages/cli"
    ) {
      faults.push(`${file} imports ${path}: only src/node.ts and src/node/ may`)
    }
  }
  // A dynamic import runs after its file has loaded: it cannot close a cycle.
  edges.set(
    file,
    imports.filter(({ external, kind }) => !external && kind !== "dynamic-import").map(({ path }) => path)
  )
}

// Depth first: an import of a file that is still open closes a cycle.
const done = new Set<string>()
const visit = (file: string, open: ReadonlyArray<string>): void => {
  if (open.includes(file)) faults.push(`cycle: ${[...open.slice(open.indexOf(file)), file].join(" -> ")}`)
  if (open.includes(file) || done.has(file)) return
  for (const next of edges.get(file) ?? []) visit(next, [...open, file])
  done.add(file)
}
for (const file of edges.keys()) visit(file, [])

const count = edges.values().reduce((sum, targets) => sum + targets.length, 0)
console.log(`circular: ${edges.size} files, ${count} imports between them, ${faults.length} faults`)
for (const fault of faults) console.error(`  ${fault}`)
process.exitCode = faults.length === 0 ? 0 : 1
