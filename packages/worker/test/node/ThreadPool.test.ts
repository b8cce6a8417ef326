import * as ChildPool from "@apium/worker/execution/pools/ChildPool"
import { layerThreadPool } from "@apium/worker/node"
import * as workerThreads from "@apium/worker/node/workerThreads"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, type Scope } from "effect"
import * as Threads from "node:worker_threads"
import * as tasks from "./fixtures/tasks.ts"
import { lost, module, run, runtime, success } from "./support/Jobs.ts"
import { times } from "../../../../test/support/Times.ts"
import { killing, quietly } from "./support/Killing.ts"
import { suite } from "./support/PoolSuite.ts"

suite("thread", layerThreadPool)

describe("a thread's memory", () => {
  const limited = layerThreadPool({ module, size: 1, resourceLimits: { maxOldGenerationSizeMb: 64 } })

  const diesAlone = () =>
    Effect.gen(function* () {
      assert.match(yield* lost(tasks.gorge), /memory limit/)
      assert.deepStrictEqual(yield* run(tasks.add, { x: 1, y: 1 }), success(2))
    }).pipe(Effect.provide(limited))

  const isRefused = () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Layer.build(limited))
      assert.strictEqual(error._tag, "InvalidPoolOption")
      assert.match(error.message, /resourceLimits cannot be kept by (Bun|Deno): .*layerProcessPool/)
    })

  const refused = "is not limited by who cannot, and the error says what to use"
  const cases = {
    node: ["a thread that takes too much dies alone", diesAlone],
    // Ignores the limit.
    bun: [refused, isRefused],
    // A thread dies of it without an event, and the process without a limit.
    deno: [refused, isRefused]
  } as const
  const [title, test] = cases[runtime]
  it.live(`in ${runtime}: ${title}`, () => Effect.asVoid(test() as Effect.Effect<unknown, unknown, Scope.Scope>))
})

describe("threads", () => {
  const entry = new URL("../../src/node/thread.ts", import.meta.url)

  it.live("are gone when the pool is closed", () =>
    Effect.gen(function* () {
      let alive = 0
      const spawn = () => {
        const thread = new Threads.Worker(entry, { workerData: { module: module.href } })
        alive++
        thread.on("exit", () => alive--)
        return thread
      }
      const pool = ChildPool.layer("thread", { size: 3, grace: "1 hour" }).pipe(
        Layer.provide(workerThreads.layer(spawn))
      )
      yield* Effect.provide(
        Effect.sync(() => assert.strictEqual(alive, 3)),
        pool
      )
      assert.strictEqual(alive, 0)
    })
  )

  const deaths = times(10, 20, 200)
  it.live(
    `that are terminated ${deaths} times: the pool has its size again at once, and nobody else notices`,
    () =>
      killing(deaths, (_child, job) => job, /was killed/).pipe(
        Effect.provide(layerThreadPool({ module, size: 2, grace: "1 hour" })),
        quietly
      ),
    300_000 + deaths * 10_000
  )
})
