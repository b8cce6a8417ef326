/**
 * Kombu's queues in Redis as a `VirtualStore` (`kombu/transport/redis.py`, WIRE 4.4): the same keys and the same envelopes, so that Python's
 * workers and clients share them.
 *
 * ```text
 *   put ──LPUSH──▶ queue, queue\x06\x163, ...\x066, ...\x069 ──claim──▶ unacked, unacked_index ──settle──▶ gone
 *                    ▲                            │ unreadable             │
 *                    │                            ▼                        ├─ restore: given back
 *                    │                     queue.unreadable                └─ recover: its owner died, or forgot it
 *                    └─────────────────────────────────────────────────────┘
 * ```
 *
 * Kombu pops, and then notes what it popped; who dies between loses the message. Here it is one script, and waiting takes nothing. Each
 * store is an owner, whose life it renews; when that ends, any other store gives back what it held (`apium.owners`: owner by the time
 * his lease is over). Tags start with the name of their owner. Python sees tags, and restores them by their age as ever.
 *
 * Every verb fails when the link is lost; a store does not come back.
 */
import type { HubError } from "@apium/hub/HubError"
import type { VirtualStore } from "@apium/hub/virtual/VirtualStore"
import * as RedisKeys from "@apium/protocol/kombu/RedisKeys"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Redis from "effect/persistence/Redis"
import type * as Scope from "effect/Scope"
import { chunked, settling } from "./internal/batches.ts"
import { Ears, type Fanouts, type Listen } from "./internal/Ears.ts"
import * as entries from "./internal/entries.ts"
import * as errors from "./internal/errors.ts"
import { Recovery } from "./internal/Recovery.ts"
import * as scripts from "./internal/scripts.ts"
import { Waiting } from "./internal/Waiting.ts"

/** Kombu's transport options of the same names; all who share the queues must agree on them. */
export interface Options extends Omit<RedisKeys.Options, "db"> {
  /** How long a message may be held by a worker that does not renew, as Python's do not. Default 1 hour. */
  readonly visibilityTimeout?: Duration.Input | undefined
  /** How long after this store's last sign of life it is dead for the others. It gives one three times in that time. Default 30 s. */
  readonly lease?: Duration.Input | undefined
}

/** A connection to Redis. */
export interface RedisLink {
  readonly redis: Redis.Redis["Service"]
  /** The database's number, which is a part of fanout channels. */
  readonly database: number
  /** Every message on the channels of this pattern, for as long as the scope lives. */
  readonly listen: Listen
  /** Never succeeds; fails when the connection is gone, or that which listens. */
  readonly lost: Effect.Effect<never, HubError>
  /** Cuts it: whatever waits for an answer fails. */
  readonly cut: Effect.Effect<void>
}

/** What the links of one transport know of each other. */
export interface Shared {
  /** Owners whose link was lost: the next link gives back what they held. */
  readonly dead: Set<string>
  /** Members of binding sets by their queue, to go with it. */
  readonly bound: Map<string, Map<string, string>>
  readonly fanouts: Fanouts
}

export const shared = (): Shared => ({ dead: new Set(), bound: new Map(), fanouts: new Map() })

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
  { bound, dead, fanouts }: Shared = shared()
): Effect.fn.Return<RedisStore, HubError, Scope.Scope> {
  const { redis } = link
  const keys = RedisKeys.make({ ...options, db: link.database })
  const scope = yield* Effect.scope
  const owner = `apium:${crypto.randomUUID()}`
  const held = new Map<string, entries.Held>()
  const lost = Deferred.makeUnsafe<never, HubError>()
  const waiting = new Waiting(redis, keys)
  const spaces = [keys.unacked, keys.unackedIndex, keys.key("apium.owners")] as const
  const lease = Duration.toMillis(Duration.fromInputUnsafe(options.lease ?? "30 seconds"))
  let claimed = 0

  const lose = (error: HubError): Effect.Effect<HubError> =>
    Effect.suspend(() => {
      if (error.reason._tag !== "ConnectionLost") return Effect.succeed(error)
      if (!Deferred.doneUnsafe(lost, Effect.fail(error))) return Effect.succeed(error)
      dead.add(owner)
      waiting.fail(error)
      return Effect.as(link.cut, error)
    })
  const failing = <A>(work: Effect.Effect<A, Redis.RedisError>): Effect.Effect<A, HubError> =>
    Effect.catch(work, (error) => Effect.flatMap(lose(errors.hubError(error)), Effect.fail))
  const attempt = <A>(work: () => A): Effect.Effect<A, HubError> =>
    Effect.try({ try: work, catch: (error) => error as HubError })

  const ears = new Ears(link.listen, fanouts, failing, (queue) => waiting.wake(queue, 1))

  const recovery = new Recovery({
    redis,
    keys,
    spaces,
    owner,
    held,
    visibility: Duration.toSeconds(Duration.fromInputUnsafe(options.visibilityTimeout ?? "1 hour")),
    lease,
    failing,
    unheard: lose
  })

  const unreadable = (queue: string) => keys.key(`${queue}.unreadable`)

  const put: VirtualStore["put"] = (queue, puts) =>
    Effect.flatMap(
      attempt(() => {
        const lists = new Map<string, Array<string>>()
        for (const put of puts) {
          const list = keys.queue(queue, put.message.properties.priority ?? 0)
          const texts = lists.get(list)
          const text = entries.encode(put, crypto.randomUUID())
          if (texts === undefined) lists.set(list, [text])
          else texts.push(text)
        }
        return lists
      }),
      (lists) =>
        Effect.as(
          Effect.forEach(
            lists,
            ([list, texts]) =>
              Effect.map(failing(redis.send("LPUSH", list, ...texts)), () => waiting.wake(queue, texts.length)),
            { discard: true }
          ),
          // Kombu's queues are lists, and a list comes with its first message.
          true
        )
    )

  const take: VirtualStore["take"] = Effect.fnUntraced(function* (queues, max) {
    for (const queue of queues) yield* ears.follow(queue, scope)
    const heard = ears.take(queues, max)
    if (heard.length > 0) return heard
    const sources = queues.flatMap((queue) =>
      keys.queueLists(queue).map((list) => ({ list, queue, unreadable: unreadable(queue) }))
    )
    const first = claimed
    claimed += max
    const flat = yield* failing(redis.eval(scripts.claim)(spaces, sources, owner, lease / 1000, first, max))
    const taken: Array<entries.Taken> = []
    for (let at = 0; at < flat.length; at += 3) {
      const one = entries.read(flat[at]!, flat[at + 1]!, flat[at + 2]!)
      if (one.held === undefined) {
        const { fault, queue, tag } = one
        // Where that fails, it is overdue one day, and put aside then; the others are taken.
        yield* Effect.ignore(
          failing(redis.eval(scripts.setAside)(keys.unacked, keys.unackedIndex, unreadable(queue), tag, fault, queue))
        )
        continue
      }
      held.set(one.tag, one.held)
      taken.push(one)
    }
    return taken.map(({ held, tag }) => entries.stored(tag, held))
  })

  const settleNow = (tags: ReadonlyArray<string>) =>
    chunked(tags, 1000, (some) => failing(redis.eval(scripts.settle)(keys.unacked, keys.unackedIndex, some)))
  const settleSoon = settling(settleNow)
  const settle: VirtualStore["settle"] = (tags) =>
    Effect.suspend(() => {
      const stored = tags.filter((tag) => !ears.settle(tag))
      for (const tag of stored) held.delete(tag)
      return stored.length === 0 ? Effect.void : settleSoon(stored)
    })

  const restore: VirtualStore["restore"] = (tags, { side, counted = true }) =>
    Effect.gen(function* () {
      const near = side === "near"
      const returns: Array<scripts.Return> = []
      // The nearest is pushed last, so that the order given is the order they come out in.
      for (const tag of near ? tags.toReversed() : tags) {
        const one = ears.restore(tag, near, counted) ? undefined : held.get(tag)
        if (one === undefined) continue
        held.delete(tag)
        const { envelope, queue } = one
        const text = yield* attempt(() => entries.again(envelope, counted))
        returns.push({ tag, text, list: keys.queue(queue, envelope.properties.priority ?? 0) })
      }
      yield* chunked(returns, 500, (some) =>
        failing(redis.eval(scripts.restore)(keys.unacked, keys.unackedIndex, near ? "RPUSH" : "LPUSH", some))
      )
    })

  const remove: VirtualStore["remove"] = (queue) =>
    Effect.gen(function* () {
      const members = [...(bound.get(queue) ?? [])]
      bound.delete(queue)
      fanouts.delete(queue)
      const heard = ears.size(queue)
      yield* ears.forget(queue)
      for (const [member, exchange] of members) yield* failing(redis.send("SREM", keys.binding(exchange), member))
      // What we hold of it goes along, and does not come back in a queue of the same name.
      yield* settle([...held].filter(([, one]) => one.queue === queue).map(([tag]) => tag))
      return heard + (yield* failing(redis.eval(scripts.empty)(keys.queueLists(queue))))
    })

  const member = (type: string, { queue, routingKey }: { readonly queue: string; readonly routingKey: string }) =>
    keys.encodeBinding({ queue, routingKey, pattern: type === "topic" ? RedisKeys.topicPattern(routingKey) : "" })

  const store: VirtualStore = {
    declare: () => Effect.void,
    remove,
    put,
    ready: (queues) => waiting.ready(queues, () => ears.any(queues)),
    wake: () => Effect.void,
    take,
    settle,
    restore,
    size: (queue) =>
      Effect.map(failing(redis.eval(scripts.sizes)(keys.queueLists(queue))), (sizes) =>
        sizes.reduce((sum, size) => sum + size, ears.size(queue))
      ),
    purge: (queue) =>
      Effect.map(failing(redis.eval(scripts.empty)(keys.queueLists(queue))), (count) => count + ears.purge(queue)),
    broadcast: (put) =>
      Effect.flatMap(
        attempt(() => entries.encode(put, crypto.randomUUID())),
        (text) => Effect.asVoid(failing(redis.send("PUBLISH", keys.fanoutChannel(put.exchange, put.routingKey), text)))
      ),
    bindings: {
      add: (exchange, binding) =>
        Effect.suspend(() => {
          const own = bound.get(binding.queue) ?? new Map<string, string>()
          const added = member(exchange.type, binding)
          bound.set(binding.queue, own.set(added, exchange.name))
          if (exchange.type === "fanout") {
            const patterns = fanouts.get(binding.queue) ?? new Set<string>()
            fanouts.set(binding.queue, patterns.add(keys.fanoutPattern(exchange.name, binding.routingKey)))
          }
          return Effect.asVoid(failing(redis.send("SADD", keys.binding(exchange.name), added)))
        }),
      remove: (exchange, binding) =>
        Effect.suspend(() => {
          const patterns = fanouts.get(binding.queue)
          patterns?.delete(keys.fanoutPattern(exchange, binding.routingKey))
          if (patterns?.size === 0) fanouts.delete(binding.queue)
          // Of what type the exchange was is not asked: one of the two is not there.
          return Effect.asVoid(
            failing(redis.send("SREM", keys.binding(exchange), member("direct", binding), member("topic", binding)))
          )
        }),
      list: (exchange) =>
        Effect.map(failing(redis.send<ReadonlyArray<string>>("SMEMBERS", keys.binding(exchange))), (members) =>
          members.flatMap((text) => {
            const read = keys.decodeBinding(text)
            return read === undefined ? [] : [{ queue: read.queue, routingKey: read.routingKey, arguments: {} }]
          })
        )
    }
  }

  yield* Effect.forkScoped(Effect.catch(link.lost, lose))
  yield* recovery.begin(dead)
  yield* Effect.addFinalizer(() =>
    // Dead at once, for whoever looks next; who lost his link is in `dead`, and who hangs is not waited for.
    Deferred.isDoneUnsafe(lost)
      ? Effect.void
      : Effect.flatMap(Effect.forkDetach(Effect.ignore(redis.send("ZADD", spaces[2], "XX", "0", owner))), (goodbye) =>
          Effect.raceFirst(Effect.interruptible(Fiber.await(goodbye)), Effect.interruptible(Effect.sleep("1 second")))
        )
  )
  yield* Effect.forkScoped(waiting.run(lose))
  yield* Effect.forkScoped(recovery.run)
  return { store, closed: Deferred.await(lost), sweep: recovery.sweep }
})
