/**
 * The tasks that are not to be run (celery/worker/state.py `revoked`): by their ids, and by the stamps they carry. It forgets:
 * the oldest beyond 50,000, and whatever is older than three hours (Celery's `REVOKES_MAX`, `REVOKE_EXPIRES`).
 */
import type { TaskHeaders } from "@apium/protocol/celery/TaskMessage"
import type * as Clock from "effect/Clock"

/** How many ids, and how many stamps, are remembered. */
export const maxRevokes = 50_000

/** Milliseconds. */
export const expires = 10_800_000

export interface Revoked {
  readonly add: (id: string) => void
  readonly addStamp: (header: string, value: string) => void
  readonly has: (headers: Pick<TaskHeaders, "id" | "stamps">) => boolean
  /** The ids. */
  readonly ids: () => ReadonlyArray<string>
}

/** A set that forgets; the oldest first, for an addition is an insertion at its end. */
class LimitedSet {
  readonly #entries = new Map<string, number>()
  readonly #now: () => number

  constructor(now: () => number) {
    this.#now = now
  }

  add(key: string): void {
    this.#entries.delete(key)
    this.#entries.set(key, this.#now())
    if (this.#entries.size > maxRevokes) this.#prune(maxRevokes * 0.9)
  }

  has(key: string): boolean {
    if (this.#entries.size === 0) return false
    const added = this.#entries.get(key)
    return added !== undefined && this.#now() - added < expires
  }

  keys(): ReadonlyArray<string> {
    this.#prune(maxRevokes)
    return [...this.#entries.keys()]
  }

  /** A tenth at a time: a walk from a map's beginning passes all the entries that were deleted there. */
  #prune(keep: number): void {
    const now = this.#now()
    for (const [key, added] of this.#entries) {
      if (this.#entries.size <= keep && now - added < expires) return
      this.#entries.delete(key)
    }
  }
}

const stampKey = (header: string, value: string): string => `${header}\0${value}`

export const make = (clock: Clock.Clock): Revoked => {
  // A wall clock that is set does not revive anybody.
  const now = (): number => Number(clock.monotonicTimeNanosUnsafe() / 1_000_000n)
  const ids = new LimitedSet(now)
  const stamps = new LimitedSet(now)
  let anyStamp = false

  const hasStamp = (of: TaskHeaders["stamps"]): boolean =>
    Object.entries(of ?? {}).some(([header, value]) => valuesOf(value).some((one) => stamps.has(stampKey(header, one))))

  return {
    add: (id) => ids.add(id),
    addStamp: (header, value) => {
      anyStamp = true
      stamps.add(stampKey(header, value))
    },
    has: (headers) => ids.has(headers.id) || (anyStamp && hasStamp(headers.stamps)),
    ids: () => ids.keys()
  }
}

/** A stamp is one value or a list of them. */
export const valuesOf = (stamp: unknown): ReadonlyArray<string> =>
  (Array.isArray(stamp) ? stamp : [stamp]).map((value) => String(value))
