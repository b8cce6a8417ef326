/**
 * A window: how many deliveries may be unsettled at once (kombu/transport/virtual/base.py `QoS`). A taker that finds it full
 * waits for a settle.
 */
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"

export class Prefetch {
  #limit = 0
  #held = 0
  readonly #open = Latch.makeUnsafe(false)

  constructor(limit: number = Number.POSITIVE_INFINITY) {
    this.resize(limit)
  }

  resize(limit: number): void {
    this.#change(limit, this.#held)
  }

  get free(): number {
    return this.#limit - this.#held
  }

  hold(count: number): void {
    this.#change(this.#limit, this.#held + count)
  }

  release(count: number): void {
    this.#change(this.#limit, this.#held - count)
  }

  #change(limit: number, held: number): void {
    const before = this.free > 0
    this.#limit = limit
    this.#held = held
    const after = this.free > 0
    if (before === after) return
    if (after) this.#open.openUnsafe()
    else this.#open.closeUnsafe()
  }

  /** Completes when there is room. */
  readonly room: Effect.Effect<void> = Effect.suspend(() => this.#open.await)
}
