/** Worker processes with tasks that have an ETA, on real Redis: one that is killed, and one that stops (RELIABILITY A10). */
import { assert, layer } from "@effect/vitest"
import { Clock, Effect } from "effect"
import { print, slack, times } from "../../../test/support/Figures.ts"
import * as Program from "../../../test/support/Program.ts"
import { Redis as Server } from "../../../test/support/Redis.ts"
import * as etas from "./support/etas.ts"
import * as stores from "./support/stores.ts"

layer(etas.World, { excludeTestServices: true })("a worker with tasks that are not due", (it) => {
  it.effect("runs a thousand of one second when they are due", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const file = yield* Program.bundle("packages/transport-redis/test/support/etaWorker.ts")
      const worker = yield* Program.start(file, { args: [server.url()] })
      yield* worker.line("ready")
      const at = (yield* Clock.currentTimeMillis) + 5000
      // Ten at a time, so that all are sent before they are due.
      yield* etas.send(1000, (n) => at + (n - (n % 10)))
      yield* stores.until(
        Effect.map(server.command("EXISTS", "unacked", "celery", "celery.delayed"), (left) => left === 0)
      )
      yield* worker.signal("SIGTERM")
      const { dup, early, line, lost, p50 } = etas.book(etas.said((yield* worker.ended).lines), 1000)
      yield* print(`lateness ${line}`)
      assert.deepStrictEqual([lost, dup, early], [0, 0, 0])
      // Of a machine that has others to serve: `bench/src/redis-eta.bench.ts` measures.
      assert.isAtMost(p50, 1000 + slack)
    }).pipe(Effect.scoped)
  )

  it.effect("that is killed in the middle of a thousand that are due leaves them to the next", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const file = yield* Program.bundle("packages/transport-redis/test/support/etaWorker.ts")
      const first = yield* Program.start(file, { args: [server.url(), "6000"] })
      yield* first.line("ready")
      const at = (yield* Clock.currentTimeMillis) + 5000
      yield* etas.send(1000, (n) => at + (n - (n % 10)))
      yield* first.line("ran 300 ")
      yield* first.signal("SIGKILL")
      const { lines } = yield* first.ended
      const second = yield* Program.start(file, { args: [server.url(), "6000"] })
      yield* second.line("ready")
      yield* stores.until(
        Effect.map(
          server.command("EXISTS", "unacked", "unacked_index", "celery", "celery.delayed", "apium.delayed"),
          (keys) => keys === 0
        )
      )
      yield* second.signal("SIGTERM")
      const { dup, early, line, lost } = etas.book(
        [...etas.said(lines), ...etas.said((yield* second.ended).lines)],
        1000
      )
      yield* print(`SIGKILL in the middle ${line}`)
      assert.deepStrictEqual([lost, early], [0, 0])
      // Those that ran, and those that had ended and whose acknowledgements were not on their way: ten each.
      assert.isBelow(dup, 50)
    }).pipe(Effect.scoped)
  )

  for (const signal of ["SIGTERM", "SIGQUIT"] as const) {
    it.effect(`has them back in their queue when a ${signal} stops the last worker`, () =>
      Effect.gen(function* () {
        const server = yield* Server
        const count = times(2000, 10_000)
        const file = yield* Program.bundle("packages/transport-redis/test/support/etaWorker.ts")
        const worker = yield* Program.start(file, { args: [server.url()] })
        yield* worker.line("ready")
        const at = (yield* Clock.currentTimeMillis) + 3_600_000
        yield* etas.send(count, () => at)
        const sent = performance.now()
        yield* etas.untilParked(count)
        const began = performance.now()
        yield* worker.signal(signal)
        yield* worker.ended
        const took = Math.round(performance.now() - began)
        const back = yield* etas.waiting
        yield* print(
          `A10 ${signal} parked=${count} within ${Math.round(began - sent)} ms of being sent, back=${String(back)} lost=${count - Number(back)} exit=${took} ms`
        )
        assert.deepStrictEqual([back, yield* etas.parked, yield* server.command("HLEN", "unacked")], [count, 0, 0])
        yield* server.command("DEL", "celery")
      }).pipe(Effect.scoped)
    )
  }
})
