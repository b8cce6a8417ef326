/** A map whose entries go when they are old, and the oldest tenth of them when there are too many. */
import type * as Clock from "effect/Clock"

interface Entry<A> {
  readonly value: A
  readonly expiresAt: number
}

export class Aging<A> {
  // Insertion order is age, for what changes is inserted anew.
  readonly #entries = new Map<string, Entry<A>>()
  readonly #clock: Clock.Clock
  readonly #expires: number
  readonly #capacity: number
  #sweepAt = Number.NEGATIVE_INFINITY

  /** `expires` in milliseconds, from the last `set`. */
  constructor(clock: Clock.Clock, expires: number, capacity: number) {
    this.#clock = clock
    this.#expires = expires
    this.#capacity = capacity
  }

  get(key: string): A | undefined {
    const found = this.#entries.get(key)
    return found !== undefined && found.expiresAt > this.#clock.currentTimeMillisUnsafe() ? found.value : undefined
  }

  set(key: string, value: A): void {
    const now = this.#clock.currentTimeMillisUnsafe()
    this.#entries.delete(key)
    this.#entries.set(key, { value, expiresAt: now + this.#expires })
    if (now >= this.#sweepAt || this.#entries.size > this.#capacity) this.#sweep(now)
  }

  delete(key: string): void {
    this.#entries.delete(key)
  }

  /**
   * Drops what is too old, and a tenth when there is too much: a walk from a map's beginning passes all the entries that were deleted
   * there, so one deletion per `set` would cost more with each.
   */
  #sweep(now: number): void {
    const keep = this.#entries.size > this.#capacity ? Math.ceil(this.#capacity * 0.9) : this.#capacity
    for (const [oldest, { expiresAt }] of this.#entries) {
      this.#sweepAt = expiresAt
      if (expiresAt > now && this.#entries.size <= keep) return
      this.#entries.delete(oldest)
    }
  }
}
