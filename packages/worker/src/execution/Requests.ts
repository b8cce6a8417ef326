/**
 * The tasks a worker has in its hands, and what can be done to them: what remote control shows and changes
 * (celery/worker/state.py, celery/worker/control.py). `steps/Tasks` provides it.
 */
import type * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { HubError } from "@apium/hub/HubError"
import type { Queue } from "@apium/hub/Queue"
import * as Result from "effect/Result"
import type { Consumers } from "./Consumers.ts"
import type { Discard } from "./Discard.ts"
import type { Eta } from "./Eta.ts"
import type { Pool } from "./Pool.ts"
import * as RateLimit from "./RateLimit.ts"
import type { Request, TimeLimits } from "./Request.ts"
import * as Revoked from "./Revoked.ts"
import type { Slots } from "./Slots.ts"

export interface Terminate {
  /** Also end it if it runs. */
  readonly terminate?: boolean | undefined
  /** Celery's name of the signal, shown to monitors; `SIGTERM` unless said otherwise. */
  readonly signal?: string | undefined
}

export class Requests extends Context.Service<
  Requests,
  {
    /** Those that run. `timeStart`: milliseconds since the epoch. */
    readonly active: () => ReadonlyArray<{ readonly request: Request; readonly timeStart: number }>
    /** Received, due, and not begun. */
    readonly reserved: () => ReadonlyArray<Request>
    /** Held here until they are due; `until` in milliseconds since the epoch. */
    readonly scheduled: () => ReadonlyArray<{ readonly request: Request; readonly until: number }>
    /** How many runs were begun, by task. */
    readonly totals: () => ReadonlyMap<string, number>
    /** How many deliveries may be unsettled at once. */
    readonly prefetch: () => number
    /** How many tasks may run at once. */
    readonly concurrency: () => number
    /** The pool grows or shrinks with it. */
    readonly resize: (concurrency: number) => Effect.Effect<void>
    /**
     * These are not to be run, now or when they come; bounded memory (50,000 ids). Those that wait here are discarded at
     * once; those that run go on, unless terminated.
     */
    readonly revoke: (ids: ReadonlyArray<string>, how?: Terminate) => Effect.Effect<void>
    /** As `revoke`, for tasks stamped with one of these values. Gives the ids of those that were in this worker's hands. */
    readonly revokeByStampedHeaders: (
      headers: Readonly<Record<string, ReadonlyArray<string>>>,
      how?: Terminate
    ) => Effect.Effect<ReadonlyArray<string>>
    /** The revoked ids that are remembered. */
    readonly revoked: () => ReadonlyArray<string>
    /** Those that neighbours are told of: `Revoked.lately`. */
    readonly revokedLately: () => ReadonlyArray<string>
    /** Celery's notation (`10/m`); `null` lifts the limit. Fails with the text of what is wrong. */
    readonly rateLimit: (task: string, rate: string | number | null) => Effect.Effect<void, string>
    readonly timeLimit: (task: string, limits: TimeLimits) => Effect.Effect<void>
    /** Those that are consumed now. */
    readonly queues: () => ReadonlyArray<Queue>
    /** From now on, on later links too; `false`: it is consumed already. Fails when the broker refuses it. */
    readonly addConsumer: (queue: Queue) => Effect.Effect<boolean, HubError>
    /** What it has sent is run and settled as before; `false`: it is not consumed. */
    readonly cancelConsumer: (queue: string) => Effect.Effect<boolean>
    /**
     * Waits until a shutdown is through: nothing runs, nothing is held, the channel is closed. Fails when the connection has
     * ended for good, which shuts the worker down.
     */
    readonly drained: Effect.Effect<void, HubError>
  }
>()("@apium/worker/Requests") {}

/** How often a run of each task was begun; bounded by the registry. */
export type Totals = Map<string, number>

export const make = (dependencies: {
  readonly slots: Slots
  readonly rateLimit: RateLimit.RateLimit
  readonly eta: Eta
  readonly revoked: Revoked.Revoked
  readonly discard: Discard
  readonly pool: Pool["Service"]
  readonly clock: Clock.Clock
  readonly totals: Totals
  readonly timeLimits: Map<string, TimeLimits>
  readonly consumers: Pick<Consumers, "queues" | "add" | "cancel">
  readonly prefetch: () => number
  /** The number of slots has changed. */
  readonly resized: () => void
  readonly drained: Effect.Effect<void, HubError>
}): Requests["Service"] => {
  const { slots, rateLimit, eta, revoked, discard, pool, clock, totals, timeLimits, consumers } = dependencies

  const discardWaiting = (matches: (request: Request) => boolean): Effect.Effect<void> =>
    Effect.suspend(() =>
      Effect.forEach(
        [...slots.remove(matches), ...rateLimit.remove(matches), ...eta.remove(matches)],
        // A link that is lost has its messages back; they are revoked when they come again.
        (request) => Effect.ignore(discard(request, "revoked")),
        { discard: true }
      )
    )

  const terminate = (matches: (request: Request) => boolean, signal: string): Effect.Effect<void> =>
    Effect.suspend(() =>
      Effect.forEach(
        [...slots.running()].filter(([, request]) => matches(request)),
        ([fiber, request]) => {
          request.terminated = { signal }
          return Effect.andThen(
            request.job === undefined ? Effect.void : pool.kill(request.job),
            Effect.sync(() => fiber.interruptUnsafe())
          )
        },
        { discard: true }
      )
    )

  const end = (matches: (request: Request) => boolean, how: Terminate): Effect.Effect<void> =>
    Effect.andThen(
      discardWaiting(matches),
      how.terminate === true ? terminate(matches, how.signal ?? "SIGTERM") : Effect.void
    )

  const held = (): ReadonlyArray<Request> => [
    ...slots.running().values(),
    ...slots.waiting(),
    ...rateLimit.waiting(),
    ...eta.scheduled().map(({ request }) => request)
  ]

  return {
    active: () =>
      Array.from(slots.running().values(), (request) => ({
        request,
        timeStart: request.timeStart ?? clock.currentTimeMillisUnsafe()
      })),
    reserved: () => [...slots.waiting(), ...rateLimit.waiting()],
    scheduled: eta.scheduled,
    totals: () => totals,
    prefetch: dependencies.prefetch,
    concurrency: slots.concurrency,
    resize: (concurrency) =>
      Effect.map(pool.resize(Math.max(1, concurrency)), () => {
        slots.resize(Math.min(concurrency, pool.size()))
        dependencies.resized()
      }),
    revoke: (ids, how = {}) =>
      Effect.suspend(() => {
        const meant = new Set(ids)
        for (const id of meant) revoked.add(id)
        return end(({ message }) => meant.has(message.headers.id), how)
      }),
    revokeByStampedHeaders: (headers, how = {}) =>
      Effect.suspend(() => {
        for (const [header, values] of Object.entries(headers))
          for (const value of values) revoked.addStamp(header, value)
        const stamped = ({ message }: Request): boolean =>
          Object.entries(message.headers.stamps).some(
            ([header, stamp]) =>
              Object.hasOwn(headers, header) &&
              Revoked.valuesOf(stamp).some((value) => headers[header]!.includes(value))
          )
        const ids = held()
          .filter(stamped)
          .map(({ message }) => message.headers.id)
        return Effect.as(end(stamped, how), ids)
      }),
    revoked: revoked.ids,
    revokedLately: revoked.lately,
    rateLimit: (task, rate) =>
      Effect.fromResult(Result.map(RateLimit.parse(rate), (startsPerSecond) => rateLimit.set(task, startsPerSecond))),
    timeLimit: (task, limits) => Effect.sync(() => void timeLimits.set(task, { ...timeLimits.get(task), ...limits })),
    queues: consumers.queues,
    addConsumer: consumers.add,
    cancelConsumer: consumers.cancel,
    drained: dependencies.drained
  }
}
