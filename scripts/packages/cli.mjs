// The command as it is installed: a task of a module is run in one line, a worker runs what its beat sends in processes until it is stopped, and is
// refused what it cannot have.
import { spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { rmSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

writeFileSync(
  "cli-tasks.mjs",
  `import { Beat, Schedule, Task, Tasks } from "@apium/worker"
import { Effect, Schema } from "effect"
const add = Task.make("proj.add", { params: { x: Schema.Number, y: Schema.Number }, result: Schema.Number })
export default Tasks.handle(add, ({ x, y }) => Effect.succeed(x + y))
const schedule = Schedule.every("200 millis")
export { entries as schedule }
const entries = [Beat.entry("often", { task: add, payload: { x: 1, y: 1 }, schedule })]
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
const away = apium("inspect", "ping", "-b", "redis://:secret@127.0.0.1:1/0")
expect(
  "apium inspect ping -b redis://",
  `${away.status} ${/ECONNREFUSED/.test(away.stderr)} ${/secret/.test(away.stderr)}`,
  "69 true false"
)
expect("apium worker -c 0", apium("worker", "-A", "./cli-tasks.mjs", "-c", "0").status, 64)

const worker = spawn(process.execPath, [
  ...flags,
  bin,
  "worker",
  "-A",
  "./cli-tasks.mjs",
  "-B",
  "-P",
  "process",
  "-c",
  "2"
])
const exited = once(worker, "exit")
let said = ""
const succeeded = new Promise((resolve) => {
  const read = (text) => {
    said += text
    if (/proj\.add\S* succeeded/.test(said)) resolve(undefined)
  }
  worker.stdout.setEncoding("utf8").on("data", read)
  worker.stderr.setEncoding("utf8").on("data", read)
})
await Promise.race([succeeded, exited, new Promise((resolve) => setTimeout(resolve, 60_000).unref())])
// By its number: Deno takes a child it has sent a signal to for one that died of it.
process.kill(worker.pid, "SIGTERM")
const [code] = await exited
expect("apium worker -B -P process", `${/proj\.add\S* succeeded/.test(said) ? "" : said}${code}`, "0")
rmSync("cli-tasks.mjs")
console.log(`${apium("--version").stdout.trim()}: 2 + 3 = ${called.stdout.trim()}`)
