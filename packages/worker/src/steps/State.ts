/**
 * The step that remembers (celery/worker/components.py `StateDB`): what was revoked, for the worker's life and, where there is a
 * `StateDb`, beyond it. It loads before the first task is taken, and saves two seconds after something was revoked and when the
 * worker has ended. Celery saves at its end alone: what a SIGKILL takes from ours is what was revoked in the last two seconds, and
 * the clock since the last save, which the next message that comes sets right.
 *
 * Requires the clock; Tasks requires it.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import { StateDb } from "../control/StateDb.ts"
import { LogicalClock } from "../events/LogicalClock.ts"
import * as Revoked from "../execution/Revoked.ts"

export class WorkerState extends Context.Service<WorkerState, { readonly revoked: Revoked.Revoked }>()(
  "@apium/worker/WorkerState"
) {}

/** Many are revoked at once, and 50,000 ids are 2 MB. */
const pause = "2 seconds"

export const layer: Layer.Layer<WorkerState, never, LogicalClock> = Layer.effect(
  WorkerState,
  Effect.gen(function* () {
    const db = yield* StateDb
    const wall = yield* Clock.Clock
    const now = () => wall.currentTimeMillisUnsafe()
    if (db === undefined) return { revoked: Revoked.make(now) }
    const clock = yield* LogicalClock
    const changed = Latch.makeUnsafe(false)
    const saved = yield* db.load
    const revoked = Revoked.make(now, () => changed.openUnsafe())
    if (saved !== undefined) {
      // An older Apium wrote no times: they are not told to others, who heard of them then.
      for (const [index, id] of saved.revoked.entries()) revoked.add(id, saved.revokedAt[index] ?? 0)
      for (const [header, value] of saved.stamps) revoked.addStamp(header, value)
      clock.adjust(saved.clock)
    }
    changed.closeUnsafe()
    let failures = 0

    const save = Effect.suspend(() => {
      changed.closeUnsafe()
      return db.save({
        clock: clock.forward(),
        revoked: revoked.ids(),
        revokedAt: revoked.times(),
        stamps: revoked.stamps()
      })
    }).pipe(
      Effect.matchEffect({
        onFailure: (error) => {
          changed.openUnsafe()
          // Once is enough: it is tried again every two seconds.
          return failures++ > 0
            ? Effect.void
            : Effect.logError("What was revoked is forgotten when this worker ends", { reason: error.message })
        },
        onSuccess: () => Effect.sync(() => void (failures = 0))
      }),
      Effect.uninterruptible
    )

    // After the fiber below has ended: two would write at once.
    yield* Effect.addFinalizer(() => save)
    yield* Effect.forkScoped(
      Effect.forever(changed.await.pipe(Effect.andThen(Effect.sleep(pause)), Effect.andThen(save)))
    )
    return { revoked }
  })
)
