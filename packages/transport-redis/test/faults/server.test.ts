/** Redis itself is killed and started again (RELIABILITY D4), or forgets its scripts (D5), while messages come and go. */
import { Connection } from "@apium/hub/Connection"
import { assert, layer } from "@effect/vitest"
import { Effect, Stream } from "effect"
import * as Figures from "../../../../test/support/Figures.ts"
import { Redis as Server, RedisServer } from "../../../../test/support/Redis.ts"
import * as stores from "../support/stores.ts"
import * as traffic from "../support/traffic.ts"

for (const appendfsync of ["always", "everysec", "no"] as const) {
  const World = stores.connected(Server.layer({ appendfsync }))
  layer(World, { excludeTestServices: true })(`Redis with appendfsync ${appendfsync}`, (it) => {
    it.effect("is killed and started again: what it accepted comes, and goes on to come at once", () =>
      Effect.gen(function* () {
        const process = yield* RedisServer
        const kills = Figures.times(2, 4, 20)
        const { end, more, refused } = yield* traffic.begin(
          "restarts",
          8,
          appendfsync === "always" ? "1 minute" : "3 seconds"
        )
        const took: Array<number> = []
        for (let kill = 0; kill < kills; kill++) {
          yield* more
          yield* Effect.sleep(100 + 150 * (kill % 3))
          yield* process.kill
          yield* process.start
          const ready = performance.now()
          yield* more
          took.push(performance.now() - ready)
        }
        const { dup, lost, n } = yield* end
        yield* Figures.print(
          `D4 appendfsync=${appendfsync} kills=${kills} lost=${lost.length} dup=${dup} n=${n} refused=${refused.length} consuming again p50/p95/max=${Figures.spread(took)} ms after it was ready`
        )
        assert.deepStrictEqual(refused, [])
        // Where nobody waits for the disk, what was accepted last may be missing: that is counted, and no fault of ours.
        if (appendfsync === "always") assert.deepStrictEqual(lost, [])
        assert.isBelow(Math.max(...took), 5000 + Figures.slack)
      })
    )
  })
}

layer(stores.connected(Server.layer()), { excludeTestServices: true })("Redis", (it) => {
  it.effect("that forgets its scripts over and over fails nothing, and no link is lost of it", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const flushes = Figures.times(50, 150, 500)
      const statuses: Array<string> = []
      yield* Effect.forkChild(
        Stream.runForEach((yield* Connection).status, (status) => Effect.sync(() => void statuses.push(status)))
      )
      const { end, more, refused } = yield* traffic.begin("flushed", 8)
      yield* more
      for (let flush = 0; flush < flushes; flush++) {
        yield* server.command("SCRIPT", "FLUSH", flush % 2 === 0 ? "SYNC" : "ASYNC")
        if (flush % 10 === 9) yield* more
      }
      const { dup, lost, n } = yield* end
      yield* Figures.print(`D5 flushes=${flushes} lost=${lost.length} dup=${dup} n=${n} refused=${refused.length}`)
      assert.deepStrictEqual([lost, dup, refused], [[], 0, []])
      assert.deepStrictEqual(statuses, ["open"])
    })
  )
})
