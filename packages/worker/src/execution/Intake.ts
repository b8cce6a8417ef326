/**
 * Deliveries become requests: each is adopted by a run that lost its link, or judged by the strategy and handed on. A batch
 * that is cut short by a stop knows which of its deliveries nobody has looked at.
 */
import type { Delivery } from "@apium/hub/Delivery"
import type { HubError } from "@apium/hub/HubError"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Orphans } from "./Orphans.ts"
import type { Decision, Strategy } from "./Strategy.ts"

export interface Intake {
  /** One batch of a consumer. */
  readonly take: (deliveries: ReadonlyArray<Delivery>) => Effect.Effect<void, HubError>
  /** Takes out what came and nobody has looked at. */
  readonly takeBack: () => ReadonlyArray<Delivery>
}

/** The first `dealt` of them are in good hands. */
interface Batch {
  readonly deliveries: ReadonlyArray<Delivery>
  dealt: number
}

export const make = (dependencies: {
  readonly orphans: Orphans
  readonly strategy: Strategy
  readonly dispatch: (decision: Decision) => void
}): Intake => {
  const { orphans, strategy, dispatch } = dependencies
  const batches = new Set<Batch>()

  const dealt = (batch: Batch, decision: Decision): void => {
    batch.dealt++
    dispatch(decision)
  }

  const receive = (delivery: Delivery, batch: Batch): Effect.Effect<void, HubError> => {
    // FAST: to ask for that first reads properties and headers in one go. What nobody can read is nobody's by its headers.
    const adopted = delivery.unreadable === undefined ? orphans.adopt(delivery) : undefined
    if (adopted !== undefined) {
      batch.dealt++
      return adopted
    }
    const decided = strategy(delivery)
    // Most tasks are on their way by now.
    if (Exit.isExit(decided) && Exit.isSuccess(decided)) {
      dealt(batch, decided.value as Decision)
      return Effect.void
    }
    return Effect.map(decided, (decision) => dealt(batch, decision))
  }

  /** No message ends the intake: one that cannot even be dead-lettered is rejected, as Celery has it. */
  const guarded = (delivery: Delivery, batch: Batch): Effect.Effect<void, HubError> => {
    let received: Effect.Effect<void, HubError>
    try {
      received = receive(delivery, batch)
    } catch (defect) {
      received = Effect.die(defect)
    }
    return received === Effect.void ? received : guard(received, delivery, batch)
  }

  const guard = (received: Effect.Effect<void, HubError>, delivery: Delivery, batch: Batch) =>
    Effect.catchCauseIf(
      received,
      (cause) => !Cause.hasInterrupts(cause) && !isRecoverable(cause),
      (cause) => {
        batch.dealt++
        return isTransient(cause)
          ? // Not at once: the broker has no room for its dead letter.
            Effect.logWarning("A message could not be dealt with for now, and goes back to its queue", cause).pipe(
              Effect.andThen(Effect.sleep(pause)),
              Effect.andThen(delivery.reject({ requeue: true }))
            )
          : Effect.andThen(
              Effect.logError("A message could not be dealt with, and was rejected", cause),
              delivery.reject({ requeue: false })
            )
      }
    )

  return {
    take: (deliveries) =>
      Effect.suspend(() => {
        const batch: Batch = { deliveries, dealt: 0 }
        batches.add(batch)
        return Effect.andThen(
          Effect.forEach(deliveries, (delivery) => guarded(delivery, batch), { discard: true }),
          Effect.sync(() => void batches.delete(batch))
        )
      }),
    takeBack: () => {
      const left = [...batches].flatMap(({ deliveries, dealt }) => deliveries.slice(dealt))
      batches.clear()
      return left
    }
  }
}

/** Before a message goes back that the broker may take a little later. */
const pause = "1 second"

const isTransient = (cause: Cause.Cause<HubError>): boolean =>
  cause.reasons.some((reason) => Cause.isFailReason(reason) && reason.error.transient)

/** A lost link is the session's to mend. */
const isRecoverable = (cause: Cause.Cause<HubError>): boolean =>
  cause.reasons.some((reason) => Cause.isFailReason(reason) && reason.error.recoverable)
