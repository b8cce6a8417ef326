/**
 * What goes out: everything that is written in one turn leaves in one `writeAll`. One outbox belongs to one connection and dies
 * with it, so nothing that was meant for an old link reaches a new one.
 *
 * Writing never waits. Who may write much (publishers) asks `full` before, and is called by `onFlushed` when there is room again.
 */
import type { HubError } from "@apium/hub/HubError"
import { FrameWriter } from "@apium/protocol/amqp/FrameWriter"
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import type { SocketError, Writer } from "effect/socket/Socket"

/** Octets that may wait for the socket before publishers do. */
const highWater = 1024 * 1024

export class Outbox {
  readonly frames = new FrameWriter()
  /** When the write that is under way began, on the monotonic clock; `undefined` while none is. */
  writingSince: number | undefined
  /** When something was sent last. */
  lastSent: number
  /** Writes what it has put off: acknowledgements that are merged. */
  readonly beforeFlush: Array<() => void> = []
  onFlushed: () => void = () => {}
  readonly #now: () => number
  readonly #wanted = Latch.makeUnsafe(false)
  readonly #empty = Latch.makeUnsafe(true)

  constructor(now: () => number) {
    this.#now = now
    this.lastSent = now()
  }

  get full(): boolean {
    return this.frames.size > highWater
  }

  /** Something was written, or will be by `beforeFlush`. */
  wake(): void {
    this.#empty.closeUnsafe()
    this.#wanted.openUnsafe()
  }

  /** All that was written so far is with the socket. */
  get flushed(): Effect.Effect<void> {
    return this.#empty.await
  }

  /** Runs as long as the connection does. */
  run(writer: Writer, failed: (error: SocketError) => HubError): Effect.Effect<never, HubError> {
    const once = Effect.suspend(() => {
      this.#wanted.closeUnsafe()
      for (const prepare of this.beforeFlush.splice(0)) prepare()
      const chunks = this.frames.take()
      if (chunks.length === 0) return this.#idle()
      this.lastSent = this.writingSince = this.#now()
      return Effect.flatMap(writer.writeAll(chunks as NonEmptyReadonlyArray<Uint8Array>), () => {
        this.writingSince = undefined
        this.onFlushed()
        return this.#idle()
      })
    })
    // Yielding once lets all who run in this turn write before.
    return Effect.forever(Effect.andThen(Effect.andThen(this.#wanted.await, Effect.yieldNow), once), {
      disableYield: true
    }).pipe(Effect.mapError(failed))
  }

  #idle(): Effect.Effect<void> {
    if (!this.#wanted.isOpen()) this.#empty.openUnsafe()
    return Effect.void
  }
}
