/**
 * How many requests run at once: those beyond wait here, reserved, and can still be given back.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as MutableList from "effect/MutableList"
import type * as Scope from "effect/Scope"
import type { Request } from "./Request.ts"

export interface Slots {
  readonly submit: (request: Request) => void
  /** Takes back what has not begun. */
  readonly takeBack: () => ReadonlyArray<Request>
  /** Completes when nothing runs. */
  readonly idle: Effect.Effect<void>
}

/** Closing the scope interrupts what still runs. */
export const make = (
  concurrency: number,
  run: (request: Request) => Effect.Effect<void>
): Effect.Effect<Slots, never, Scope.Scope> =>
  Effect.gen(function* () {
    const fork = yield* FiberSet.makeRuntime<never, void, never>()
    const waiting = MutableList.make<Request>()
    const watchers = new Set<Deferred.Deferred<void>>()
    let running = 0
    let pumping = false

    // A run that never waits is over before `fork` returns: hence a loop, and not one call inside the other.
    const pump = (): void => {
      if (pumping) return
      pumping = true
      while (running < concurrency) {
        const next = MutableList.take(waiting)
        if (next === MutableList.Empty) break
        running++
        fork(run(next)).addObserver(finished)
      }
      pumping = false
    }

    const finished = (): void => {
      running--
      pump()
      if (running > 0) return
      for (const watcher of watchers) Deferred.doneUnsafe(watcher, Effect.void)
      watchers.clear()
    }

    return {
      submit: (request) => {
        MutableList.append(waiting, request)
        pump()
      },
      takeBack: () => MutableList.takeAll(waiting),
      idle: Effect.suspend(() => {
        if (running === 0) return Effect.void
        const watcher = Deferred.makeUnsafe<void>()
        watchers.add(watcher)
        return Deferred.await(watcher)
      })
    }
  })
