/**
 * How many requests run at once: those beyond wait here, reserved, and can still be given back. A task with a `concurrency` of
 * its own waits for itself, and holds up no other.
 */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as MutableList from "effect/MutableList"
import type * as Scope from "effect/Scope"
import type { Request } from "./Request.ts"
import { Running, type Runs } from "./Running.ts"
import type { Suspects } from "./Suspects.ts"

export interface Slots {
  readonly submit: (request: Request) => void
  readonly waiting: () => ReadonlyArray<Request>
  /** How many wait. */
  readonly backlog: () => number
  /** How many of them wait for others of their task. */
  readonly blocked: () => number
  /** Takes out of the waiting those that match. */
  readonly remove: (matches: (request: Request) => boolean) => ReadonlyArray<Request>
  readonly running: () => Runs
  readonly concurrency: () => number
  /** Fewer: what runs goes on, and nothing begins until there is room again. */
  readonly resize: (concurrency: number) => void
  /** Completes when nothing runs. */
  readonly idle: Effect.Effect<void>
  /** Forgets what runs: nobody waits for it any more. */
  readonly abandon: () => void
}

export interface Options {
  readonly concurrency: number
  readonly run: (request: Request) => Effect.Effect<void>
  /** Concludes a run that ended without concluding itself. */
  readonly died: (request: Request, cause: Cause.Cause<never>) => Effect.Effect<void>
  readonly ended?: ((request: Request) => void) | undefined
  /** A run has begun, or ended. */
  readonly changed?: (() => void) | undefined
  /** Those that wait here run one at a time, and before the others: there are few, and who starts anew should soon know. */
  readonly suspects?: Suspects | undefined
  /** One that waited may be somebody else's by now (`Delivery.held`): it is not begun, and nobody's here any more. */
  readonly gone?: ((request: Request) => void) | undefined
  /** Whether anything may begin at all now. Asked before each run. */
  readonly open?: (() => boolean) | undefined
}

/** Closing the scope interrupts what still runs. */
export const make = ({
  concurrency: initial,
  run,
  died,
  ended: told,
  changed,
  suspects,
  gone,
  open = () => true
}: Options): Effect.Effect<Slots, never, Scope.Scope> =>
  Effect.gen(function* () {
    const fork = Effect.runForkWith(yield* Effect.context())
    const runs = new Running()
    const waiting = MutableList.make<Request>()
    /** Of tasks with a concurrency of their own: how many run, and which wait for one of them to end. */
    const limited = new Map<string, { running: number; readonly blocked: MutableList.MutableList<Request> }>()
    const watchers = new Set<Deferred.Deferred<void>>()
    let concurrency = initial
    let pumping = false

    const limitOf = (request: Request) => {
      const { name, options } = request.registered.task
      if (options.concurrency === undefined) return undefined
      const known = limited.get(name)
      if (known !== undefined) return known
      const made = { running: 0, blocked: MutableList.make<Request>() }
      limited.set(name, made)
      return made
    }

    /** Whether its task has as many running as it may; it waits for one of them then. */
    const blocked = (request: Request): boolean => {
      const limit = limitOf(request)
      if (limit === undefined) return false
      if (limit.running < Math.max(1, request.registered.task.options.concurrency!)) return false
      MutableList.append(limit.blocked, request)
      return true
    }

    const ended = (request: Request): void => {
      told?.(request)
      suspects?.ended(request)
      const limit = limitOf(request)
      if (limit === undefined) return
      limit.running--
      const next = MutableList.take(limit.blocked)
      // It came before all that wait now.
      if (next !== MutableList.Empty) MutableList.prepend(waiting, next)
    }

    // A run that never waits is over before `fork` returns: hence a loop, and not one call inside the other.
    const pump = (): void => {
      if (pumping) return
      pumping = true
      while (runs.size < concurrency && open()) {
        const next = suspects?.next() ?? MutableList.take(waiting)
        if (next === MutableList.Empty) break
        if (next.delivery.held?.() === false) {
          suspects?.ended(next)
          gone?.(next)
          continue
        }
        if (blocked(next)) continue
        const limit = limitOf(next)
        if (limit !== undefined) limit.running++
        // What died is concluded in the same slot, before anybody else has it.
        begin(next, run(next), (cause) => begin(next, died(next, cause), () => ended(next)))
      }
      pumping = false
      if (runs.size === 0) notify()
    }

    const begin = (request: Request, work: Effect.Effect<void>, onDeath: (cause: Cause.Cause<never>) => void): void => {
      const fiber = fork(work)
      const over = (exit: Exit.Exit<void>): void => {
        if (Exit.isFailure(exit) && !Cause.hasInterrupts(exit.cause)) onDeath(exit.cause)
        else ended(request)
        pump()
        changed?.()
      }
      // A run that never waits is over by now.
      const exit = fiber.pollUnsafe()
      if (exit !== undefined) return over(exit)
      runs.add(fiber, request)
      changed?.()
      fiber.addObserver((exit) => {
        runs.delete(fiber)
        over(exit)
      })
    }

    const lists = (): ReadonlyArray<MutableList.MutableList<Request>> => [
      waiting,
      ...Array.from(limited.values(), (limit) => limit.blocked)
    ]

    const remove = (matches: (request: Request) => boolean): ReadonlyArray<Request> => {
      const removed: Array<Request> = [...(suspects?.remove(matches) ?? [])]
      for (const list of lists()) {
        if (list.length === 0) continue
        MutableList.filter(list, (request) => {
          if (!matches(request)) return true
          removed.push(request)
          // It may have its turn, and wait for another of its task.
          suspects?.ended(request)
          return false
        })
      }
      return removed
    }

    const notify = (): void => {
      for (const watcher of watchers) Deferred.doneUnsafe(watcher, Effect.void)
      watchers.clear()
    }

    yield* Effect.addFinalizer(() => {
      remove(() => true)
      return Fiber.interruptAll(runs.keys())
    })

    return {
      submit: (request) => {
        if (suspects?.holds(request) !== true) MutableList.append(waiting, request)
        pump()
      },
      waiting: () => [...(suspects?.waiting() ?? []), ...lists().flatMap((list) => MutableList.toArray(list))],
      blocked: () => {
        let count = 0
        // Mostly there are none, and this is asked for each task.
        if (limited.size > 0) for (const limit of limited.values()) count += limit.blocked.length
        return count
      },
      backlog: () => lists().reduce((count, list) => count + list.length, suspects?.waiting().length ?? 0),
      remove,
      running: () => runs,
      concurrency: () => concurrency,
      resize: (wanted) => {
        concurrency = Math.max(1, wanted)
        pump()
      },
      idle: Effect.suspend(() => {
        // One that begins is not among the fibers yet, and may be the one that asked for the stop.
        if (runs.size === 0 && !pumping) return Effect.void
        const watcher = Deferred.makeUnsafe<void>()
        watchers.add(watcher)
        return Deferred.await(watcher)
      }),
      abandon: () => {
        runs.clear()
        notify()
      }
    }
  })
