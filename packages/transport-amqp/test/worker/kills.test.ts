import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Scope } from "effect"
import { random } from "../../../protocol/test/support/Random.ts"
import type * as Program from "../../../../test/support/Program.ts"
import { RabbitMq } from "../../../../test/support/RabbitMq.ts"
import { print, times } from "../support/Figures.ts"
import * as Fleet from "./Fleet.ts"

const World = Fleet.World.pipe(Layer.provideMerge(RabbitMq.shared))

const kills = times(6, 10, 20)

layer(World, { excludeTestServices: true, timeout: "60 seconds" })("workers that are killed", (it) => {
  for (const type of ["classic", "quorum"] as const) {
    it.effect(
      `SIGKILL after SIGKILL while 1,000 tasks run, on a durable ${type} queue: nothing is lost, and what runs twice says that it came before`,
      () =>
        Effect.gen(function* () {
          const r = random(type === "classic" ? 11 : 12)
          const fleet = yield* Fleet.make(type === "quorum" ? { quorum: true } : {})
          const scope = yield* Effect.scope
          const begin = Effect.gen(function* () {
            const worker = yield* fleet.start()
            yield* worker.line("@ ready")
            return worker
          }).pipe(Scope.provide(scope))
          const workers: Array<Program.Program> = [yield* begin, yield* begin]
          yield* fleet.send(1000, () => ({ wait: 20 + r.below(60) }))
          for (let kill = 0; kill < kills; kill++) {
            const victim = workers.shift()!
            yield* Effect.sleep(r.below(400))
            yield* victim.signal("SIGKILL")
            yield* fleet.fault
            yield* victim.ended
            workers.push(yield* begin)
          }
          yield* fleet.drained
          for (const worker of workers) {
            yield* worker.signal("SIGTERM")
            assert.strictEqual((yield* worker.ended).code, 0)
          }
          const books = yield* fleet.books
          const started = fleet.lines().filter(({ what }) => what === "started")
          const again = started.filter((line) => line.again)
          yield* print(`A1 ${type} ${books.line} kills=${kills} started=${started.length} again=${again.length}`)
          assert.deepStrictEqual([books.lost, books.unknown, books.unmarked], [[], [], []])
          assert.strictEqual(books.finished, 1000)
          assert.isAtMost(books.dup, 10 * kills)
          assert.isAbove(again.length, 0)
        }),
      60_000
    )

    it.effect(`what a killed worker held begins again at once on another, from a ${type} queue`, () =>
      Effect.gen(function* () {
        const fleet = yield* Fleet.make(type === "quorum" ? { quorum: true } : {})
        const victim = yield* fleet.start({ concurrency: 3, prefetchMultiplier: 1 })
        yield* victim.line("@ ready")
        yield* fleet.send(3, () => ({ wait: 1500 }))
        yield* victim.line("@ busy")
        const other = yield* fleet.start()
        yield* other.line("@ ready")
        const killed = performance.timeOrigin + performance.now()
        yield* victim.signal("SIGKILL")
        yield* fleet.fault
        yield* victim.ended
        yield* fleet.drained
        yield* other.signal("SIGTERM")
        yield* other.ended
        const books = yield* fleet.books
        const first = fleet.lines().find(({ again, what }) => what === "started" && again)
        yield* print(
          `A1 ${type} idle: ${books.line} first begun again after ${Math.round((first?.at ?? NaN) - killed)} ms`
        )
        assert.deepStrictEqual([books.lost, books.dup, books.finished, books.unmarked], [[], 0, 3, []])
      })
    )
  }
})
