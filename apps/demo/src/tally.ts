/**
 * What a monitor knows: Celery's events, folded into numbers per kind of task. Nothing here looks inside of the worker; the
 * same numbers come out for a worker in Python.
 */
import type { Event } from "@apium/protocol/celery/EventMessage"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"

export interface Kind {
  readonly name: string
  sent: number
  succeeded: number
  retried: number
  failed: number
  /** Of the runs that succeeded, in seconds: a failure's event carries no run time. */
  readonly runtimes: Array<number>
}

export interface Tally {
  /** A client's own knowledge: workers say nothing of what they have not received. */
  readonly sent: (name: string, count: number) => void
  readonly record: (event: Event) => void
  /** The most numerous first. */
  readonly kinds: () => ReadonlyArray<Kind>
  readonly total: () => number
  /** Succeeded or failed for good. */
  readonly done: () => number
  readonly running: () => number
  /** Completes when it is so, now or after a later event. */
  readonly until: (condition: () => boolean) => Effect.Effect<void>
}

export const make = (): Tally => {
  const kinds = new Map<string, Kind>()
  /** Only `task-received` carries the name. */
  const names = new Map<string, string>()
  const running = new Set<string>()
  const done = new Set<string>()
  const waiting = new Set<{ readonly condition: () => boolean; readonly met: Deferred.Deferred<void> }>()

  const kindOf = (name: string): Kind => {
    const known = kinds.get(name)
    if (known !== undefined) return known
    const made: Kind = { name, sent: 0, succeeded: 0, retried: 0, failed: 0, runtimes: [] }
    kinds.set(name, made)
    return made
  }

  const count = ({ type, fields }: Event, id: string): void => {
    if (type === "task-received" && typeof fields.name === "string") names.set(id, fields.name)
    const kind = kindOf(names.get(id) ?? "unknown")
    switch (type) {
      case "task-started":
        running.add(id)
        return
      case "task-succeeded":
        kind.succeeded++
        if (typeof fields.runtime === "number") kind.runtimes.push(fields.runtime)
        break
      case "task-retried":
        kind.retried++
        running.delete(id)
        return
      case "task-failed":
      case "task-rejected":
      case "task-revoked":
        kind.failed++
        break
      default:
        return
    }
    running.delete(id)
    done.add(id)
  }

  return {
    sent: (name, count) => void (kindOf(name).sent += count),
    record: (event) => {
      if (typeof event.fields.uuid === "string") count(event, event.fields.uuid)
      for (const waiter of waiting) {
        if (waiter.condition() && waiting.delete(waiter)) Deferred.doneUnsafe(waiter.met, Effect.void)
      }
    },
    kinds: () =>
      [...kinds.values()]
        .filter(({ sent, succeeded, retried, failed }) => sent + succeeded + retried + failed > 0)
        .toSorted((a, b) => b.sent - a.sent || (a.name < b.name ? -1 : 1)),
    total: () => [...kinds.values()].reduce((sum, { sent }) => sum + sent, 0),
    done: () => done.size,
    running: () => running.size,
    until: (condition) =>
      Effect.suspend(() => {
        if (condition()) return Effect.void
        const waiter = { condition, met: Deferred.makeUnsafe<void>() }
        waiting.add(waiter)
        return Effect.ensuring(
          Deferred.await(waiter.met),
          Effect.sync(() => void waiting.delete(waiter))
        )
      })
  }
}

/** The nearest-rank percentile: a run time that was measured, and not one in between. Nothing for no runs. */
export const percentile = (values: ReadonlyArray<number>, share: number): number | undefined =>
  values.toSorted((a, b) => a - b)[Math.max(0, Math.ceil(share * values.length) - 1)]
