/**
 * Keeps the window of the present channel at the size it should have (`Window`), while tasks begin and end, are held and
 * orphaned. Without acknowledgements there is no window: there is room, or there is none.
 */
import type { Channel } from "@apium/hub/Channel"
import type { HubError } from "@apium/hub/HubError"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Window from "./Window.ts"

export interface Tuner {
  /** The channel of a new link, or none any more. */
  readonly attach: (channel: Channel) => Effect.Effect<void, HubError>
  readonly detach: () => void
  /** Something has changed. */
  readonly tune: () => void
  /** The size of the window now. */
  readonly size: () => number
  /** Without acknowledgements: waits until more may be taken. */
  readonly room: Effect.Effect<void>
}

export const make = (dependencies: {
  readonly bounds: Window.Options
  readonly noAck: boolean
  readonly load: () => Window.Load
  /** Without acknowledgements: as many wait as may. */
  readonly full: () => boolean
  readonly fork: (effect: Effect.Effect<void>) => void
}): Tuner => {
  const { bounds, noAck, load, full, fork } = dependencies
  const room = Latch.makeUnsafe(true)
  let channel: Channel | undefined
  let applied = Number.NaN
  let asking = false

  const size = (): number => Window.size(bounds, load())

  /** One request at a time, and the last size wins. A channel that cannot be asked any more is replaced. */
  const ask: Effect.Effect<void> = Effect.suspend(() => {
    const wanted = size()
    if (channel === undefined || wanted === applied) {
      asking = false
      return Effect.void
    }
    applied = wanted
    return Effect.andThen(Effect.ignore(channel.qos(wanted)), ask)
  })

  return {
    attach: (opened) =>
      Effect.suspend(() => {
        channel = opened
        if (noAck) return Effect.void
        applied = size()
        return opened.qos(applied)
      }),
    detach: () => {
      channel = undefined
    },
    tune: () => {
      if (noAck) {
        if (full()) room.closeUnsafe()
        else room.openUnsafe()
        return
      }
      if (asking || channel === undefined || size() === applied) return
      asking = true
      fork(ask)
    },
    size,
    room: Effect.suspend(() => room.await)
  }
}
