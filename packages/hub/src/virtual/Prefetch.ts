/**
 * The window of one consumer: how many deliveries may be unsettled at once (kombu/transport/virtual/base.py `QoS`). A
 * taker that finds it full waits for a settle.
 */
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"

export class Prefetch {
  readonly limit: number
  #held = 0
  readonly #open = Latch.makeUnsafe(true)

  /** Left out or 0: no limit, as `basic.qos` has it. */
  constructor(limit: number | undefined) {
    this.limit = limit === undefined || limit <= 0 ? Number.POSITIVE_INFINITY : limit
  }

  get free(): number {
    return this.limit - this.#held
  }

  hold(count: number): void {
    this.#held += count
    if (this.free <= 0) this.#open.closeUnsafe()
  }

  release(): void {
    this.#held--
    if (this.free > 0) this.#open.openUnsafe()
  }

  /** Completes when there is room. */
  readonly room: Effect.Effect<void> = Effect.suspend(() => this.#open.await)
}
