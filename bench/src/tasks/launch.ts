/**
 * Starts of workers as contestants, by the commands that their users give: from the start of the process until the first line of the first task, which has
 * waited in the queue. Some 5 ms of it are the shell's that watches over the process, for all alike.
 */
import * as Amqp from "@apium/transport-amqp/node"
import * as Redis from "@apium/transport-redis/node"
import * as MemoryBackend from "@apium/worker/client/backends/MemoryBackend"
import { Client } from "@apium/worker/client/Client"
import * as Task from "@apium/worker/task/Task"
import { Queue } from "bullmq"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Schema from "effect/Schema"
import { buildSync, transformSync } from "esbuild"
import { execFileSync } from "node:child_process"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import * as Process from "../../../test/support/Process.ts"
import * as Bench from "../Bench.ts"
import { place } from "./place.ts"
import { now, queue, type Broker, type Peer, type Urls } from "./work.ts"

const root = path.resolve(import.meta.dirname, "../../..")

let built = false

/** The command as it is installed: JavaScript. */
const build = (): void => {
  if (built) return
  execFileSync(path.join(root, "node_modules/.bin/tsc"), ["-b", "packages/cli"], { cwd: root, stdio: "inherit" })
  built = true
}

/** A module of ours as JavaScript, where it finds what it imports. */
const compiled = (name: string): string => {
  const folder = path.join(root, "bench", "node_modules", ".cache")
  mkdirSync(folder, { recursive: true })
  const { code } = transformSync(readFileSync(path.join(import.meta.dirname, `${name}.ts`), "utf8"), { loader: "ts" })
  const file = path.join(folder, `${name}.mjs`)
  writeFileSync(file, code)
  return file
}

/** A worker's program and all that it needs in one file, by the command of docs/deploy.md. */
const bundled = (name: string): string => {
  const outfile = path.join(root, "bench", "node_modules", ".cache", `${name}.mjs`)
  buildSync({
    entryPoints: [path.join(import.meta.dirname, `${name}.ts`)],
    outfile,
    bundle: true,
    format: "esm",
    platform: "node",
    banner: {
      js: 'import { createRequire as requireOf } from "node:module"; const require = requireOf(import.meta.url)'
    },
    logLevel: "error"
  })
  return outfile
}

const pythons = (): string => {
  const folder = mkdtempSync(path.join(tmpdir(), "apium-bench-"))
  Bench.atEnd(async () => rmSync(folder, { recursive: true }))
  writeFileSync(path.join(folder, "start.py"), readFileSync(path.join(import.meta.dirname, "start.py")))
  return folder
}

type Command = (urls: Urls) => ReadonlyArray<string>

const commands: Readonly<Record<"apium" | "bullmq" | "bundle" | "celery", (broker: Broker) => Command>> = {
  apium: () => {
    build()
    const app = compiled("apium.app")
    const main = path.join(root, "packages/cli/dist/main.js")
    return ({ broker }) => [process.execPath, main, "worker", "-A", app, "-b", broker]
  },
  bundle: (broker) => {
    build()
    const file = bundled(`apium.${broker}`)
    return (urls) => [process.execPath, file, urls.broker]
  },
  bullmq: () => {
    const app = compiled("bullmq.app")
    return ({ redis }) => [process.execPath, app, redis, queue]
  },
  celery: () => {
    const folder = pythons()
    return () => ["/usr/bin/python3", "-m", "celery", "--workdir", folder, "-A", "start", "worker", "-c", "2"]
  }
}

interface Sender {
  readonly send: () => Promise<unknown>
  readonly stop: () => Promise<unknown>
}

const mark = Task.make("bench.mark", { params: { at: Schema.Number } })

/** Celery's are sent by our client, in its own protocol. */
const ours = async ({ broker }: Urls): Promise<Sender> => {
  const connection = broker.startsWith("amqp") ? Amqp.layer(broker) : Redis.layer(broker)
  const runtime = ManagedRuntime.make(Layer.provide(Client.layer, [connection, MemoryBackend.layer]))
  const client = await runtime.runPromise(Client)
  return {
    send: () => runtime.runPromise(client.send(mark, { at: 0 }, { ignoreResult: true })),
    stop: runtime.dispose
  }
}

const bullmqs = ({ redis }: Urls): Sender => {
  const { hostname, pathname, port } = new URL(redis)
  const jobs = new Queue(queue, { connection: { host: hostname, port: Number(port), db: Number(pathname.slice(1)) } })
  return { send: () => jobs.add("bench.mark", {}), stop: () => jobs.close() }
}

/** `bundle` is ours, too. `flags` come behind the command. */
export const launching = (
  name: string,
  what: keyof typeof commands,
  broker: Broker,
  flags: ReadonlyArray<string> = []
): Bench.Contestant => ({
  name,
  start: async () => {
    const peer: Peer = what === "bundle" ? "apium" : what
    const command = commands[what](broker)
    const own = await place(broker, peer)
    const sender = peer === "bullmq" ? bullmqs(own.urls) : await ours(own.urls)
    const env = { BENCH_BROKER: own.urls.broker, PYTHONUNBUFFERED: "1", PYTHONNOUSERSITE: "1" }
    const start = Effect.gen(function* () {
      const started = now()
      const worker = yield* Process.start([...command(own.urls), ...flags], { env })
      const line = yield* worker.line("mark ")
      // Acknowledged, so that it does not come again.
      yield* Effect.promise(own.drained)
      const [, at, cpu] = /mark ([\d.]+) ([\d.]+)/.exec(line)!
      return { p50: Number(at) - started, cpu: Number(cpu) }
    })
    return {
      prepare: async () => {
        await own.purge()
        await sender.send()
      },
      turn: () => Effect.runPromise(Effect.scoped(start)),
      stop: sender.stop
    }
  }
})
