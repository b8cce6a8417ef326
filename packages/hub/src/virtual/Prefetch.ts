/**
 * A window: how many deliveries may be unsettled at once (kombu/transport/virtual/base.py `QoS`). A taker that finds it full
 * waits for a settle.
 */
import * as Effect from "effect/Effect"

/** Who comes first when there is room for one: the smaller rank, and of the same rank who has waited longer. */
export type Rank = number | string

/** One taker's place in the line of a window. */
export interface Place {
  readonly rank: Rank
  /** Set while it waits. */
  resume: ((effect: Effect.Effect<void>) => void) | undefined
}

export class Prefetch {
  #limit = 0
  #held = 0
  /** Who waits, or may take next and has not yet; the next is the first. */
  readonly #line: Array<Place> = []

  constructor(limit: number = Number.POSITIVE_INFINITY) {
    this.resize(limit)
  }

  resize(limit: number): void {
    this.#limit = limit
    this.#next()
  }

  get free(): number {
    return this.#limit - this.#held
  }

  hold(count: number): void {
    this.#held += count
    if (count < 0) this.#next()
  }

  #next(): void {
    const first = this.#line[0]
    if (first?.resume === undefined || this.free <= 0) return
    const { resume } = first
    first.resume = undefined
    resume(Effect.void)
  }

  /** Whether it may take: there is room, and nobody comes before it. */
  admits(place: Place): boolean {
    return this.free > 0 && (this.#line.length === 0 || this.#line[0] === place)
  }

  /** Completes when it may take; then it keeps its place until it leaves. */
  room(place: Place): Effect.Effect<void> {
    return Effect.callback((resume) => {
      if (!this.#line.includes(place)) {
        const behind = this.#line.findIndex((other) => other.rank > place.rank)
        this.#line.splice(behind < 0 ? this.#line.length : behind, 0, place)
      }
      if (this.admits(place)) return resume(Effect.void)
      place.resume = resume
      return Effect.sync(() => this.leave(place))
    })
  }

  /** It has taken, or does not want to any more. */
  leave(place: Place): void {
    place.resume = undefined
    const at = this.#line.indexOf(place)
    if (at < 0) return
    this.#line.splice(at, 1)
    this.#next()
  }
}
