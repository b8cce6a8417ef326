import { assert, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { print, times } from "../../../../test/support/Figures.ts"
import * as Fleet from "../../../../test/support/fleet/Fleet.ts"
import * as shutdown from "../../../../test/support/fleet/shutdown.ts"
import { RabbitMq } from "../../../../test/support/RabbitMq.ts"
import { World } from "./World.ts"

const Live = World.pipe(Layer.provideMerge(RabbitMq.shared))

shutdown.suite(Live)

layer(Live, { excludeTestServices: true })("a worker process that is told to stop", (it) => {
  it.effect("and whose tasks take longer than two heartbeats: the link lives to their end, and none runs twice", () =>
    Effect.gen(function* () {
      const rabbit = yield* RabbitMq
      // The broker gives up who is silent for two of them: a busy machine takes one.
      const heartbeat = 3
      const fleet = yield* Fleet.make({ url: `${rabbit.url()}?heartbeat=${heartbeat}`, concurrency: 3 })
      yield* fleet.send(3, () => ({ wait: times(7000, 7000, 10_000) }))
      const worker = yield* fleet.start()
      yield* worker.line("@ busy")
      yield* worker.signal("SIGTERM")
      const { code, lines } = yield* worker.ended
      const books = yield* fleet.books
      yield* print(`A6 ${books.line} started=${books.started} heartbeat=${heartbeat} s`)
      assert.deepStrictEqual([code, books.finished, books.started, books.givenBack], [0, 3, 3, 0])
      assert.isFalse(lines.some((line) => line.includes("The link to the broker is lost")))
    })
  )
})
