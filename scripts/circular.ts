/**
 * Which way imports run. Four rules over the src folders of packages and apps, on the imports that are left at run time (types are free):
 *
 *   1. no cycles between files;
 *   2. packages depend on each other as `layers` says;
 *   3. what a package imports, its package.json declares: the workspace's own node_modules would hide that until somebody installs it;
 *   4. `node:*` and the Node.js platform packages stay behind the doors: a door is `src/node.ts` or `src/workerd.ts`, and what only a door
 *      needs lives in the folder of its name. Buffer, process and their like are the linter's (`.oxlintrc.json`) and the compiler's (`types: []`).
 *
 * esbuild reads the files, so neither a comment nor a string looks like an import. It resolves nothing but relative paths.
 */
import { build } from "esbuild"
import { globSync, readFileSync } from "node:fs"
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
      setup: (build) =>
        build.onResolve({ filter: /^[^.]/ }, ({ kind, path }) =>
          kind === "entry-point" ? null : { external: true, path }
        )
    }
  ]
})

const folderOf = (file: string) => file.split("/", 2).join("/")
const doorOf = (file: string) => /^packages\/[^/]+\/src\/(node|workerd)(?:\.ts$|\/)/.exec(file)?.[1]

const portable = (folder: string) => folder.startsWith("packages/") && folder !== "packages/cli"

const dependencies = (folder: string): ReadonlySet<string> => {
  const { name, dependencies, peerDependencies } = JSON.parse(
    readFileSync(path.join(root, folder, "package.json"), "utf8")
  )
  return new Set(Object.keys({ [name]: "", ...dependencies, ...peerDependencies }))
}

const faults: Array<string> = []
const edges = new Map<string, ReadonlyArray<string>>()
for (const [file, { imports }] of Object.entries(metafile.inputs)) {
  const folder = folderOf(file)
  const declared = dependencies(folder)
  const allowed = layers[folder] ?? (folder.startsWith("apps/") ? everything : undefined)
  if (allowed === undefined)
    faults.push(`${folder} is not in the layers of scripts/circular.ts: say what it may import`)

  for (const { external, path } of imports) {
    const fault = (text: string) => faults.push(`${file} imports ${path}: ${text}`)
    if (!external) {
      if (folderOf(path) !== folder) fault("import another package by its name")
      if (doorOf(path) !== undefined && doorOf(file) !== doorOf(path)) fault(`only the ${doorOf(path)} door may`)
      continue
    }
    const name = /^(?:@[^/]+\/)?[^/]+/.exec(path)![0]
    const ours = /^@apium\/(.+)|^(?:demo|bench|runtime-tests)$/.exec(name)
    if (ours !== null && allowed?.includes(ours[1] ?? name) === false) {
      fault(`${folder} may import ${allowed.join(", ") || "none of ours"}`)
    } else if (!/^[a-z]+:/.test(path) && !declared.has(name)) {
      fault(`${folder}/package.json does not declare ${name}`)
    }
    if (/^(?:node:|@effect\/platform-)/.test(path) && portable(folder) && doorOf(file) !== "node") {
      fault("only src/node.ts and src/node/ may")
    }
  }
  // A dynamic import runs after its file has loaded: it cannot close a cycle.
  const loaded = imports.filter(({ external, kind }) => !external && kind !== "dynamic-import")
  edges.set(
    file,
    Array.from(loaded, ({ path }) => path)
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

const count = [...edges.values()].flat().length
console.log(`circular: ${edges.size} files, ${count} imports between them, ${faults.length} faults`)
for (const fault of faults) console.error(`  ${fault}`)
process.exitCode = faults.length === 0 ? 0 : 1
