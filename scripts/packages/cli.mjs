// The command as it is installed: a task of a module is run in one line, and a worker is refused what it cannot have.
import { spawnSync } from "node:child_process"
import { rmSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

writeFileSync(
  "cli-tasks.mjs",
  `import { Task, Tasks } from "@apium/worker"
import { Effect, Schema } from "effect"
const add = Task.make("proj.add", { params: { x: Schema.Number, y: Schema.Number }, result: Schema.Number })
export default Tasks.handle(add, ({ x, y }) => Effect.succeed(x + y))
`
)

const bin = fileURLToPath(new URL("node_modules/@apium/cli/dist/main.js", import.meta.url))
const flags = "Deno" in globalThis ? ["run", "--allow-all", "--no-prompt"] : []
const apium = (...args) => spawnSync(process.execPath, [...flags, bin, ...args], { encoding: "utf8", timeout: 60_000 })

const expect = (what, found, expected) => {
  if (found !== expected) throw new Error(`${what}: ${found}, and not ${expected}`)
}

const called = apium("call", "proj.add", "-A", "./cli-tasks.mjs", "--args=[2,3]")
expect("apium call", `${called.status} ${called.stdout}${called.stderr}`, "0 5\n")
const pinged = apium("inspect", "ping", "-j", "-A", "./cli-tasks.mjs")
expect("apium inspect ping", `${pinged.status} ${Object.values(JSON.parse(pinged.stdout))[0]?.ok}`, "0 pong")
expect("apium worker -c 0", apium("worker", "-A", "./cli-tasks.mjs", "-c", "0").status, 64)
rmSync("cli-tasks.mjs")
console.log(`${apium("--version").stdout.trim()}: 2 + 3 = ${called.stdout.trim()}`)
