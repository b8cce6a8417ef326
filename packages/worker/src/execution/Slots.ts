/**
 * How many requests run at once: those beyond wait here, reserved, and can still be given back.
 */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as MutableList from "effect/MutableList"
import type * as Scope from "effect/Scope"
import type { Request } from "./Request.ts"

export interface Slots {
  readonly submit: (request: Request) => void
  /** Takes back what has not begun. */
  readonly takeBack: () => ReadonlyArray<Request>
  readonly running: () => ReadonlyMap<Fiber.Fiber<void>, Request>
  /** Completes when nothing runs. */
  readonly idle: Effect.Effect<void>
}

/** Closing the scope interrupts what still runs. `died` concludes a run that ended without concluding itself. */
export const make = (
  concurrency: number,
  run: (request: Request) => Effect.Effect<void>,
  died: (request: Request, cause: Cause.Cause<never>) => Effect.Effect<void>
): Effect.Effect<Slots, never, Scope.Scope> =>
  Effect.gen(function* () {
    const fork = Effect.runForkWith(yield* Effect.context())
    const fibers = new Map<Fiber.Fiber<void>, Request>()
    const waiting = MutableList.make<Request>()
    const watchers = new Set<Deferred.Deferred<void>>()
    let pumping = false

    // A run that never waits is over before `fork` returns: hence a loop, and not one call inside the other.
    const pump = (): void => {
      if (pumping) return
      pumping = true
      while (fibers.size < concurrency) {
        const next = MutableList.take(waiting)
        if (next === MutableList.Empty) break
        begin(next, run(next), (cause) => begin(next, died(next, cause), () => undefined))
      }
      pumping = false
    }

    const begin = (request: Request, work: Effect.Effect<void>, onDeath: (cause: Cause.Cause<never>) => void): void => {
      const fiber = fork(work)
      fibers.set(fiber, request)
      fiber.addObserver((exit) => {
        fibers.delete(fiber)
        // In the same slot, before anybody else has it.
        if (Exit.isFailure(exit) && !Cause.hasInterrupts(exit.cause)) onDeath(exit.cause)
        pump()
        if (fibers.size > 0) return
        for (const watcher of watchers) Deferred.doneUnsafe(watcher, Effect.void)
        watchers.clear()
      })
    }

    yield* Effect.addFinalizer(() => {
      MutableList.clear(waiting)
      return Fiber.interruptAll(fibers.keys())
    })

    return {
      submit: (request) => {
        MutableList.append(waiting, request)
        pump()
      },
      takeBack: () => MutableList.takeAll(waiting),
      running: () => fibers,
      idle: Effect.suspend(() => {
        if (fibers.size === 0) return Effect.void
        const watcher = Deferred.makeUnsafe<void>()
        watchers.add(watcher)
        return Deferred.await(watcher)
      })
    }
  })
