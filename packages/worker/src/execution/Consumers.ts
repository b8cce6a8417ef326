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
  /**
   * Declared first, on a channel of its own: one that the broker refuses changes nothing. `false`: it is consumed already. Where
   * it may be declared and not consumed (403: somebody else is exclusive there), it fails with that, and `forget` mends the rest.
   */
  readonly add: (queue: Queue) => Effect.Effect<boolean, HubError>
  /** `false`: it is not consumed. */
  readonly cancel: (name: string) => Effect.Effect<boolean>
  /**
   * Whether this ended a session because of a queue that was added and has never sent anything: it is consumed no more, so that a
   * session without it may begin at once. Otherwise one wrong `add_consumer` would stop all queues on every session.
   */
  readonly forget: (error: HubError) => boolean
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
  /** Fails when the broker has refused what it was asked before. */
  readonly answered: (queue: Queue) => Effect.Effect<void, HubError>
}

/**
 * Whether the broker refuses this queue: each names it in quotes ("queue 'mail' in vhost '/' in exclusive use"). The text is cut at
 * 255 bytes.
 */
const refuses = ({ reason, recoverable }: HubError, name: string): boolean =>
  reason._tag === "ChannelClosed" && !recoverable && reason.replyText.includes(`'${name}'`.slice(0, 64))

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
  /** By their names: added, and nothing has come from them yet. */
  const fresh = new Set<string>()
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
      const dealt = () => {
        one.dealing = false
        fresh.delete(queue.name)
      }
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
          const forked = Effect.forkIn(Effect.ignoreCause(consumed), scope, { startImmediately: true })
          return Effect.map(forked, (fiber) => void (one.fiber = fiber))
        }
        // Requests of one channel are answered in order.
        const answered = (queue: Queue) => Effect.asVoid(channel.queueDeclare(queue, { passive: true }))
        const mine: Session = { consuming, begin, answered }
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
      fresh.add(queue.name)
      describe(queue)
      // By the time it has answered there may be another.
      const now = session
      if (now !== undefined) {
        yield* now.begin(queue, queue.name)
        // A link that is lost is the session's to mend, and the queue is consumed on the next one.
        yield* Effect.catch(now.answered(queue), (error) => {
          if (!refuses(error, queue.name)) return Effect.void
          queues = queues.filter((other) => other !== queue)
          return Effect.fail(error)
        })
      }
      yield* Effect.logInfo("Started consuming from a queue", { queue: queue.name })
      return true
    }),
    forget: (error) => {
      for (const name of fresh) {
        if (!refuses(error, name)) continue
        fresh.delete(name)
        queues = queues.filter((queue) => queue.name !== name)
        return true
      }
      return false
    },
    cancel: (name) =>
      Effect.suspend(() => {
        const queue = find(name)
        if (queue === undefined) return Effect.succeed(false)
        queues = queues.filter((other) => other !== queue)
        fresh.delete(queue.name)
        const one = session?.consuming.get(queue)
        const told = Effect.as(Effect.logInfo("Stopped consuming from a queue", { queue: name }), true)
        if (one === undefined) return told
        one.cancelled = true
        // One that has a batch ends by itself when that is dealt with.
        return one.dealing || one.fiber === undefined ? told : Effect.andThen(Fiber.interrupt(one.fiber), told)
      })
  }
}
