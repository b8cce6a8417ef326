import { layerProcessPool } from "@apium/worker/node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer } from "effect"
import { fork } from "node:child_process"
import { fileURLToPath } from "node:url"
import * as tasks from "./fixtures/tasks.ts"
import { fixture, lost, lostText, module, run, runtime, start, success, where } from "./support/Jobs.ts"
import { times } from "../../../../test/support/Times.ts"
import { killing, quietly } from "./support/Killing.ts"
import { suite } from "./support/PoolSuite.ts"

suite("process", layerProcessPool)

const one = Effect.provide(layerProcessPool({ module, size: 1 }))

const kill = (pid: unknown, signal: NodeJS.Signals) => Effect.sync(() => void process.kill(pid as number, signal))

describe("a process that dies", () => {
  it.live("of a signal is a job that is lost, and the text says of which", () =>
    Effect.gen(function* () {
      const { fiber, said } = yield* start(tasks.hog)
      yield* kill((yield* said).meta, "SIGKILL")
      assert.strictEqual(lostText(yield* Fiber.join(fiber)), "The process was killed by SIGKILL")
      assert.deepStrictEqual(yield* run(tasks.add, { x: 1, y: 1 }), success(2))
    }).pipe(one)
  )

  it.live("idle, is replaced before anybody asks", () =>
    Effect.gen(function* () {
      const before = yield* where
      yield* kill(before, "SIGKILL")
      // Whether its end is seen before the job is sent or after: the next one finds a new process.
      yield* run(tasks.where)
      assert.notStrictEqual(yield* where, before)
    }).pipe(one)
  )

  const execArgv = [...process.execArgv, "--max-old-space-size=64"]
  const cannot: Partial<Record<typeof runtime, string>> = { bun: "it has no flag that limits the heap" }
  it.live.skipIf(cannot[runtime] !== undefined)("of memory dies alone", () =>
    Effect.gen(function* () {
      assert.match(yield* lost(tasks.gorge), /^The process (was killed by SIG|exited with code)/)
      assert.deepStrictEqual(yield* run(tasks.add, { x: 1, y: 1 }), success(2))
    }).pipe(Effect.provide(layerProcessPool({ module, size: 1, execArgv })))
  )

  const deaths = times(10, 20, 200)
  it.live(
    `${deaths} times: the pool has its size again at once, and nobody else notices`,
    () =>
      killing(deaths, (child) => kill(child, "SIGKILL"), /killed by SIGKILL/).pipe(
        Effect.provide(layerProcessPool({ module, size: 2, grace: "1 hour" })),
        quietly
      ),
    300_000 + deaths * 10_000
  )
})

describe("a process and the worker it belongs to", () => {
  it.live("lets the signals pass that are for the worker, while it waits and while it computes", () =>
    Effect.gen(function* () {
      const before = yield* where
      const { said, fiber } = yield* start(tasks.wait)
      yield* said
      for (const signal of ["SIGINT", "SIGTERM", "SIGQUIT", "SIGHUP"] as const) yield* kill(before, signal)
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(yield* where, before)
    }).pipe(Effect.provide(layerProcessPool({ module, size: 1, grace: "1 hour" })))
  )

  it.live("writes to the worker's stdout and stderr, and dies with it even when both can only be killed", () =>
    Effect.gen(function* () {
      const parent = fork(fileURLToPath(fixture("parent")), { stdio: ["ignore", "pipe", "pipe", "ipc"] })
      let stdout = ""
      let stderr = ""
      parent.stdout!.on("data", (text) => (stdout += text))
      parent.stderr!.on("data", (text) => (stderr += text))
      const children = yield* Effect.promise(
        () =>
          new Promise<unknown>((resolve, reject) => {
            parent.once("message", resolve)
            parent.once("exit", (code) => reject(new Error(`The parent exited with code ${code}: ${stderr}`)))
          })
      )
      assert.lengthOf(children as Array<number>, 2)
      // They hold the other ends of the parent's stdout and stderr, which end with the last of them.
      const gone = Effect.promise(() => new Promise((resolve) => parent.once("close", resolve)))
      yield* Effect.all([gone, Effect.sync(() => parent.kill("SIGKILL"))], { concurrency: "unbounded" })
      assert.include(stdout, "said on stdout\n")
      assert.include(stderr, "said on stderr\n")
    })
  )
})

describe("a process's memory", () => {
  it.live("a process that has too much after a task is replaced, and the task keeps its result", () =>
    Effect.gen(function* () {
      const before = yield* where
      assert.strictEqual(yield* where, before)
      assert.deepStrictEqual(yield* run(tasks.swell, { mebibytes: 600 }), success(before as number))
      const after = yield* where
      assert.notStrictEqual(after, before)
      assert.strictEqual(yield* where, after)
    }).pipe(Effect.provide(layerProcessPool({ module, size: 1, maxMemoryPerChild: 512 * 1024 })))
  )

  it.live("a limit that is none fails the layer", () =>
    Effect.gen(function* () {
      const pool = layerProcessPool({ module, size: 1, maxMemoryPerChild: 0.5 })
      assert.strictEqual(
        (yield* Effect.flip(Layer.build(pool))).message,
        "The pool's option maxMemoryPerChild is 0.5: make it a whole number, at least 1"
      )
    })
  )
})
