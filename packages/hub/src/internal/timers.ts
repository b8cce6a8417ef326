/**
 * Many deadlines, one fiber: a heap of callbacks, and a fiber that sleeps until the earliest. With nothing
 * scheduled it waits on a latch and costs nothing. Time is Effect's `Clock`, so a test moves it.
 *
 * A million entries are a million small objects, where a sleeping fiber each would be about 1 KB each.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import type * as Scope from "effect/Scope"
import { Deadlines } from "./deadlines.ts"

interface Entry {
  run: (() => void) | undefined
}

export interface Timers {
  /** Runs the callback at that time (in milliseconds), or on the next turn when it has passed. Returns a cancel. */
  readonly schedule: (at: number, run: () => void) => () => void
  /** How many are waiting. */
  readonly size: () => number
}

/**
 * Deadlines on the wall clock: milliseconds since the epoch. One that is set back an hour makes all of them an hour later, and
 * one that is set forward is noticed within a minute, or a hundredth of the time that is left, for a sleep knows nothing of it.
 */
export const make: Effect.Effect<Timers, never, Scope.Scope> = Effect.suspend(() =>
  makeWith(
    (clock) => clock.currentTimeMillisUnsafe(),
    (left) => Math.max(60_000, left / 100)
  )
)

/** Whole milliseconds of a clock that nobody sets. */
export const monotonic = (clock: Clock.Clock): number => Number(clock.monotonicTimeNanosUnsafe() / 1_000_000n)

/** Deadlines on the `monotonic` clock: for how long something takes, whatever becomes of the wall clock meanwhile. */
export const makeMonotonic: Effect.Effect<Timers, never, Scope.Scope> = Effect.suspend(() =>
  makeWith(monotonic, (left) => left)
)

const makeWith = Effect.fnUntraced(function* (
  read: (clock: Clock.Clock) => number,
  longestSleep: (left: number) => number
) {
  const clock = yield* Clock.Clock
  const heap = new Deadlines<Entry>()
  const changed = Latch.makeUnsafe(false)
  let live = 0

  const schedule = (at: number, run: () => void) => {
    const entry: Entry = { run }
    // Clocks tick in milliseconds: what is due between two ticks is due at the later one.
    heap.push(Math.ceil(at), entry)
    live++
    if (heap.first === entry) changed.openUnsafe()
    return () => {
      if (entry.run === undefined) return
      entry.run = undefined
      live--
      // A cancelled entry leaves the heap when it comes up; when most are cancelled they all go now.
      if (live === 0) {
        heap.retain(() => false)
        changed.openUnsafe()
      } else if (heap.size > 64 && live < heap.size / 2) {
        heap.retain((entry) => entry.run !== undefined)
      }
    }
  }

  yield* Effect.forkScoped(
    Effect.forever(
      Effect.gen(function* () {
        changed.closeUnsafe()
        const now = read(clock)
        let due: Array<Entry> | undefined
        while (heap.first !== undefined && (heap.first.run === undefined || heap.next! <= now)) {
          const first = heap.pop()!
          if (first.run === undefined) continue
          due = due ?? []
          due.push(first)
        }
        for (const entry of due ?? []) {
          // One that is due together with it may have cancelled it.
          if (entry.run === undefined) continue
          const { run } = entry
          entry.run = undefined
          live--
          run()
        }
        const { next } = heap
        if (next === undefined) yield* changed.await
        else {
          const left = Math.max(0, next - now)
          yield* Effect.raceFirst(Effect.sleep(Math.min(left, longestSleep(left))), changed.await)
        }
      })
    )
  )

  return { schedule, size: () => live } satisfies Timers
})
