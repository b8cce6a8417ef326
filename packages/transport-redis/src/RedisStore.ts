/**
 * Kombu's queues in Redis as a `VirtualStore` (`kombu/transport/redis.py`, WIRE 4.4): the same keys and the same envelopes, so that Python's
 * workers and clients share them.
 *
 * ```text
 *   put ──LPUSH──▶ queue, queue\x06\x163, ...\x066, ...\x069 ──claim──▶ unacked, unacked_index ──settle──▶ gone
 *                    ▲                            │ unreadable             │
 *                    │                            ▼                        ├─ restore: given back
 *                    │                     queue.unreadable                ├─ recover: its owner died, or forgot it
 *                    ├─────────────────────────────────────────────────────┤
 *                    └────────────── move ─────── queue.delayed ◀──────────┴─ postpone: not due (`internal/Delayed`)
 * ```
 *
 * Kombu pops, and then notes what it popped; who dies between loses the message. Here it is one script, and waiting takes nothing. Each
 * store is an owner, whose life it renews; when that ends, any other store gives back what it held (`apium.owners`: owner by the time
 * his lease is over). Tags start with the name of their owner. Python sees tags, and restores them by their age as ever.
 *
 * A time to live (`expiration`, `x-message-ttl`) begins with our `put`, by our clock, and stands in the envelope; who takes the message here
 * heeds it. Of what Python sent it is carried, for its envelopes do not say when it began, and Python heeds none; `x-expires` is nobody's.
 *
 * Every verb fails when the link is lost; a store does not come back.
 */
import { DelayRefused, fail, type HubError } from "@apium/hub/HubError"
import type { VirtualStore } from "@apium/hub/virtual/VirtualStore"
import * as RedisKeys from "@apium/protocol/kombu/RedisKeys"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Redis from "effect/persistence/Redis"
import type * as Scope from "effect/Scope"
import { Claims } from "./internal/Claims.ts"
import { Delayed } from "./internal/Delayed.ts"
import { type Bound, Bindings, bound as nothingBound } from "./internal/Bindings.ts"
import { Ears, type Fanouts } from "./internal/Ears.ts"
import * as entries from "./internal/entries.ts"
import * as errors from "./internal/errors.ts"
import type { QueueOrderStrategy } from "./internal/Order.ts"
import { putting } from "./internal/putting.ts"
import { Recovery } from "./internal/Recovery.ts"
import * as scripts from "./internal/scripts.ts"
import { Waiting, type Watch } from "./internal/Waiting.ts"
import type { RedisLink } from "./RedisLink.ts"

export type { Heard, RedisLink } from "./RedisLink.ts"

/** Kombu's transport options of the same names; all who share the queues must agree on them. */
export interface Options extends Omit<RedisKeys.Options, "db"> {
  /** How long a message may be held by a worker that does not renew, as Python's do not. Default 1 hour. */
  readonly visibilityTimeout?: Duration.Input | undefined
  /** How long after this store's last sign of life it is dead for the others. It gives one three times in that time. Default 30 s. */
  readonly lease?: Duration.Input | undefined
  /**
   * Which of the queues of one channel comes first where there is room for one message: `round_robin`, each in turn, `sorted`, by name, or
   * `priority`, in the order in which they are consumed. Default `round_robin`.
   */
  readonly queueOrderStrategy?: QueueOrderStrategy | undefined
}

/** What the links of one transport know of each other. */
export interface Shared {
  /** Owners whose link was lost: the next link gives back what they held. */
  readonly dead: Set<string>
  readonly bound: Bound
  readonly fanouts: Fanouts
  /** `x-message-ttl` of the queues that have one, in milliseconds. */
  readonly timesToLive: Map<string, number>
}

export const shared = (): Shared => ({
  dead: new Set(),
  bound: nothingBound(),
  fanouts: new Map(),
  timesToLive: new Map()
})

export interface RedisStore {
  readonly store: VirtualStore
  /** Never succeeds; fails when the link is lost, or does not answer. */
  readonly closed: Effect.Effect<never, HubError>
  /** Gives back what is overdue, now; it happens by itself every third of a lease. How many messages. */
  readonly sweep: Effect.Effect<number, HubError>
}

/** Lives as long as the scope, which is to end before that of its link. */
export const make = Effect.fnUntraced(function* (
  link: RedisLink,
  options: Options = {},
  { bound, dead, fanouts, timesToLive }: Shared = shared()
): Effect.fn.Return<RedisStore, HubError, Scope.Scope> {
  const { redis } = link
  const keys = RedisKeys.make({ ...options, db: link.database })
  const scope = yield* Effect.scope
  const clock = yield* Clock.Clock
  const fork = Effect.runForkWith(yield* Effect.context())
  const owner = `apium:${crypto.randomUUID()}`
  const held = new Map<string, entries.Held>()
  const lost = Deferred.makeUnsafe<never, HubError>()
  const waiting = new Waiting(keys)
  const spaces = [keys.unacked, keys.unackedIndex, keys.key("apium.owners")] as const
  const lease = Duration.toMillis(Duration.fromInputUnsafe(options.lease ?? "30 seconds"))

  const lose = (error: HubError): Effect.Effect<HubError> =>
    Effect.suspend(() => {
      if (error.reason._tag !== "ConnectionLost") return Effect.succeed(error)
      if (Deferred.isDoneUnsafe(lost)) return Effect.succeed(error)
      // First: who waits for the loss goes on at once, and may end the fiber that we are in.
      dead.add(owner)
      ears.lost()
      Deferred.doneUnsafe(lost, Effect.fail(error))
      waiting.fail(error)
      return Effect.as(link.cut, error)
    })
  /** `key`: what it was about, where the reply does not say. */
  const failing = <A>(work: Effect.Effect<A, Redis.RedisError>, key?: string): Effect.Effect<A, HubError> =>
    Effect.catch(work, (error) => Effect.flatMap(lose(errors.hubError(error, key)), Effect.fail))
  const attempt = <A>(work: () => A): Effect.Effect<A, HubError> =>
    Effect.try({ try: work, catch: (error) => error as HubError })

  const ears = new Ears(link.listen, fanouts, failing, (queue) => waiting.wake(queue, 1))

  const bindings = new Bindings(redis, keys, bound, failing)

  const parts = {
    clock,
    redis,
    keys,
    spaces,
    owner,
    held,
    lease,
    failing,
    wake: (queue: string, count: number) => waiting.wake(queue, count)
  }
  const recovery = new Recovery({
    ...parts,
    visibility: Duration.toSeconds(Duration.fromInputUnsafe(options.visibilityTimeout ?? "1 hour")),
    unheard: lose
  })
  const delayed = new Delayed({ ...parts, consumer: owner, gone: [...dead] })
  const claims = new Claims({ ...parts, strategy: options.queueOrderStrategy ?? "round_robin", ears, waiting })

  const take: VirtualStore["take"] = Effect.fnUntraced(function* (queues, max, consumer) {
    for (const queue of queues) yield* ears.follow(queue, scope)
    const heard = ears.take(queues, max, clock.currentTimeMillisUnsafe())
    if (heard.length > 0) return heard
    return yield* claims.take(queues, max, consumer)
  })

  const postpone: VirtualStore["postpone"] = (tags, notBefore) =>
    tags.some((tag) => ears.has(tag))
      ? fail(new DelayRefused({ text: "it was published to whoever listens, and is in no queue" }))
      : delayed.postpone(tags, notBefore)

  const remove: VirtualStore["remove"] = (queue) =>
    Effect.gen(function* () {
      fanouts.delete(queue)
      timesToLive.delete(queue)
      const heard = ears.size(queue)
      yield* ears.forget(queue)
      yield* bindings.removeQueue(queue)
      // What we hold of it goes along, and does not come back in a queue of the same name.
      yield* claims.settle([...held].filter(([, one]) => one.queue === queue).map(([tag]) => tag))
      const parked = yield* delayed.empty(queue)
      const removed = yield* failing(redis.eval(scripts.empty)(keys.queueLists(queue)))
      claims.forget(queue)
      return heard + parked + removed
    })

  const store: VirtualStore = {
    remote: true,
    queueOrder: options.queueOrderStrategy,
    declare: ({ name, arguments: { "x-message-ttl": life } }) =>
      Effect.sync(() => {
        if (typeof life === "number" && life >= 0) timesToLive.set(name, life)
      }),
    /**
     * A list of it, or a binding: kombu asks for the lists alone (`_has_queue`), and an empty list is none. Bound to an exchange of its own
     * name, as Celery's queues are, or to one that was declared here; sets of other exchanges are not searched for among all keys. What
     * others declared without a binding is there with its first message. So nobody can say of a name that it is no queue, and a
     * mandatory message to the nameless exchange is stored, as kombu's are: a list comes with it.
     */
    has: (queue, exchanges) =>
      Effect.flatMap(failing(redis.send<number>("EXISTS", ...keys.queueLists(queue))), (lists) =>
        lists > 0 ? Effect.succeed(true) : bindings.knows(queue, new Set([queue, ...exchanges]))
      ),
    remove,
    put: putting({ clock, redis, keys, timesToLive, waiting, failing }),
    ready: (queues) => {
      delayed.consume()
      return waiting.ready(queues, () => ears.any(queues))
    },
    wake: (queues) => Effect.sync(() => waiting.pass(queues)),
    take,
    settle: (tags) => Effect.suspend(() => (Deferred.isDoneUnsafe(lost) ? Deferred.await(lost) : claims.settle(tags))),
    held: (tag) => {
      if (recovery.sure && !Deferred.isDoneUnsafe(lost)) return held.has(tag) || ears.has(tag)
      // Late, but it is said: what runs goes on as after any lost link, and what has not begun comes again.
      fork(lose(recovery.overdue))
      return false
    },
    restore: (tags, options) => claims.restore(tags, options),
    postpone,
    size: (queue) =>
      Effect.map(failing(redis.eval(scripts.sizes)(keys.queueLists(queue))), (sizes) =>
        sizes.reduce((sum, size) => sum + size, ears.size(queue))
      ),
    purge: (queue) =>
      Effect.zipWith(
        failing(redis.eval(scripts.empty)(keys.queueLists(queue))),
        delayed.empty(queue),
        (waiting, parked) => waiting + parked + ears.purge(queue)
      ),
    broadcast: (put) =>
      Effect.flatMap(
        attempt(() => entries.encode(put, crypto.randomUUID())),
        (text) => Effect.asVoid(failing(redis.send("PUBLISH", keys.fanoutChannel(put.exchange, put.routingKey), text)))
      ),
    bindings: {
      add: (exchange, binding) =>
        Effect.suspend(() => {
          if (exchange.type === "fanout") {
            const patterns = fanouts.get(binding.queue) ?? new Set<string>()
            fanouts.set(binding.queue, patterns.add(keys.fanoutPattern(exchange.name, binding.routingKey)))
          }
          return bindings.add(exchange, binding)
        }),
      remove: (exchange, binding) =>
        Effect.suspend(() => {
          const patterns = fanouts.get(binding.queue)
          patterns?.delete(keys.fanoutPattern(exchange, binding.routingKey))
          if (patterns?.size === 0) fanouts.delete(binding.queue)
          return bindings.remove(exchange, binding)
        }),
      list: (exchange) => bindings.list(exchange)
    }
  }

  yield* Effect.forkScoped(Effect.catch(link.lost, lose))
  const watch = link.track === undefined ? undefined : yield* link.track((list) => waiting.changed(list))
  yield* recovery.begin(dead)
  yield* bindings.sweep
  const asking: Watch = (lists) => redis.send<number>("EXISTS", ...lists)
  /** Who hangs is not waited for. */
  const within = (limit: Duration.Input, work: Effect.Effect<unknown, unknown>) =>
    Effect.flatMap(Effect.forkDetach(Effect.ignore(work)), (working) =>
      Effect.raceFirst(Effect.interruptible(Fiber.await(working)), Effect.interruptible(Effect.sleep(limit)))
    )
  yield* Effect.addFinalizer(() =>
    // Dead at once, for whoever looks next; who lost his link is in `dead`. What is settled and not said would come again: a machine under
    // load took more than a second for that, and seven of two hundred tasks that had been finished came back.
    Deferred.isDoneUnsafe(lost)
      ? Effect.void
      : Effect.andThen(
          within("5 seconds", claims.flush()),
          within("1 second", redis.send("ZADD", spaces[2], "XX", "0", owner))
        )
  )
  yield* Effect.addFinalizer(() =>
    Deferred.isDoneUnsafe(lost)
      ? Effect.void
      : Effect.flatMap(Effect.forkDetach(Effect.ignore(delayed.leave)), (leaving) =>
          Effect.asVoid(Effect.interruptible(Fiber.await(leaving)))
        )
  )
  yield* Effect.forkScoped(delayed.run)
  yield* Effect.forkScoped(waiting.run(watch ?? asking, watch !== undefined, lose))
  yield* Effect.forkScoped(claims.run)
  yield* Effect.forkScoped(recovery.run)
  yield* Effect.forkScoped(bindings.run)
  return { store, closed: Deferred.await(lost), sweep: recovery.sweep }
})
