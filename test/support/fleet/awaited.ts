/** What is left of results that were awaited, forgotten, or given up (RELIABILITY E3), in whatever backend. */
import type { ResultMessage } from "@apium/protocol/celery/ResultMessage"
import { ResultBackend } from "@apium/worker/client/ResultBackend"
import { assert } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import { message } from "../BackendSuite.ts"
import * as Figures from "../Figures.ts"

const rounds = 10
/** Twenty thousand; a million with `APIUM_FULL=2`. */
const perRound = Figures.times(2000, 10_000, 100_000)
const atOnce = 500
/** The compiler and the caches settle. */
const warmUp = 4

export interface Ways {
  /** As a worker stores it: where the results are messages, by another connection. */
  readonly store: (message: ResultMessage) => Effect.Effect<void, unknown>
  /** After each round: nobody is waited for. */
  readonly idle: Effect.Effect<void>
}

/** A third is awaited and comes, a third is awaited by two who give up (some of it comes later), a third is watched and forgotten. */
export const soak = (row: string, { idle, store }: Ways) =>
  Effect.gen(function* () {
    const backend = yield* ResultBackend
    const one = (round: number, index: number): Effect.Effect<void, unknown> => {
      const id = `${row}-${round}-${index}`
      switch (index % 3) {
        case 0:
          return Effect.gen(function* () {
            const waiting = yield* Effect.forkChild(backend.wait(id), { startImmediately: true })
            yield* store(message(id))
            yield* Fiber.join(waiting)
            yield* backend.forget(id)
          })
        case 1:
          return Effect.gen(function* () {
            const waits = yield* Effect.forEach([1, 2], () =>
              Effect.forkChild(Effect.timeoutOption(backend.wait(id), 5), { startImmediately: true })
            )
            yield* Fiber.joinAll(waits)
            if (index % 2 === 0) yield* Effect.andThen(store(message(id)), backend.forget(id))
          })
        default:
          return Effect.gen(function* () {
            const watching = yield* Effect.forkChild(Stream.runDrain(backend.changes(id)), { startImmediately: true })
            yield* store(message(id, "STARTED"))
            yield* store(message(id, "FAILURE"))
            yield* Fiber.join(watching)
            yield* backend.forget(id)
          })
      }
    }
    const heaps: Array<number> = []
    const began = performance.now()
    for (let round = 0; round < rounds; round++) {
      yield* Effect.forEach(
        Array.from({ length: perRound }, (_, index) => index),
        (index) => one(round, index),
        { concurrency: atOnce, discard: true }
      )
      yield* idle
      heaps.push(yield* Figures.heap)
    }
    const perSecond = Math.round(((rounds * perRound) / (performance.now() - began)) * 1000)
    const left = Figures.slope(heaps.slice(warmUp), perRound)
    yield* Figures.print(
      `E3 ${row}: ${rounds * perRound} results awaited, given up or watched, ${perSecond} a second; heap after each ${perRound}, MiB: ${heaps.map(Figures.mebibytes).join(", ")}; slope ${left.toFixed(1)} octets each`
    )
    // In short rounds the compiler's own is as much.
    assert.isBelow(left, Figures.growth * Figures.times(10, 3, 1))
  })
