/**
 * The queues a worker consumes, which change while it works (celery/worker/consumer/consumer.py `add_task_queue`,
 * `cancel_task_queue`). What a cancelled queue has sent stays here, and is run and settled as before; what nobody has looked at
 * goes back. On the next link all queues are consumed that are consumed now.
 */
import type { Channel } from "@apium/hub/Channel"
import type { Connection } from "@apium/hub/Connection"
import * as Consumer from "@apium/hub/Consumer"
import type { Delivery } from "@apium/hub/Delivery"
import type { HubError } from "@apium/hub/HubError"
import type { Queue } from "@apium/hub/Queue"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Pull from "effect/Pull"
import * as Scheduler from "effect/Scheduler"
import * as Stream from "effect/Stream"

export interface Consumers {
  readonly queues: () => ReadonlyArray<Queue>
  /** Declared first, on a channel of its own: one that the broker refuses changes nothing. `false`: it is consumed already. */
  readonly add: (queue: Queue) => Effect.Effect<boolean, HubError>
  /** `false`: it is not consumed. */
  readonly cancel: (name: string) => Effect.Effect<boolean>
  /** Consumes on this channel, where `declared` was declared under these names; fails with what ends it. */
  readonly run: (
    channel: Channel,
    declared: ReadonlyArray<Queue>,
    names: ReadonlyArray<string>,
    take: Take
  ) => Effect.Effect<never, HubError>
}

type Take = (deliveries: ReadonlyArray<Delivery>) => Effect.Effect<void, HubError>

/** One queue on one channel. */
interface Consuming {
  readonly name: string
  /** Its last batch is in good hands, and is the last one if it is cancelled. */
  dealing: boolean
  cancelled: boolean
  fiber: Fiber.Fiber<void> | undefined
}

/** One channel's worth. */
interface Session {
  readonly consuming: Map<Queue, Consuming>
  readonly begin: (queue: Queue, name: string) => Effect.Effect<void>
}

export const make = (dependencies: {
  readonly connection: Pick<Connection["Service"], "declare">
  readonly queues: ReadonlyArray<Queue>
  readonly noAck: boolean
  /** A queue is consumed that was not known: what is sent to it goes by its description from now on. */
  readonly describe: (queue: Queue) => void
}): Consumers => {
  const { connection, noAck, describe } = dependencies
  let queues = dependencies.queues
  let session: Session | undefined
  // The window is the tuner's, and no transport has another.
  const options = { noAck, prefetch: Number.POSITIVE_INFINITY }

  const consume = (channel: Channel, queue: Queue, one: Consuming, take: Take): Effect.Effect<void, HubError> =>
    Effect.gen(function* () {
      const pull = yield* Stream.toPull(Consumer.consume(channel, queue, one.name, options))
      /** Who is cancelled waits, or has a batch: a fiber that yielded in between would be interrupted with one that nobody has. */
      const next = Effect.provideService(
        Effect.map(pull, (deliveries) => {
          one.dealing = true
          return deliveries
        }),
        Scheduler.PreventSchedulerYield,
        true
      )
      const dealt = () => void (one.dealing = false)
      yield* Effect.whileLoop({
        while: () => !one.cancelled,
        body: () => Effect.flatMap(next, take),
        step: dealt
      })
    }).pipe(
      Pull.catchDone(() => Effect.void),
      Effect.scoped
    )

  const run: Consumers["run"] = (channel, declared, names, take) =>
    Effect.scoped(
      Effect.gen(function* () {
        const scope = yield* Effect.scope
        const ended = Deferred.makeUnsafe<never, HubError>()
        const consuming = new Map<Queue, Consuming>()
        const begin = (queue: Queue, name: string): Effect.Effect<void> => {
          const one: Consuming = { name, dealing: false, cancelled: false, fiber: undefined }
          consuming.set(queue, one)
          const consumed = Effect.onExit(consume(channel, queue, one, take), (exit) => {
            if (consuming.get(queue) === one) consuming.delete(queue)
            return one.cancelled || Exit.isSuccess(exit) ? Effect.void : Deferred.failCause(ended, exit.cause)
          })
          // What ends the session is told above.
          return Effect.map(Effect.forkIn(Effect.ignoreCause(consumed), scope), (fiber) => void (one.fiber = fiber))
        }
        const mine: Session = { consuming, begin }
        session = mine
        yield* Effect.addFinalizer(() =>
          Effect.sync(() => {
            if (session === mine) session = undefined
          })
        )
        // Some may have come and gone since it was declared.
        for (const queue of queues) {
          if (consuming.has(queue) || !queues.includes(queue)) continue
          const at = declared.indexOf(queue)
          yield* begin(queue, at === -1 ? queue.name : names[at]!)
        }
        return yield* Deferred.await(ended)
      })
    )

  /** By what it is called here, by everybody (a broadcast), or by the broker that named it. */
  const find = (name: string): Queue | undefined =>
    queues.find(
      (queue) =>
        queue.name === name ||
        queue.alias === name ||
        (queue.name === "" && session?.consuming.get(queue)?.name === name)
    )

  return {
    queues: () => queues,
    run,
    add: Effect.fnUntraced(function* (queue) {
      if (find(queue.name) !== undefined) return false
      yield* connection.declare({ queues: [queue] })
      if (find(queue.name) !== undefined) return false
      queues = [...queues, queue]
      describe(queue)
      yield* Effect.logInfo("Started consuming from a queue", { queue: queue.name })
      if (session !== undefined) yield* session.begin(queue, queue.name)
      return true
    }),
    cancel: (name) =>
      Effect.suspend(() => {
        const queue = find(name)
        if (queue === undefined) return Effect.succeed(false)
        queues = queues.filter((other) => other !== queue)
        const one = session?.consuming.get(queue)
        const told = Effect.as(Effect.logInfo("Stopped consuming from a queue", { queue: name }), true)
        if (one === undefined) return told
        one.cancelled = true
        // One that has a batch ends by itself when that is dealt with.
        return one.dealing || one.fiber === undefined ? told : Effect.andThen(Fiber.interrupt(one.fiber), told)
      })
  }
}
