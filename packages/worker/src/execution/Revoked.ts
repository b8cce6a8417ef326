/**
 * The tasks that are not to be run (celery/worker/state.py `revoked`): by their ids, and by the stamps they carry. Of each it
 * remembers the latest 50,000 (Celery's `REVOKES_MAX`). They do not expire before that: a task may be due in a month.
 */
import type { TaskHeaders } from "@apium/protocol/celery/TaskMessage"

/** How many ids, and how many stamps, are remembered. */
export const maxRevokes = 50_000

export interface Revoked {
  readonly add: (id: string) => void
  readonly addStamp: (header: string, value: string) => void
  readonly has: (headers: Pick<TaskHeaders, "id" | "stamps">) => boolean
  /** The ids, the oldest first. */
  readonly ids: () => ReadonlyArray<string>
  readonly stamps: () => ReadonlyArray<readonly [header: string, value: string]>
}

/** A set that forgets the oldest; an addition is an insertion at its end. */
class LimitedSet {
  readonly #keys = new Set<string>()

  add(key: string): void {
    this.#keys.delete(key)
    this.#keys.add(key)
    if (this.#keys.size <= maxRevokes) return
    // A tenth at a time: a walk from a set's beginning passes all the entries that were deleted there.
    for (const oldest of this.#keys) {
      if (this.#keys.size <= maxRevokes * 0.9) return
      this.#keys.delete(oldest)
    }
  }

  has(key: string): boolean {
    return this.#keys.size > 0 && this.#keys.has(key)
  }

  keys(): ReadonlyArray<string> {
    return [...this.#keys]
  }
}

const stampKey = (header: string, value: string): string => `${header}\0${value}`

/** `changed`: something was added. */
export const make = (changed: () => void = () => undefined): Revoked => {
  const ids = new LimitedSet()
  const stamps = new LimitedSet()
  let anyStamp = false

  const hasStamp = (of: TaskHeaders["stamps"]): boolean =>
    Object.entries(of ?? {}).some(([header, value]) => valuesOf(value).some((one) => stamps.has(stampKey(header, one))))

  return {
    add: (id) => {
      ids.add(id)
      changed()
    },
    addStamp: (header, value) => {
      anyStamp = true
      stamps.add(stampKey(header, value))
      changed()
    },
    has: (headers) => ids.has(headers.id) || (anyStamp && hasStamp(headers.stamps)),
    ids: () => ids.keys(),
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
