/** Tasks with an ETA on real Redis, which are revoked or too late, and clocks that differ. */
import { Client } from "@apium/worker"
import * as Control from "@apium/worker/control/Control"
import { assert, layer } from "@effect/vitest"
import { Clock, Effect } from "effect"
import { print } from "../../../test/support/Figures.ts"
import { Redis as Server } from "../../../test/support/Redis.ts"
import * as etas from "./support/etas.ts"
import * as stores from "./support/stores.ts"

layer(etas.World, { excludeTestServices: true })("a task that is not due", (it) => {
  it.effect("is not run when it is revoked meanwhile, or too late by then", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const client = yield* Client
      const ran: Array<etas.Ran> = []
      yield* etas.start(ran)
      const at = (yield* Clock.currentTimeMillis) + 6000
      const eta = new Date(at)
      const { id } = yield* client.send(etas.due, { n: 1, at }, { eta })
      yield* client.send(etas.due, { n: 2, at }, { eta, expires: new Date(at - 500) })
      yield* client.send(etas.due, { n: 3, at }, { eta })
      yield* etas.untilParked(3)
      yield* Control.revoke([id])
      yield* stores.until(Effect.sync(() => ran.length > 0))
      yield* stores.until(Effect.map(server.command("HLEN", "unacked"), (left) => left === 0))
      assert.deepStrictEqual(
        ran.map(({ n }) => n),
        [3]
      )
      yield* etas.nothingLeft
    }).pipe(Effect.scoped)
  )

  for (const ahead of [-10_000, 10_000]) {
    it.effect(`is never early by the clock of a worker that is ${ahead / 1000} s ahead of Redis, and parked once`, () =>
      Effect.gen(function* () {
        const server = yield* Server
        const ran: Array<etas.Ran> = []
        const clock = yield* Clock.Clock
        const millis = () => clock.currentTimeMillisUnsafe() + ahead
        const nanos = () => clock.currentTimeNanosUnsafe() + BigInt(ahead) * 1_000_000n
        yield* Effect.provideService(etas.start(ran), Clock.Clock, {
          sleep: (duration) => clock.sleep(duration),
          monotonicTimeNanosUnsafe: () => clock.monotonicTimeNanosUnsafe(),
          monotonicTimeNanos: clock.monotonicTimeNanos,
          currentTimeMillisUnsafe: millis,
          currentTimeMillis: Effect.sync(millis),
          currentTimeNanosUnsafe: nanos,
          currentTimeNanos: Effect.sync(nanos)
        })
        yield* server.command("CONFIG", "RESETSTAT")
        const at = millis() + 8000
        // Ten at a time: they are all there before the first is due.
        yield* etas.send(100, (n) => at + (n - (n % 10)))
        yield* etas.untilParked(100)
        yield* stores.until(Effect.sync(() => ran.length === 100))
        const stats = String(yield* server.command("EVAL", "return redis.call('INFO', 'commandstats')", 0))
        const scripts = Number(/cmdstat_evalsha:calls=(\d+)/.exec(stats)?.[1])
        const { dup, early, line, lost } = etas.book(ran, 100)
        yield* print(`clock ahead=${ahead} ms ${line} scripts=${scripts}`)
        assert.deepStrictEqual([lost, dup, early], [0, 0, 0])
        // Claims, parks, moves, settles, and questions whether there is something.
        assert.isBelow(scripts, 1000)
      }).pipe(Effect.scoped)
    )
  }
})
