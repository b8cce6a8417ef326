/**
 * What a consumer has met and is not due yet waits in Redis, beside its queue (`scripts/delayed.ts`): no worker holds it, none has to
 * renew it, and it outlives them. Python does not look there, so it goes back to its list half a second before it is due: whoever takes
 * it holds it for the rest, by his own clock. Any store that consumes moves what is due, of all queues.
 *
 * ```text
 *   unacked ──park──▶ queue.delayed ──move, 500 ms before it is due──▶ queue
 *                           └── leave: the last Apium consumer stops ──▶ queue, for Python's to hold
 * ```
 *
 * Who consumes says so in `apium.consumers`, three times in a lease. `apium.delayed` has the queues for which something waits.
 *
 * How long it is to wait is what the worker's clock says, and when that is over Redis' does: clocks that differ neither make it early
 * nor have it parked over and over. A consumer who is killed, and was the last, leaves it where it is until one comes.
 */
import type { HubError } from "@apium/hub/HubError"
import type { RedisKeys } from "@apium/protocol/kombu/RedisKeys"
import type * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import type * as Redis from "effect/persistence/Redis"
import { collecting } from "./batches.ts"
import type * as entries from "./entries.ts"
import * as scripts from "./scripts/delayed.ts"

export interface Parts {
  readonly redis: Redis.Redis["Service"]
  readonly keys: RedisKeys
  readonly consumer: string
  /** Consumers of this process whose link was lost. */
  readonly gone: ReadonlyArray<string>
  /** Milliseconds. */
  readonly lease: number
  readonly held: Map<string, entries.Held>
  readonly failing: <A>(work: Effect.Effect<A, Redis.RedisError>) => Effect.Effect<A, HubError>
  readonly wake: (queue: string, count: number) => void
}

/** In milliseconds, as all below. How long before it is due a message goes to its list. */
const lead = 500
/** A look moves what is due in the next 500 ms: ten a second are enough, however many are due. */
const least = 100
/** What others park is due in more than a second: it is found in time, whatever becomes of them. */
const most = 1000
/** How many go in one script. */
const batch = 500
/** Nobody waits longer than this for one answer. */
const patience = 1000

interface Parked {
  readonly tag: string
  readonly held: entries.Held
  readonly notBefore: number
}

export class Delayed {
  readonly #parts: Parts
  readonly #registry: string
  readonly #consumers: string
  readonly #parkSoon: (all: ReadonlyArray<Parked>) => Effect.Effect<void, HubError>
  readonly #consuming = Latch.makeUnsafe(false)
  readonly #sooner = Latch.makeUnsafe(false)
  /** When to look, on the monotonic clock. */
  #next = Number.NEGATIVE_INFINITY
  #signed = Number.NEGATIVE_INFINITY

  constructor(parts: Parts) {
    this.#parts = parts
    this.#registry = parts.keys.key("apium.delayed")
    this.#consumers = parts.keys.key("apium.consumers")
    this.#parkSoon = collecting(batch, (all) => this.#park(all))
  }

  #set(queue: string): string {
    return this.#parts.keys.key(`${queue}.delayed`)
  }

  /** Somebody waits for messages, and will take what comes: from now on this store moves what is due, and the others know of it. */
  consume(): void {
    this.#consuming.openUnsafe()
  }

  /** Those that we hold; where it fails, we still do. */
  postpone(tags: ReadonlyArray<string>, notBefore: number): Effect.Effect<void, HubError> {
    return Effect.suspend(() => {
      const { held } = this.#parts
      if (Number.isNaN(notBefore))
        return Effect.die(new RangeError("A message is postponed until a time, not until NaN"))
      const parked = tags.flatMap((tag): Array<Parked> => {
        const one = held.get(tag)
        if (one === undefined) return []
        held.delete(tag)
        return [{ tag, held: one, notBefore }]
      })
      if (parked.length === 0) return Effect.void
      this.consume()
      return Effect.onError(this.#parkSoon(parked), () =>
        Effect.sync(() => {
          for (const { tag, held: one } of parked) held.set(tag, one)
        })
      )
    })
  }

  #park(all: ReadonlyArray<Parked>): Effect.Effect<void, HubError> {
    const { failing, keys, redis } = this.#parts
    return Effect.gen({ self: this }, function* () {
      const now = yield* Clock.currentTimeMillis
      const sets = new Map<string, string>()
      let soonest = Number.POSITIVE_INFINITY
      const postponed = all.map(({ tag, held: { envelope, queue }, notBefore }): scripts.Postponed => {
        sets.set(queue, this.#set(queue))
        soonest = Math.min(soonest, notBefore)
        const list = keys.queue(queue, envelope.properties.priority ?? 0)
        return { tag, queue, due: notBefore, step: keys.prioritySteps[keys.queueLists(queue).indexOf(list)] ?? 0 }
      })
      yield* failing(redis.eval(scripts.park)(keys.unacked, keys.unackedIndex, this.#registry, sets, now, postponed))
      yield* this.#lookIn(soonest - now - lead)
    })
  }

  #lookIn(milliseconds: number): Effect.Effect<void> {
    return Effect.map(monotonic, (now) => {
      const at = now + Math.min(Math.max(milliseconds, least), most)
      if (at >= this.#next) return
      this.#next = at
      this.#sooner.openUnsafe()
    })
  }

  /** Runs beside the link, as long as it lives; what fails for another reason is tried again. */
  get run(): Effect.Effect<never> {
    const round = Effect.gen({ self: this }, function* () {
      const left = this.#next - (yield* monotonic)
      if (left > 0) {
        this.#sooner.closeUnsafe()
        return yield* Effect.raceFirst(Effect.sleep(left), this.#sooner.await)
      }
      this.#next = Number.POSITIVE_INFINITY
      const wait = yield* Effect.orElseSucceed(this.#look, () => most)
      yield* this.#lookIn(wait)
    })
    return Effect.andThen(this.#consuming.await, Effect.forever(round))
  }

  /** Moves what is due; in how many milliseconds to look again. */
  get #look(): Effect.Effect<number, HubError> {
    const { consumer, failing, gone, lease, redis } = this.#parts
    return Effect.gen({ self: this }, function* () {
      const now = yield* monotonic
      const signs = now - this.#signed >= lease / 3
      if (signs) this.#signed = now
      const life = signs ? lease / 1000 : 0
      const [wait, ...queues] = yield* failing(
        redis.eval(scripts.look)(this.#registry, this.#consumers, consumer, life, lead, signs ? gone : [])
      )
      let some = false
      for (const queue of queues) {
        // One whose list is none keeps back nobody else's.
        if ((yield* Effect.orElseSucceed(this.#move(queue, { dueIn: lead }), () => 0)) > 0) some = true
      }
      return some ? least : Number(wait) < 0 ? most : Number(wait)
    })
  }

  /** How many messages. */
  #move(queue: string, which: scripts.Which): Effect.Effect<number, HubError | Cause.TimeoutError> {
    const { failing, keys, redis, wake } = this.#parts
    const move = redis.eval(scripts.move)
    return Effect.gen({ self: this }, function* () {
      for (let all = 0; ;) {
        const [moved, more] = yield* failing(
          move(this.#registry, this.#set(queue), keys.queueLists(queue), queue, which, keys.prioritySteps)
        ).pipe(Effect.timeout(patience))
        if (moved > 0) wake(queue, moved)
        all += moved
        if (more === 0) return all
      }
    })
  }

  /** How many messages went with the queue. */
  empty(queue: string): Effect.Effect<number, HubError> {
    const { failing, redis } = this.#parts
    return failing(redis.eval(scripts.empty)(this.#registry, this.#set(queue), queue))
  }

  /** The consumer is gone, and if there is no other one gives back all that waits: Python's hold it themselves. */
  get leave(): Effect.Effect<void, HubError | Cause.TimeoutError> {
    const { consumer, failing, redis } = this.#parts
    return Effect.gen({ self: this }, function* () {
      if (!this.#consuming.isOpen()) return
      const queues = yield* failing(redis.eval(scripts.leave)(this.#registry, this.#consumers, consumer)).pipe(
        Effect.timeout(patience)
      )
      for (const queue of queues) {
        yield* Effect.catchTag(this.#move(queue, "all"), "HubError", () => Effect.succeed(0))
      }
    })
  }
}

/** Milliseconds of a clock that nobody sets. */
const monotonic: Effect.Effect<number> = Effect.map(Clock.monotonicTimeNanos, (nanos) => Number(nanos / 1_000_000n))
