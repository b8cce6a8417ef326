/**
 * Lamport's clock (kombu/clocks.py): what happened before what, in a cluster whose wall clocks disagree. A worker has one,
 * which its events, its heartbeats and its answers to remote control share.
 */
import type * as Mailbox from "@apium/hub/Mailbox"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

export class LogicalClock extends Context.Service<
  LogicalClock,
  {
    /** For something we send. */
    readonly forward: () => number
    /** For something that came with that value. */
    readonly adjust: (other: number) => number
    readonly value: () => number
  }
>()("@apium/worker/LogicalClock") {
  /** Starts at 0. */
  static readonly layer: Layer.Layer<LogicalClock> = Layer.sync(LogicalClock, () => make())
}

export const make = (initial = 0): LogicalClock["Service"] => {
  let value = initial
  return {
    forward: () => ++value,
    // What no clock ever showed would stop this one for good.
    adjust: (other) => (value = Math.max(value, Number.isSafeInteger(other) && other < furthest ? other : 0) + 1),
    value: () => value
  }
}

/** A century of a million messages a second: a peer that claims more is not believed. */
const furthest = 2 ** 52

/** As remote control takes it. */
export const forMailbox = (clock: LogicalClock["Service"]): Mailbox.LogicalClock => ({
  forward: Effect.sync(clock.forward),
  adjust: (other) => Effect.sync(() => clock.adjust(other))
})
