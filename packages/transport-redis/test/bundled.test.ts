/** docs/deploy.md: its commands make bundles of `examples/bundled`, which run on the runtime of the tests where there is no `node_modules`. */
import * as RedisDoor from "@apium/transport-redis/node"
import * as RedisBackend from "@apium/worker/client/backends/RedisBackend"
import { Client } from "@apium/worker/client/Client"
import { assert, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { place } from "../../../examples/bundled/handlers.ts"
import * as Commands from "../../../test/support/Commands.ts"
import * as Process from "../../../test/support/Process.ts"
import { Redis } from "../../../test/support/Redis.ts"

const root = path.resolve(import.meta.dirname, "../../..")

const runtime = [process.execPath, ...("Deno" in globalThis ? ["run", "-A"] : [])]

/** The command of the page that has this in it, run in the folder of the sources; where it has put the files. */
const bundle = (having: string) =>
  Effect.gen(function* () {
    const folder = yield* Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(path.join(tmpdir(), "apium-"))),
      (made) => Effect.sync(() => rmSync(made, { recursive: true, force: true }))
    )
    const page = readFileSync(path.join(root, "docs/deploy.md"), "utf8")
    const commands = [...page.matchAll(/^npx (esbuild (?:.*\\\n)*.*)$/gm)].map(([, command = ""]) => command)
    const [command, ...others] = commands.filter((command) => command.includes(having))
    assert.isDefined(command)
    assert.deepStrictEqual(others, [])
    assert.include(command, "=dist")
    const line = `${command.replace("=dist", `=${folder}`)} --conditions=@apium/source --log-level=warning`
    yield* Commands.run(["sh", "-c", `cd "${root}/examples/bundled" && ../../node_modules/.bin/${line}`])
    return folder
  })

const start = Effect.fnUntraced(function* (folder: string, pool: string) {
  const { url } = yield* Redis
  return yield* Process.start([...runtime, path.join(folder, "worker.mjs"), pool], { env: { APIUM_BROKER_URL: url() } })
})

const ClientLive = Layer.unwrap(
  Effect.map(Redis, ({ url }) =>
    Client.layer.pipe(Layer.provide(RedisBackend.layer), Layer.provide(RedisDoor.layerAll(url())))
  )
)

/** Runs a task where it is to run, and ends as it is to end. */
const works = Effect.fnUntraced(function* (folder: string, pool: string, where: string) {
  const worker = yield* start(folder, pool)
  yield* worker.line("takes tasks until Ctrl-C.")
  const client = yield* Client
  const result = yield* client.send(place, { word: pool }, { queue: "bundled" })
  assert.strictEqual(yield* result.get, `${pool} in ${where}`)
  yield* worker.signal("SIGTERM")
  yield* worker.line("Warm shutdown")
  assert.strictEqual(yield* worker.ended, 0, worker.lines().join("\n"))
}, Effect.scoped)

layer(Layer.provideMerge(ClientLive, Redis.shared), { excludeTestServices: true })("a bundled worker", (it) => {
  it.effect("is one file, which runs tasks in fibers, and says what is missing to threads and processes", () =>
    Effect.gen(function* () {
      const folder = yield* bundle("--outfile")
      yield* works(folder, "fiber", "the worker")
      yield* works(folder, "inline", "the worker")
      for (const pool of ["thread", "process"]) {
        const worker = yield* start(folder, pool)
        const file = path.join(folder, "node", `${pool}.mjs`)
        const why = `there is no ${file}: @apium/worker/node/${pool} is one more entry point of a bundle`
        yield* worker.line(`The ${pool} could not be started: ${why}`)
        assert.strictEqual(yield* worker.ended, 1)
      }
    })
  )

  it.effect("with entry points for its children runs tasks in threads and processes", () =>
    Effect.gen(function* () {
      const folder = yield* bundle("--splitting")
      yield* works(folder, "fiber", "the worker")
      yield* works(folder, "thread", "a thread")
      yield* works(folder, "process", "a process")

      for (const [file, pool] of [
        ["thread", "layerThreadPool"],
        ["process", "layerProcessPool"]
      ]) {
        const alone = yield* Process.start([...runtime, path.join(folder, "node", `${file}.mjs`)])
        yield* alone.line(`@apium/worker/node/${file} is for ${pool} to start, and not to be imported`)
      }

      // The command has an Effect and an Apium of its own, and the module brings another.
      const apium = [...runtime, "--conditions=@apium/source", path.join(root, "packages/cli/src/main.ts")]
      const call = ["call", "bundled.place", "-A", path.join(folder, "handlers.mjs"), "-a", '["called"]']
      const printed = yield* Commands.run([...apium, ...call] as [string, ...Array<string>])
      assert.strictEqual(printed, '"called in the worker"\n')
    })
  )
})
