/**
 * A wall clock that jumps. `TestClock` moves the wall clock and the monotonic one together; this puts something on top of the
 * former, so that a test can set it while no time passes.
 */
import { Clock, Effect } from "effect"
import { TestClock } from "effect/testing"

export interface WallClock {
  /** Time passes: both clocks go on. */
  readonly pass: (milliseconds: number) => Effect.Effect<void>
  /** Somebody sets the wall clock. */
  readonly jump: (milliseconds: number) => void
}

/** The effect, with a wall clock that begins at `epoch` (milliseconds). */
export const withWallClock = <A, E, R>(
  epoch: number,
  effect: (time: WallClock) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  TestClock.testClockWith((clock) => {
    let offset = epoch
    const millis = () => clock.currentTimeMillisUnsafe() + offset
    const nanos = () => clock.currentTimeNanosUnsafe() + BigInt(offset) * 1_000_000n
    const wall: Clock.Clock = {
      ...clock,
      currentTimeMillisUnsafe: millis,
      currentTimeMillis: Effect.sync(millis),
      currentTimeNanosUnsafe: nanos,
      currentTimeNanos: Effect.sync(nanos)
    }
    const time: WallClock = {
      pass: (milliseconds) => clock.adjust(milliseconds),
      jump: (milliseconds) => void (offset += milliseconds)
    }
    return Effect.provideService(effect(time), Clock.Clock, wall)
  })
