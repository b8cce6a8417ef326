/**
 * The tasks that are not to be run (celery/worker/state.py `revoked`): by their ids, and by the stamps they carry. Of each it
 * remembers the latest 50,000 (Celery's `REVOKES_MAX`). They do not expire before that: a task may be due in a month. Others are
 * told of an id for three hours.
 */
import type { TaskHeaders } from "@apium/protocol/celery/TaskMessage"

/** How many ids, and how many stamps, are remembered. */
export const maxRevokes = 50_000

/** Characters of an id, a stamp's header or its value: a UUID has 36. */
export const maxLength = 1024

/** Characters of all ids, and of all stamps: 80 of each where there are 50,000. JSON writes 6 bytes for one at most. */
const maxTotal = 4_000_000

/** Celery's `REVOKE_EXPIRES`, in milliseconds. */
const late = 3 * 60 * 60 * 1000

/** A fifth of what a Python worker remembers: 0.9 MB of UUIDs in a message. */
const maxLately = 10_000

export interface Revoked {
  /** `at`: milliseconds since the epoch; default now. */
  readonly add: (id: string, at?: number) => void
  readonly addStamp: (header: string, value: string) => void
  readonly has: (headers: Pick<TaskHeaders, "id" | "stamps">) => boolean
  /** The ids, the oldest first. */
  readonly ids: () => ReadonlyArray<string>
  /** When each of `ids` was revoked, or a neighbour told of it. */
  readonly times: () => ReadonlyArray<number>
  /** Those of the last three hours, the oldest first: the latest 10,000. */
  readonly lately: () => ReadonlyArray<string>
  readonly stamps: () => ReadonlyArray<readonly [header: string, value: string]>
}

/** Keys with a time each; it forgets the oldest. An addition is an insertion at its end. */
class LimitedMap {
  readonly #at = new Map<string, number>()
  #total = 0

  add(key: string, at: number): void {
    this.#remove(key)
    this.#at.set(key, at)
    this.#total += key.length
    if (this.#fits(1)) return
    // A tenth at a time: a walk from a map's beginning passes all the entries that were deleted there.
    for (const oldest of this.#at.keys()) {
      if (this.#fits(0.9)) return
      this.#remove(oldest)
    }
  }

  has(key: string): boolean {
    return this.#at.size > 0 && this.#at.has(key)
  }

  keys(): ReadonlyArray<string> {
    return [...this.#at.keys()]
  }

  times(): ReadonlyArray<number> {
    return [...this.#at.values()]
  }

  since(time: number): ReadonlyArray<string> {
    return [...this.#at].flatMap(([key, at]) => (at > time ? [key] : []))
  }

  #fits(share: number): boolean {
    return this.#at.size <= maxRevokes * share && this.#total <= maxTotal * share
  }

  #remove(key: string): void {
    if (this.#at.delete(key)) this.#total -= key.length
  }
}

const stampKey = (header: string, value: string): string => `${header}\0${value}`

/** `now`: milliseconds since the epoch. `changed`: something was added. */
export const make = (now: () => number, changed: () => void = () => undefined): Revoked => {
  const ids = new LimitedMap()
  const stamps = new LimitedMap()
  let anyStamp = false

  const hasStamp = (of: TaskHeaders["stamps"]): boolean =>
    Object.entries(of ?? {}).some(([header, value]) => valuesOf(value).some((one) => stamps.has(stampKey(header, one))))

  return {
    add: (id, at = now()) => {
      ids.add(id, at)
      changed()
    },
    addStamp: (header, value) => {
      anyStamp = true
      stamps.add(stampKey(header, value), now())
      changed()
    },
    has: (headers) => ids.has(headers.id) || (anyStamp && hasStamp(headers.stamps)),
    ids: () => ids.keys(),
    times: () => ids.times(),
    lately: () => ids.since(now() - late).slice(-maxLately),
    stamps: () =>
      stamps.keys().map((key) => {
        const [header = "", ...value] = key.split("\0")
        return [header, value.join("\0")]
      })
  }
}

/** A stamp is one value or a list of them. */
export const valuesOf = (stamp: unknown): ReadonlyArray<string> =>
  (Array.isArray(stamp) ? stamp : [stamp]).map((value) => String(value))
