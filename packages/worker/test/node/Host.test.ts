import { Host } from "@apium/hub/Host"
import { layerHost } from "@apium/worker/node"
import { assert, layer } from "@effect/vitest"
import { Effect, Fiber, Option, Stream } from "effect"
import { hostname, type } from "node:os"

layer(layerHost, { excludeTestServices: true })("the host", (it) => {
  it.effect("knows the machine and the process", () =>
    Effect.gen(function* () {
      const host = yield* Host
      assert.deepStrictEqual([host.hostname, host.pid], [hostname(), process.pid])
      assert.isAtLeast(host.cpus, 1)
      assert.isTrue((yield* host.loadAverage).every(Number.isFinite))
      assert.isAbove((yield* host.memory).residentBytes, 1_000_000)
      assert.strictEqual(host.system, type())
      const usage = yield* host.resourceUsage!
      assert.isAbove(usage.utime!, 0)
      assert.isAbove(usage.maxrss!, 1000)
    })
  )

  it.effect("streams signals, which then do not end the process, and leaves no listener behind", () =>
    Effect.gen(function* () {
      const before = process.listenerCount("SIGHUP")
      const { signals } = yield* Host
      const first = yield* Effect.forkChild(Stream.runHead(signals), { startImmediately: true })
      yield* Effect.sync(() => process.kill(process.pid, "SIGHUP"))
      assert.deepStrictEqual(yield* Fiber.join(first), Option.some("SIGHUP"))
      assert.strictEqual(process.listenerCount("SIGHUP"), before)
    })
  )
})
