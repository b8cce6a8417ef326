/**
 * What takes tasks: one link after the other, until a shutdown. A session is one link's worth; what is unsettled when its
 * channel closes goes back to its queue, next in line.
 */
import type { Connection } from "@apium/hub/Connection"
import type { Delivery } from "@apium/hub/Delivery"
import type { HubError } from "@apium/hub/HubError"
import * as Topology from "@apium/hub/Topology"
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import type { Shutdown } from "../Shutdown.ts"
import type { Consumers } from "./Consumers.ts"
import type { Drain } from "./Drain.ts"
import type { Eta } from "./Eta.ts"
import type { Intake } from "./Intake.ts"
import type { Orphans } from "./Orphans.ts"
import type { Slots } from "./Slots.ts"
import type { Tuner } from "./Tuner.ts"

/** Something threw where nothing should: it is logged, and the consumers are opened again. */
class ConsumerDefect extends Data.TaggedError("ConsumerDefect")<{ readonly cause: Cause.Cause<unknown> }> {
  override get message() {
    return Cause.pretty(this.cause)
  }
}

/** How long a warm shutdown waits for tasks that are on their way to the broker's timers. Those come again. */
const parkingGrace = "10 seconds"

/** Runs until a shutdown is through. Fails when the connection has ended for good. */
export const run = (dependencies: {
  readonly connection: Connection["Service"]
  readonly shutdown: Shutdown["Service"]
  readonly consumers: Consumers
  readonly noAck: boolean
  readonly cancelLongRunningTasks: boolean
  readonly tuner: Tuner
  readonly intake: Intake
  readonly slots: Slots
  readonly orphans: Orphans
  readonly eta: Eta
  readonly drain: Drain
}): Effect.Effect<void, HubError> => {
  const { connection, shutdown, consumers, noAck, tuner, intake, slots, orphans, eta, drain } = dependencies
  /** Open while there is no session. */
  const between = Latch.makeUnsafe(true)
  const stopping = shutdown.reached("warm")

  const take = (deliveries: ReadonlyArray<Delivery>): Effect.Effect<void, HubError> =>
    noAck
      ? // There is no window: what is not taken waits in the broker.
        Effect.andThen(intake.take(deliveries), Effect.andThen(Effect.sync(tuner.tune), tuner.room))
      : intake.take(deliveries)

  const open = Effect.gen(function* () {
    const channel = yield* connection.channel
    const queues = consumers.queues()
    const names = yield* Topology.declare(channel, { queues })
    yield* tuner.attach(channel)
    return { channel, consume: consumers.run(channel, queues, names, take) }
  })

  /** The link is lost: what runs goes on, and the broker has the rest back. */
  const lost = Effect.gen(function* () {
    yield* orphans.mark
    yield* eta.interrupt
    if (noAck) return yield* drain.sendLeft
    intake.takeBack()
    drain.takeBack()
    if (!dependencies.cancelLongRunningTasks) return
    for (const [fiber, { acknowledged }] of slots.running()) {
      // Of those that were acknowledged nobody has the message any more.
      if (acknowledged !== true) fiber.interruptUnsafe()
    }
  })

  const session = Effect.gen(function* () {
    // Whoever stops us while the broker is away does not wait for it.
    const opened = yield* Effect.raceFirst(open, Effect.as(stopping, undefined))
    if (opened === undefined) return
    const { channel, consume } = opened
    // A batch that is being dealt with hears of a lost link as soon as one that is waited for.
    yield* Effect.raceAllFirst([consume, channel.closed, stopping])
    yield* Effect.raceAllFirst([eta.settled, shutdown.reached("cold"), Effect.sleep(parkingGrace)])
    yield* eta.interrupt
    yield* drain.giveBack
    yield* drain.finish
  }).pipe(
    Effect.onError(() => lost),
    Effect.scoped,
    Effect.ensuring(
      Effect.suspend(() => {
        tuner.detach()
        return between.open
      })
    )
  )

  const whileRunning: Effect.Effect<void, HubError> = Effect.suspend(() =>
    shutdown.level() === "running"
      ? Effect.catchIf(Effect.andThen(between.close, session), consumers.forget, (error) =>
          Effect.andThen(
            Effect.logError("A queue that was added cannot be consumed, and the worker goes on without it", {
              reason: error.message
            }),
            whileRunning
          )
        )
      : Effect.void
  )

  /** For good: bad credentials after a rotation, a virtual host that is gone. No link comes after that. */
  const ended = connection.status.pipe(
    Stream.takeUntil((status) => status === "closed"),
    Stream.runDrain
  )

  /** A lost link has been told of; a channel alone goes when a task takes longer than the broker waits (`consumer_timeout`). */
  const told = (error: HubError): Effect.Effect<void> =>
    error.reason._tag === "ChannelClosed" && error.recoverable
      ? Effect.logWarning("The broker has closed the channel: what runs goes on, and what was reserved comes again", {
          reason: error.message
        })
      : Effect.void

  return whileRunning.pipe(
    Effect.tapError(told),
    connection.recover,
    Effect.catchDefect((defect) => Effect.fail(new ConsumerDefect({ cause: Cause.die(defect) }))),
    // Once it has begun, only a stop ends a worker: what no fresh link mends (a queue declared otherwise) somebody else may.
    Effect.tapError((error) =>
      Effect.logError("The worker cannot consume, and tries again", { reason: error.message })
    ),
    Effect.retry(patient),
    // A stop does not wait for the pause before the next attempt.
    Effect.raceFirst(Effect.andThen(stopping, between.await)),
    Effect.orDie,
    Effect.raceFirst(
      Effect.andThen(
        ended,
        Effect.catch(Effect.asVoid(Effect.scoped(connection.channel)), (error) =>
          Effect.andThen(
            Effect.logError("The connection has ended for good, and the worker stops", { reason: error.message }),
            Effect.andThen(shutdown.request("warm"), Effect.fail(error))
          )
        )
      )
    ),
    // Tasks outlive the link they came on: the last of them may end long after the session.
    Effect.ensuring(drain.finish)
  )
}

/** A second, doubling to half a minute. */
const patient = Schedule.modifyDelay(Schedule.exponential("1 second"), ({ duration }) =>
  Effect.succeed(Duration.min(duration, Duration.seconds(30)))
)
