/**
 * Many deadlines, one fiber: a binary heap of callbacks, and a fiber that sleeps until the earliest. With nothing
 * scheduled it waits on a latch and costs nothing. Time is Effect's `Clock`, so a test moves it.
 *
 * A million entries are a million small objects, where a sleeping fiber each would be about 1 KB each.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import type * as Scope from "effect/Scope"

interface Entry {
  readonly at: number
  /** Breaks ties: what was scheduled first runs first. */
  readonly order: number
  run: (() => void) | undefined
}

export interface Timers {
  /** Runs the callback at that time (milliseconds since the epoch), or on the next turn when it has passed. Returns a cancel. */
  readonly schedule: (at: number, run: () => void) => () => void
  /** How many are waiting. */
  readonly size: () => number
}

const before = (a: Entry, b: Entry): boolean => a.at < b.at || (a.at === b.at && a.order < b.order)

export const make: Effect.Effect<Timers, never, Scope.Scope> = Effect.gen(function* () {
  const heap: Array<Entry> = []
  const changed = Latch.makeUnsafe(false)
  let order = 0
  let live = 0

  const push = (entry: Entry): void => {
    let index = heap.length
    heap.push(entry)
    while (index > 0) {
      const parent = (index - 1) >> 1
      if (!before(entry, heap[parent]!)) break
      heap[index] = heap[parent]!
      index = parent
    }
    heap[index] = entry
  }

  const pop = (): void => {
    const last = heap.pop()!
    if (heap.length === 0) return
    let index = 0
    for (;;) {
      let child = 2 * index + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++
      if (!before(heap[child]!, last)) break
      heap[index] = heap[child]!
      index = child
    }
    heap[index] = last
  }

  const schedule = (at: number, run: () => void) => {
    const entry: Entry = { at, order: order++, run }
    push(entry)
    live++
    if (heap[0] === entry) changed.openUnsafe()
    return () => {
      if (entry.run === undefined) return
      entry.run = undefined
      live--
      // A cancelled entry leaves the heap when it comes up; when most are cancelled they all go now.
      if (live === 0) {
        heap.length = 0
        changed.openUnsafe()
      } else if (heap.length > 64 && live < heap.length / 2) {
        const kept = heap.filter((entry) => entry.run !== undefined)
        heap.length = 0
        for (const entry of kept) push(entry)
      }
    }
  }

  yield* Effect.forkScoped(
    Effect.forever(
      Effect.gen(function* () {
        changed.closeUnsafe()
        const now = yield* Clock.currentTimeMillis
        let due: Array<Entry> | undefined
        for (
          let first = heap[0];
          first !== undefined && (first.run === undefined || first.at <= now);
          first = heap[0]
        ) {
          pop()
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
        const next = heap[0]
        if (next === undefined) yield* changed.await
        else yield* Effect.raceFirst(Effect.sleep(Math.max(0, next.at - now)), changed.await)
      })
    )
  )

  return { schedule, size: () => live }
})
