/**
 * What we take, and what becomes of it.
 *
 * Who settles does not wait for Redis, no more than on AMQP: tags are collected, and go with the next claim or by themselves, those of
 * one turn at once. Until they are there, their messages are as held as before. A refusal is told to
 * whoever settles next.
 */
import type { HubError } from "@apium/hub/HubError"
import type { StoredMessage, VirtualStore } from "@apium/hub/virtual/VirtualStore"
import type { RedisKeys } from "@apium/protocol/kombu/RedisKeys"
import type * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import type * as Redis from "effect/persistence/Redis"
import { chunked } from "./batches.ts"
import type { Ears } from "./Ears.ts"
import * as entries from "./entries.ts"
import { Order, type QueueOrderStrategy } from "./Order.ts"
import * as scripts from "./scripts.ts"
import { claim, mostMessages, mostTags } from "./scripts/claim.ts"
import type { Waiting } from "./Waiting.ts"

export interface Parts {
  readonly clock: Clock.Clock
  readonly redis: Redis.Redis["Service"]
  readonly keys: RedisKeys
  /** unacked, its index, and the owners. */
  readonly spaces: readonly [unacked: string, index: string, owners: string]
  readonly owner: string
  readonly held: Map<string, entries.Held>
  /** Milliseconds. */
  readonly lease: number
  readonly strategy: QueueOrderStrategy
  readonly ears: Ears
  readonly waiting: Waiting
  readonly failing: <A>(work: Effect.Effect<A, Redis.RedisError>) => Effect.Effect<A, HubError>
}

interface Taker {
  readonly max: number
  readonly consumer: object
  /** Before the claim that is on its way. */
  asked: boolean
  readonly taken: Deferred.Deferred<ReadonlyArray<StoredMessage>, HubError>
}

export class Claims {
  readonly #parts: Parts
  readonly #order: Order
  /** Who takes, by queues. */
  readonly #takers = new Map<string, Array<Taker>>()
  /** When a consumer was given something last. */
  readonly #served = new WeakMap<object, number>()
  #turn = 0
  /** Tags to be forgotten. */
  #settled: Array<string> = []
  /** Those that are on their way. */
  readonly #settling = new Set<Fiber.Fiber<void>>()
  readonly #some = Latch.makeUnsafe(false)
  #refused: HubError | undefined
  /** Tags of one moment are sorted as text: all numbers have as many digits. */
  #claimed = 100_000_000_000

  constructor(parts: Parts) {
    this.#parts = parts
    this.#order = new Order(parts.strategy)
  }

  /**
   * From the lists of Redis. One claim for the same queues at a time, and what it brings is for whoever has asked by then, who was given
   * something longest ago first: where each message comes as the last one is done, the same consumer was always first to ask, and of 100
   * messages the other one had 8.
   */
  take(
    queues: ReadonlyArray<string>,
    max: number,
    consumer: object = {}
  ): Effect.Effect<ReadonlyArray<StoredMessage>, HubError> {
    return Effect.suspend(() => {
      const key = queues.join("\n")
      const own: Taker = { max, consumer, asked: false, taken: Deferred.makeUnsafe() }
      const others = this.#takers.get(key)
      const taken = Deferred.await(own.taken)
      if (others !== undefined) {
        others.push(own)
        return taken
      }
      const takers = [own]
      this.#takers.set(key, takers)
      return Effect.andThen(Effect.forkDetach(this.#serve(key, queues, takers), { startImmediately: true }), taken)
    }).pipe(Effect.uninterruptible)
  }

  /** Until nobody asks any more. */
  #serve(key: string, queues: ReadonlyArray<string>, takers: Array<Taker>): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      while (takers.length > 0) {
        // Whoever asks in this turn asks with them.
        yield* Effect.yieldNow
        let max = 0
        for (const taker of takers) {
          taker.asked = true
          max += taker.max
        }
        const exit = yield* Effect.exit(this.#claim(queues, max))
        const served = this.#share(takers, exit)
        takers.splice(0, takers.length, ...takers.filter((taker) => !served.has(taker)))
      }
      this.#takers.delete(key)
    })
  }

  /** Who has an answer by now. */
  #share(takers: ReadonlyArray<Taker>, exit: Exit.Exit<ReadonlyArray<StoredMessage>, HubError>): ReadonlySet<Taker> {
    const shares = new Map<Taker, Array<StoredMessage>>()
    const last = ({ consumer }: Taker): number => this.#served.get(consumer) ?? 0
    const line = takers.toSorted((one, other) => last(one) - last(other))
    const messages = Exit.isSuccess(exit) ? exit.value : []
    for (let at = 0, index = 0; index < messages.length; at++) {
      const taker = line[at % line.length]!
      const share = shares.get(taker)
      if (share === undefined) {
        shares.set(taker, [messages[index++]!])
        this.#served.set(taker.consumer, ++this.#turn)
      } else if (share.length < taker.max) share.push(messages[index++]!)
    }
    for (const taker of takers) if (taker.asked && !shares.has(taker)) shares.set(taker, [])
    for (const [taker, share] of shares) {
      Deferred.doneUnsafe(
        taker.taken,
        Exit.map(exit, () => share)
      )
    }
    return new Set(shares.keys())
  }

  #claim(queues: ReadonlyArray<string>, max: number): Effect.Effect<ReadonlyArray<StoredMessage>, HubError> {
    return Effect.suspend(() => {
      const { clock, failing, held, keys, lease, owner, redis, spaces, waiting } = this.#parts
      const most = Math.min(max, mostMessages)
      const ordered = this.#order.of(queues)
      const first = this.#claimed
      this.#claimed += most
      const settled = this.#settled.splice(0, mostTags)
      const before = waiting.reading(ordered)
      const claiming = redis.eval(claim)(spaces, {
        owner,
        life: lease / 1000,
        first,
        max: most,
        queues: ordered,
        lists: keys.takeOrder(ordered),
        inTurn: this.#order.inTurn,
        settled
      })
      return Effect.flatMap(
        Effect.onError(failing(claiming), () => Effect.sync(() => this.#forget(settled))),
        ([ended, from, texts]) => {
          waiting.claimed(ordered, before, texts.length, ended === 1)
          const now = clock.currentTimeMillisUnsafe()
          const taken: Array<StoredMessage> = []
          const faults: Array<Effect.Effect<unknown, HubError>> = []
          for (let index = 0; index < texts.length; index++) {
            const queue = ordered[from[index]! - 1]!
            const tag = `${owner}:${first + index}`
            if (ordered.length > 1) this.#order.consumed(queue)
            const one = entries.read(queue, tag, texts[index]!)
            if (one.held === undefined) {
              const list = keys.key(`${queue}.unreadable`)
              faults.push(failing(redis.eval(scripts.setAside)(spaces[0], spaces[1], list, tag, one.fault, queue)))
              continue
            }
            held.set(tag, one.held)
            taken.push(entries.stored(tag, one.held, now))
          }
          // Where that fails, it is overdue one day, and put aside then; the others are taken.
          return faults.length === 0
            ? Effect.succeed(taken)
            : Effect.as(
                Effect.forEach(faults, (fault) => Effect.ignore(fault), { concurrency: "unbounded", discard: true }),
                taken
              )
        }
      )
    })
  }

  settle(tags: ReadonlyArray<string>): Effect.Effect<void, HubError> {
    return Effect.suspend(() => {
      const { ears, held } = this.#parts
      const stored = tags.filter((tag) => !ears.settle(tag))
      for (const tag of stored) held.delete(tag)
      if (stored.length > 0) this.#forget(stored)
      const refused = this.#refused
      this.#refused = undefined
      return refused === undefined ? Effect.void : Effect.fail(refused)
    })
  }

  #forget(tags: ReadonlyArray<string>): void {
    if (tags.length === 0) return
    this.#settled.push(...tags)
    this.#some.openUnsafe()
  }

  /** What is settled by now is settled in Redis. */
  flush(): Effect.Effect<void> {
    return Effect.andThen(
      this.#send,
      Effect.suspend(() => Fiber.awaitAll([...this.#settling]))
    )
  }

  /**
   * Not behind the answer to the last ones: what is with the kernel is settled, whatever becomes of us, and what waited for an answer ran
   * again after a SIGKILL. By fibers of their own: the store may be closed while a script is loaded.
   */
  get #send(): Effect.Effect<void> {
    const { failing, redis, spaces } = this.#parts
    return Effect.gen({ self: this }, function* () {
      this.#some.closeUnsafe()
      while (this.#settled.length > 0) {
        const settle = redis.eval(scripts.settle)(spaces[0], spaces[1], this.#settled.splice(0, mostTags))
        const settling = Effect.match(failing(settle), {
          onFailure: (error) => void (this.#refused = error),
          onSuccess: () => undefined
        })
        const fiber = yield* Effect.forkDetach(settling, { startImmediately: true })
        this.#settling.add(fiber)
        fiber.addObserver(() => this.#settling.delete(fiber))
      }
    }).pipe(Effect.uninterruptible)
  }

  /** Beside the link, as long as it lives. */
  get run(): Effect.Effect<never> {
    return Effect.forever(Effect.andThen(this.#some.await, this.#send))
  }

  restore(
    tags: ReadonlyArray<string>,
    { counted = true, side }: Parameters<VirtualStore["restore"]>[1]
  ): Effect.Effect<void, HubError> {
    const { ears, failing, held, keys, redis, spaces, waiting } = this.#parts
    const near = side === "near"
    const counts = new Map<string, number>()
    const returns = Effect.try({
      try: () => {
        const all: Array<scripts.Return> = []
        // The nearest is pushed last, so that the order given is the order they come out in.
        for (const tag of near ? tags.toReversed() : tags) {
          const one = ears.restore(tag, near, counted) ? undefined : held.get(tag)
          if (one === undefined) continue
          held.delete(tag)
          const { envelope, queue } = one
          const text = entries.again(envelope, counted)
          all.push({ tag, text, list: keys.queue(queue, envelope.properties.priority ?? 0) })
          counts.set(queue, (counts.get(queue) ?? 0) + 1)
        }
        return all
      },
      catch: (error) => error as HubError
    })
    return returns.pipe(
      Effect.flatMap((all) =>
        chunked(all, 500, (some) =>
          failing(redis.eval(scripts.restore)(spaces[0], spaces[1], near ? "RPUSH" : "LPUSH", some))
        )
      ),
      Effect.ensuring(
        Effect.sync(() => {
          for (const [queue, count] of counts) waiting.wake(queue, count)
        })
      )
    )
  }

  /** The queue is gone. */
  forget(queue: string): void {
    this.#order.forget(queue)
    this.#parts.waiting.forget(queue)
  }
}
