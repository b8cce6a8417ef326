/**
 * Handlers in children of their own, for tasks that compute or that must not take the worker down: each child builds the
 * handlers once and runs one job at a time. A runtime's door supplies the children (`@apium/worker/node`: `layerThreadPool`
 * and `layerProcessPool`), and `ChildRunner` is what they run.
 *
 * What goes wrong in a child stays there. One that dies ends its job as `Lost`; one that has to be killed (a hard limit, a
 * `kill`, a handler that does not obey) is killed at once; both are replaced at once. One that cannot be started again is
 * tried again, later and later. While none is left to run them, waiting jobs are lost with each attempt that fails: a queue
 * is not emptied into failures, and nothing hangs.
 */
import type * as Json from "@apium/protocol/kombu/Json"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { Spawner, WorkerPlatform } from "effect/workers/Worker"
import type { WorkerError } from "effect/workers/WorkerError"
import * as TaskError from "../../task/TaskError.ts"
import type { Outcome } from "../Outcome.ts"
import { type Job, Pool } from "../Pool.ts"
import * as Child from "./Child.ts"
import * as ChildJob from "./ChildJob.ts"

export interface Options {
  /** How many children; a whole number, at least one. */
  readonly size: number
  /**
   * How long a child may take to end a job that was interrupted or whose soft limit ran out, or to close its handlers, before
   * it is killed. Default 5 s.
   */
  readonly grace?: Duration.Input | undefined
  /** How long a child may take to load and build its handlers. Default 1 minute. */
  readonly startTimeout?: Duration.Input | undefined
  /** A child that ran this many tasks closes its handlers' layer and is replaced. Default: no limit. */
  readonly maxTasksPerChild?: number | undefined
  /** The same for a child that has more resident memory than this after a task, in KiB. Default: no limit. */
  readonly maxMemoryPerChild?: number | undefined
}

/** An option that makes no sense, or that this runtime cannot keep. */
export class InvalidPoolOption extends Schema.TaggedError<InvalidPoolOption>()("InvalidPoolOption", {
  option: Schema.String,
  /** What is wrong, and what to do. */
  text: Schema.String
}) {
  override get message() {
    return `The pool's option ${this.option} ${this.text}`
  }
}

/**
 * Built when all children are ready; a child that cannot be started fails the layer. Closing it waits for no job: an idle
 * child closes its handlers' layer, a busy one is killed.
 */
export const layer = (
  place: Child.Settings["place"],
  options: Options
): Layer.Layer<Pool, InvalidPoolOption | WorkerError, WorkerPlatform | Spawner> =>
  Layer.effect(
    Pool,
    Effect.flatMap(
      Effect.suspend(() => checked(options)),
      () => make(place, options)
    )
  )

const checked = (options: Options): Effect.Effect<void, InvalidPoolOption> => {
  for (const option of ["size", "maxTasksPerChild", "maxMemoryPerChild"] as const) {
    const value = options[option]
    if (value !== undefined && !(Number.isSafeInteger(value) && value > 0)) {
      return Effect.fail(new InvalidPoolOption({ option, text: `is ${value}: make it a whole number, at least 1` }))
    }
  }
  return Effect.void
}

/** Between failed starts: 100 ms, doubling up to 10 s. */
const backoff = (failures: number): Duration.Duration => Duration.millis(Math.min(10_000, 50 * 2 ** failures))

/** A place for a child: when one dies, the next one takes it. */
interface Slot {
  readonly id: number
  child: Child.Child
  /** Done when the pool has shrunk by this one. */
  readonly retired: Deferred.Deferred<void>
}

const isRetired = ({ retired }: Slot): boolean => Deferred.isDoneUnsafe(retired)

const make = Effect.fnUntraced(function* (
  place: Child.Settings["place"],
  options: Options
): Effect.fn.Return<Pool["Service"], WorkerError, WorkerPlatform | Spawner | Scope.Scope> {
  const settings: Child.Settings = {
    place,
    grace: Duration.fromInputUnsafe(options.grace ?? "5 seconds"),
    startTimeout: Duration.fromInputUnsafe(options.startTimeout ?? "1 minute"),
    maxTasksPerChild: options.maxTasksPerChild ?? Number.POSITIVE_INFINITY,
    maxMemoryPerChild: options.maxMemoryPerChild ?? Number.POSITIVE_INFINITY
  }
  const platform = yield* Effect.context<WorkerPlatform | Spawner>()
  const jobs = new Map<Job, ChildJob.ChildJob>()
  const waiting = new Set<ChildJob.ChildJob>()
  const work = Latch.makeUnsafe()
  const slots = new Map<Slot, Fiber.Fiber<void>>()
  const closing = Deferred.makeUnsafe<void>()
  let lastJob = 0
  let lastSlot = 0
  let size = options.size

  const ids = () => [...slots.keys()].flatMap(({ child }) => child.id ?? [])

  const loseWaiting = (text: string): void => {
    // Whoever is told may come back at once with another job: that one is not lost yet.
    const lost = [...waiting]
    waiting.clear()
    for (const job of lost) ChildJob.end(job, ChildJob.lost(text))
  }

  const take =
    (slot: Slot) =>
    (child: Child.Child): Effect.Effect<ChildJob.ChildJob | undefined> =>
      Effect.suspend(() => {
        if (isRetired(slot)) return Effect.undefined
        for (const job of waiting) {
          waiting.delete(job)
          child.running = job
          child.tasks++
          return Effect.succeed(job)
        }
        work.closeUnsafe()
        return Effect.andThen(work.await, take(slot)(child))
      })

  /** Keeps a child in this slot until it retires or the pool closes. `first`: ready for the first time, or failed to be. */
  const supervise = Effect.fnUntraced(function* (slot: Slot, first: Deferred.Deferred<void, WorkerError>) {
    const owner: Child.Owner = { take: take(slot), closing, onReady: () => Deferred.doneUnsafe(first, Exit.void) }
    let failures = 0
    while (!Deferred.isDoneUnsafe(closing) && !isRetired(slot)) {
      slot.child = Child.make()
      const exit = yield* Effect.exit(Child.live(slot.id, slot.child, settings, owner))
      if (Exit.isSuccess(exit)) {
        failures = 0
        continue
      }
      // The layer fails with it.
      if (Deferred.isDoneUnsafe(closing) || Deferred.doneUnsafe(first, exit)) return
      const text = Child.reasonOf(exit, place)
      yield* Effect.logWarning(`A ${place} of the pool died and is replaced`, { slot: slot.id, reason: text })
      failures = slot.child.tasks > 0 ? 0 : failures + 1
      if (failures === 0) continue
      if (ids().length === 0) loseWaiting(`No ${place} could be started: ${text}`)
      yield* Effect.raceAllFirst([
        Effect.sleep(backoff(failures)),
        Deferred.await(closing),
        Deferred.await(slot.retired)
      ])
    }
  })

  const open = (first: Deferred.Deferred<void, WorkerError>): Effect.Effect<void> =>
    Effect.suspend(() => {
      const slot: Slot = { id: ++lastSlot, child: Child.make(), retired: Deferred.makeUnsafe() }
      const supervised = supervise(slot, first).pipe(
        Effect.provideContext(platform),
        Effect.ensuring(Effect.sync(() => slots.delete(slot)))
      )
      // Not by the scope: it would interrupt them before they are asked to close. The finalizer waits for them.
      return Effect.map(Effect.forkDetach(supervised), (fiber) => void slots.set(slot, fiber))
    })

  /** One that was started later may fail at first, as any that replaces another. */
  const openLater = Effect.suspend(() => {
    const first = Deferred.makeUnsafe<void, WorkerError>()
    Deferred.doneUnsafe(first, Exit.void)
    return open(first)
  })

  const retire = (slot: Slot): void => {
    Deferred.doneUnsafe(slot.retired, Exit.void)
    work.openUnsafe()
  }

  const resize = (wanted: number): Effect.Effect<void> =>
    Effect.suspend(() => {
      if (Deferred.isDoneUnsafe(closing)) return Effect.void
      size = Math.max(1, Math.floor(wanted))
      const kept = [...slots.keys()].filter((slot) => !isRetired(slot))
      if (kept.length < size) return Effect.replicateEffect(openLater, size - kept.length, { discard: true })
      // Those that have nothing to do go first, and of them the youngest.
      const isBusy = ({ child }: Slot) => (child.running === undefined ? 0 : 1)
      const leaving = kept.toSorted((a, b) => isBusy(a) - isBusy(b) || b.id - a.id).slice(0, kept.length - size)
      for (const slot of leaving) retire(slot)
      return Effect.void
    })

  const enter = (job: Job): ChildJob.ChildJob | Outcome => {
    if (Deferred.isDoneUnsafe(closing)) return ChildJob.lost(`The ${place} pool was closed`)
    try {
      const entry = ChildJob.make(++lastJob, job)
      jobs.set(job, entry)
      waiting.add(entry)
      work.openUnsafe()
      return entry
    } catch (error) {
      const { message } = error as Json.JsonError
      return ChildJob.failed(TaskError.typeError(`The call cannot enter a ${place}: ${message}`))
    }
  }

  const leave = (entry: ChildJob.ChildJob): Effect.Effect<void> =>
    Effect.suspend(() => {
      if (waiting.delete(entry)) return Effect.void
      Deferred.doneUnsafe(entry.turn, Exit.void)
      return Effect.asVoid(Deferred.await(entry.outcome))
    })

  const run = (job: Job): Effect.Effect<Outcome> =>
    Effect.uninterruptibleMask((restore) =>
      Effect.suspend(() => {
        const entry = enter(job)
        if ("_tag" in entry) return Effect.succeed(entry)
        return restore(Deferred.await(entry.outcome)).pipe(
          Effect.onInterrupt(() => leave(entry)),
          Effect.ensuring(Effect.sync(() => jobs.delete(job)))
        )
      })
    )

  const kill = (job: Job): Effect.Effect<void> =>
    Effect.sync(() => {
      const entry = jobs.get(job)
      if (entry === undefined || ChildJob.hasEnded(entry)) return
      entry.killed = true
      const text = waiting.delete(entry) ? "was killed before it began" : `was killed, and its ${place} with it`
      ChildJob.end(entry, ChildJob.lost(`The task ${text}`))
    })

  yield* Effect.addFinalizer(() =>
    Effect.suspend(() => {
      Deferred.doneUnsafe(closing, Exit.void)
      loseWaiting(`The ${place} pool was closed`)
      return Effect.asVoid(Fiber.awaitAll([...slots.values()]))
    })
  )
  const firsts = Array.from({ length: size }, () => Deferred.makeUnsafe<void, WorkerError>())
  yield* Effect.forEach(firsts, open, { discard: true })
  yield* Effect.forEach(firsts, (first) => Deferred.await(first), { concurrency: "unbounded", discard: true })

  return {
    name: place,
    size: () => size,
    run,
    kill,
    resize,
    stats: () => ({
      implementation: place,
      "max-concurrency": size,
      processes: ids(),
      "max-tasks-per-child": options.maxTasksPerChild ?? "N/A",
      "put-guarded-by-semaphore": false,
      timeouts: [0, 0]
    })
  }
})
