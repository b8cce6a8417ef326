/** Worker processes that are told to stop, on whatever broker (RELIABILITY A5, A7 to A10). */
import type { Connection } from "@apium/hub/Connection"
import { assert, layer } from "@effect/vitest"
import { Effect, type Layer } from "effect"
import { random } from "../../../packages/protocol/test/support/Random.ts"
import { print, spread, times } from "../Figures.ts"
import * as Fleet from "./Fleet.ts"
import type { Script } from "./Script.ts"

const seeds = (count: number) => Array.from({ length: count }, (_, index) => index + 1)

const sum = (numbers: ReadonlyArray<number>) => numbers.reduce((total, one) => total + one, 0)

const noneHeld = (fleet: Fleet.Fleet) => Fleet.until(fleet.queue, ({ unacked }) => unacked === 0)

/** `dying` is what a worker is told beside the rest if it is killed while it stops. */
export const suite = <E>(World: Layer.Layer<Fleet.Broker | Connection, E>, dying: Partial<Script> = {}): void =>
  layer(World, { excludeTestServices: true })("a worker process that is told to stop", (it) => {
    it.effect("by a SIGTERM under load: what runs is finished and acknowledged, the rest is back in the queue", () =>
      Effect.gen(function* () {
        const runs = yield* Effect.forEach(seeds(times(4, 5, 20)), (seed) =>
          Effect.gen(function* () {
            const r = random(seed)
            const fleet = yield* Fleet.make()
            yield* fleet.send(200, () => ({ wait: r.below(300) }))
            const worker = yield* fleet.start()
            yield* worker.line("@ busy")
            yield* Effect.sleep(r.below(1500))
            const signalled = performance.timeOrigin + performance.now()
            yield* worker.signal("SIGTERM")
            const { code } = yield* worker.ended
            const took = performance.timeOrigin + performance.now() - signalled
            const { unacked } = yield* noneHeld(fleet)
            const books = yield* fleet.books
            assert.deepStrictEqual([code, unacked], [0, 0], `seed ${seed}`)
            assert.deepStrictEqual([books.lost, books.dup, books.unknown], [[], 0, []], `seed ${seed}`)
            assert.strictEqual(books.finished + books.givenBack, 200, `seed ${seed}`)
            // What has begun has ended.
            assert.strictEqual(books.started, books.finished, `seed ${seed}`)
            return { ...books, took }
          }).pipe(Effect.scoped)
        )
        yield* print(
          `A5 lost=${sum(runs.map(({ lost }) => lost.length))} dup=${sum(runs.map(({ dup }) => dup))} n=${sum(runs.map(({ n }) => n))} finished=${sum(runs.map(({ finished }) => finished))} given back=${sum(runs.map(({ givenBack }) => givenBack))} exit p50/p95/max=${spread(runs.map(({ took }) => took))} ms, tasks of 0 to 300`
        )
      })
    )

    it.effect("by a SIGQUIT: what acknowledges late is back, and what acknowledged early is lost, which it says", () =>
      Effect.gen(function* () {
        const fleet = yield* Fleet.make({ concurrency: 20 })
        const late = yield* fleet.send(10, () => ({ wait: 60_000 }))
        const early = yield* fleet.send(10, () => ({ wait: 60_000 }), { early: true })
        const worker = yield* fleet.start()
        yield* worker.line("@ busy")
        yield* worker.signal("SIGQUIT")
        const { code, lines } = yield* worker.ended
        const { ready, unacked } = yield* noneHeld(fleet)
        const books = yield* fleet.books
        const told = lines.filter((line) => line.includes("acknowledged early was interrupted, and is lost")).length
        const interrupted = fleet.lines().flatMap(({ id, what }) => (what === "interrupted" ? [id] : []))
        yield* print(`A7 n=20 back=${ready} lost=${books.lost.length} told=${told} dup=${books.dup}`)
        assert.deepStrictEqual([code, ready, unacked, told, books.dup], [1, 10, 0, 10, 0])
        assert.sameMembers([...books.lost], [...early])
        assert.sameMembers([...interrupted], [...late, ...early])
      })
    )

    it.effect("softly: what can finish in that time does, and the rest is back", () =>
      Effect.gen(function* () {
        const fleet = yield* Fleet.make({ concurrency: 20, softTimeout: 3000 })
        yield* fleet.send(20, (index) => ({ wait: index % 2 === 0 ? 200 : 60_000 }))
        const worker = yield* fleet.start()
        yield* worker.line("@ busy")
        yield* worker.signal("SIGQUIT")
        const { code } = yield* worker.ended
        const { unacked } = yield* noneHeld(fleet)
        const books = yield* fleet.books
        yield* print(`A8 ${books.line} finished=${books.finished} given back=${books.givenBack}`)
        assert.deepStrictEqual(
          [code, unacked, books.lost, books.dup, books.finished, books.givenBack],
          [1, 0, [], 0, 10, 10]
        )
      })
    )

    it.effect("and is killed before it has: nothing is lost", () =>
      Effect.gen(function* () {
        const runs = yield* Effect.forEach(seeds(times(5, 6, 50)), (seed) =>
          Effect.gen(function* () {
            const r = random(seed)
            const fleet = yield* Fleet.make(dying)
            yield* fleet.send(40, () => ({ wait: 20 + r.below(200) }))
            const worker = yield* fleet.start()
            yield* worker.line("@ busy")
            yield* worker.signal(r.pick(["SIGTERM", "SIGQUIT"]))
            yield* Effect.sleep(r.below(250))
            yield* worker.signal("SIGKILL")
            yield* worker.ended
            // The broker has heard of it when it has everything back.
            yield* noneHeld(fleet)
            const again = yield* fleet.start()
            yield* fleet.drained
            yield* again.signal("SIGTERM")
            yield* again.ended
            const books = yield* fleet.books
            assert.deepStrictEqual([books.lost, books.unknown, books.unmarked], [[], [], []], `seed ${seed}`)
            assert.strictEqual(books.finished, 40, `seed ${seed}`)
            assert.isAtMost(books.dup, 10, `seed ${seed}`)
            return books
          }).pipe(Effect.scoped)
        )
        yield* print(
          `A9 lost=${sum(runs.map(({ lost }) => lost.length))} dup=${sum(runs.map(({ dup }) => dup))} n=${sum(runs.map(({ n }) => n))} kills=${runs.length}`
        )
      })
    )

    for (const signal of ["SIGTERM", "SIGQUIT"] as const) {
      const many = times(1000, 2000, 10_000)
      it.effect(`by a ${signal}, and holds ${many} tasks that are not due: all of them are back in the queue`, () =>
        Effect.gen(function* () {
          const fleet = yield* Fleet.make({ delay: "worker", holding: many })
          yield* fleet.send(many, () => ({ wait: 0 }), { eta: new Date(Date.now() + 60 * 86_400_000) })
          const worker = yield* fleet.start()
          yield* worker.line("@ holding")
          const before = yield* fleet.queue
          yield* worker.signal(signal)
          const began = performance.now()
          const { code } = yield* worker.ended
          const took = Math.round(performance.now() - began)
          const { ready, unacked } = yield* noneHeld(fleet)
          const books = yield* fleet.books
          yield* print(`A10 ${signal} ${books.line} given back=${books.givenBack} exit=${took} ms`)
          assert.deepStrictEqual([before.unacked, code, ready, unacked], [many, signal === "SIGTERM" ? 0 : 1, many, 0])
          assert.deepStrictEqual([books.lost, books.started, books.givenBack], [[], 0, many])
        })
      )
    }
  })
