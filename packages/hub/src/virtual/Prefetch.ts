/**
 * A window: how many deliveries may be unsettled at once (kombu/transport/virtual/base.py `QoS`). A taker that finds it full
 * waits for a settle.
 */
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"

export class Prefetch {
  #limit = 0
  #held = 0
  readonly #open = Latch.makeUnsafe(true)

  constructor(limit: number = Number.POSITIVE_INFINITY) {
    this.resize(limit)
  }

  resize(limit: number): void {
    this.#limit = limit
    this.#turn()
  }

  get free(): number {
    return this.#limit - this.#held
  }

  hold(count: number): void {
    this.#held += count
    this.#turn()
  }

  release(count: number): void {
    this.#held -= count
    this.#turn()
  }

  #turn(): void {
    if (this.free > 0) this.#open.openUnsafe()
    else this.#open.closeUnsafe()
  }

  /** Completes when there is room. */
  readonly room: Effect.Effect<void> = Effect.suspend(() => this.#open.await)
}
