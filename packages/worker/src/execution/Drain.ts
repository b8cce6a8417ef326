/**
 * How the tasks of a worker end when it stops (WIRE 4.6.4): what has not begun goes back, what runs is finished, or in a cold
 * shutdown interrupted.
 */
import type { Connection } from "@apium/hub/Connection"
import type { Delivery } from "@apium/hub/Delivery"
import * as Message from "@apium/hub/Message"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { Level, Shutdown } from "../Shutdown.ts"
import type { Eta } from "./Eta.ts"
import type { Intake } from "./Intake.ts"
import type { RateLimit } from "./RateLimit.ts"
import type { Request } from "./Request.ts"
import type { Slots } from "./Slots.ts"

export interface Drain {
  /** What has not begun and is not to begin here, wherever it waits: taken out, and nobody's from then on. */
  readonly takeBack: () => ReadonlyArray<Request>
  /** The same, given back: next in line, in its order, not counted as a delivery. */
  readonly giveBack: Effect.Effect<void>
  /** Without acknowledgements: sends again what came on a lost link and nobody has looked at. */
  readonly sendLeft: Effect.Effect<void>
  /** Ends with what runs: all of it, or what is left of it when a cold shutdown has waited long enough. */
  readonly finish: Effect.Effect<void>
}

/** How long a cold shutdown waits for interrupted tasks to end. Then the link closes, and the broker has their messages back. */
const coldGrace = "10 seconds"

export const make = (dependencies: {
  readonly connection: Connection["Service"]
  readonly shutdown: Shutdown["Service"]
  readonly slots: Slots
  readonly rateLimit: RateLimit
  readonly eta: Eta
  readonly intake: Intake
  /** Consumed without acknowledgements: nobody else has the messages. */
  readonly noAck: boolean
}): Drain => {
  const { connection, shutdown, slots, rateLimit, eta, intake, noAck } = dependencies

  // What the broker has forgotten is run, until a cold shutdown.
  const takeBack = (): ReadonlyArray<Request> => {
    const all = () => true
    const due = noAck && !isCold(shutdown.level()) ? [] : slots.remove(all)
    return [...due, ...rateLimit.remove(all), ...eta.remove(all)]
  }

  /** The last first, for each is next in line. */
  const release = (deliveries: ReadonlyArray<Delivery>) =>
    Effect.forEach(deliveries.toReversed(), (delivery) => Effect.ignore(delivery.release), { discard: true })

  /** Without acknowledgements there is nothing to release. */
  const sendAgain = (deliveries: ReadonlyArray<Delivery>) =>
    deliveries.length === 0
      ? Effect.void
      : Effect.catch(
          connection.publishAll(
            deliveries.map(({ message, queue }) => [
              Message.republishable(message),
              { exchange: "", routingKey: queue, mandatory: true }
            ])
          ),
          (error) =>
            Effect.logError("Tasks that were not begun could not be sent back, and are lost", {
              count: deliveries.length,
              reason: error.message
            })
        )

  const give = Effect.suspend(() => {
    const left = intake.takeBack()
    const waiting = takeBack()
      .toSorted((one, other) => one.sequence - other.sequence)
      .map(({ delivery }) => delivery)
    return (noAck ? sendAgain : release)([...waiting, ...left])
  })

  // To its end, for what runs may be gone before that and nobody else may have it; but not for ever in a cold shutdown.
  const lateEnough = Effect.andThen(shutdown.reached("cold"), Effect.sleep(coldGrace))
  const giveBack = Effect.uninterruptible(
    Effect.flatMap(Effect.forkDetach(Effect.raceFirst(give, lateEnough), { startImmediately: true }), Fiber.join)
  )

  const interruptRunning = Effect.suspend(() => {
    for (const fiber of slots.running().keys()) fiber.interruptUnsafe()
    return Effect.andThen(giveBack, slots.idle)
  })

  const finish = Effect.raceFirst(
    slots.idle,
    Effect.andThen(
      shutdown.reached("cold"),
      Effect.timeoutOrElse(interruptRunning, {
        duration: coldGrace,
        orElse: () => {
          const ids = Array.from(slots.running().values(), ({ message }) => message.headers.id)
          slots.abandon()
          return Effect.logError("Tasks did not end when they were interrupted, and are abandoned", { ids })
        }
      })
    )
  )

  // Nobody waits for it: it goes out on the next link.
  const sendLeft = Effect.asVoid(Effect.forkDetach(Effect.suspend(() => sendAgain(intake.takeBack()))))

  return { takeBack, giveBack, sendLeft, finish }
}

export const isCold = (level: Level): boolean => level === "cold" || level === "hard"
