/**
 * What is held stays held, and what nobody holds any more comes back; and who was stopped for too long knows that others may have it.
 *
 * Every third of a lease a store says that it lives; every third of the visibility timeout it touches the tags it holds, so that no
 * Python worker takes them for forgotten, however long they run; and it looks for what is overdue: held by a dead owner, or
 * untouched for the visibility timeout. Any number of stores may look: a tag is given back by whoever removes it.
 */
import { ConnectionLost, HubError } from "@apium/hub/HubError"
import * as RedisKeys from "@apium/protocol/kombu/RedisKeys"
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import type * as Redis from "effect/persistence/Redis"
import * as entries from "./entries.ts"
import * as scripts from "./scripts.ts"
import { expectTypes, renew } from "./scripts/leases.ts"

export const takenBack = Metric.counter("apium_redis_taken_back", {
  description: "Messages that somebody else restored while we held them",
  incremental: true
})

export interface Parts {
  readonly clock: Clock.Clock
  readonly redis: Redis.Redis["Service"]
  readonly keys: RedisKeys.RedisKeys
  /** unacked, its index, and the owners. */
  readonly spaces: readonly [unacked: string, index: string, owners: string]
  readonly owner: string
  readonly held: Map<string, entries.Held>
  /** Seconds. */
  readonly visibility: number
  /** Milliseconds. */
  readonly lease: number
  readonly failing: <A>(work: Effect.Effect<A, Redis.RedisError>) => Effect.Effect<A, HubError>
  readonly unheard: (error: HubError) => Effect.Effect<HubError>
  /** So many messages are in this queue that were not. */
  readonly wake: (queue: string, count: number) => void
}

const heartbeat = (text: string): HubError => new HubError({ reason: new ConnectionLost({ cause: "heartbeat", text }) })

/** How many overdue messages one look takes with it, in one answer. */
const batch = 100

/**
 * Both clocks, in milliseconds: the monotonic one of Linux stands while the machine sleeps, and the wall clock is set by people. What
 * is over by either may be over.
 */
interface Moment {
  readonly monotonic: number
  readonly wall: number
}

export class Recovery {
  readonly #parts: Parts
  /** When the renewals were sent that Redis had last: of the lease, and of the tags. */
  #renewed: Moment
  #touched: Moment
  #first = true
  /** Asks, and waits for a third of a lease at most. */
  readonly #asking: Parts["failing"]

  constructor(parts: Parts) {
    this.#parts = parts
    const limit = parts.lease / 3
    const silent = heartbeat(`Redis did not answer within ${Math.round(limit)} ms`)
    this.#asking = (work) =>
      Effect.timeoutOrElse(parts.failing(work), {
        duration: limit,
        orElse: () => Effect.flatMap(parts.unheard(silent), Effect.fail)
      })
    // Nothing is held by now, and what will be is from then on.
    this.#renewed = this.#touched = this.#now()
  }

  #now(): Moment {
    const { clock } = this.#parts
    return { monotonic: Number(clock.monotonicTimeNanosUnsafe()) / 1e6, wall: clock.currentTimeMillisUnsafe() }
  }

  /** Whether nobody can have taken what we hold: asked before each message is begun, answered without asking Redis. */
  get sure(): boolean {
    const { lease, visibility } = this.#parts
    const now = this.#now()
    const since = ({ monotonic, wall }: Moment) => Math.max(now.monotonic - monotonic, now.wall - wall)
    return since(this.#renewed) < lease && since(this.#touched) < visibility * 1000
  }

  /** What a link is lost with that was not renewed in time. */
  get overdue(): HubError {
    return heartbeat(
      `this process was not heard of for longer than its lease of ${this.#parts.lease} ms: others may have what it held`
    )
  }

  /** Before anything else: those whose link was lost are dead, and what they held comes back now. */
  begin(dead: Set<string>): Effect.Effect<void, HubError> {
    const { redis, spaces } = this.#parts
    return Effect.gen({ self: this }, function* () {
      yield* this.#asking(
        redis.eval(expectTypes)([
          [spaces[0], "hash"],
          [spaces[1], "zset"],
          [spaces[2], "zset"]
        ])
      )
      const owners = [...dead]
      if (owners.length > 0) {
        yield* this.#asking(redis.eval(scripts.bury)(spaces[2], owners))
        for (const owner of owners) dead.delete(owner)
      }
      yield* this.sweep
    })
  }

  /**
   * Until the link is lost: what fails for another reason is tried again the next time. A life is said beside the looking, for to give
   * back what somebody held who had 100,000 takes longer than a lease.
   */
  get run(): Effect.Effect<never> {
    const { lease, visibility } = this.#parts
    const pause = Math.min(lease, visibility * 1000) / 3
    const forever = (round: Effect.Effect<unknown, HubError>): Effect.Effect<never> =>
      Effect.forever(Effect.andThen(Effect.ignore(round), Effect.sleep(pause)))
    return Effect.raceFirst(forever(this.#renew), forever(this.sweep))
  }

  get #renew(): Effect.Effect<void, HubError> {
    const { held, lease, owner, redis, spaces, unheard, visibility } = this.#parts
    return Effect.gen({ self: this }, function* () {
      const now = this.#now()
      const due = this.#first || now.monotonic - this.#touched.monotonic >= (visibility * 1000) / 3
      const tags = due ? [...held.keys()] : []
      for (let at = 0; at === 0 || at < tags.length; at += 1000) {
        const some = tags.slice(at, at + 1000)
        const [lapsed, ...gone] = yield* this.#asking(
          redis.eval(renew)(spaces[1], spaces[2], owner, lease / 1000, some)
        )
        if (lapsed === "1" && at === 0 && !this.#first) {
          return yield* Effect.flatMap(unheard(this.overdue), Effect.fail)
        }
        // Those that were settled on the way are not in `held` any more.
        const taken = gone.filter((tag) => held.delete(tag))
        if (taken.length > 0) yield* Metric.update(takenBack, taken.length)
      }
      this.#first = false
      this.#renewed = now
      if (due) this.#touched = now
    })
  }

  /** How many messages came back. */
  get sweep(): Effect.Effect<number, HubError> {
    const { redis, spaces, visibility } = this.#parts
    return Effect.gen({ self: this }, function* () {
      let back = 0
      for (;;) {
        const flat = yield* this.#asking(redis.eval(scripts.overdue)(spaces, visibility, batch))
        let moved = 0
        for (let at = 0; at < flat.length; at += 3) {
          moved += yield* this.#recover(flat[at]!, flat[at + 1]!, flat[at + 2]!).pipe(
            // One whose list is none keeps back nobody else's. It stays where it is.
            Effect.catchIf(
              ({ reason }) => reason._tag === "ChannelClosed",
              (error) => Effect.as(Effect.logWarning(`${flat[at]} cannot be given back: ${error.message}`), 0)
            )
          )
        }
        back += moved
        // Fewer than asked for: that was all. None moved: others move them.
        if (flat.length < batch * 3 || moved === 0) return back
      }
    })
  }

  #recover(tag: string, score: string, entry: string): Effect.Effect<number, HubError> {
    const { keys, redis, spaces, wake } = this.#parts
    return Effect.gen({ self: this }, function* () {
      const setAside = (reason: string) =>
        Effect.as(
          this.#asking(
            redis.eval(scripts.setAside)(spaces[0], spaces[1], keys.key("unacked.unreadable"), tag, reason, "")
          ),
          0
        )
      const read = entries.unacked(entry)
      if (typeof read === "string") return yield* setAside(read)
      const { exchange, priority, routingKey, text } = read
      const queues = yield* this.#queues(exchange, routingKey)
      if (queues.length === 0) return yield* setAside(`exchange ${exchange} has no queue for ${routingKey}`)
      const lists = queues.map((queue) => keys.queue(queue, priority))
      const back = yield* this.#asking(redis.eval(scripts.recover)(spaces[0], spaces[1], lists, tag, score, text))
      if (back > 0) for (const queue of queues) wake(queue, 1)
      return back
    })
  }

  /** Where kombu would put it: of what went through an exchange it keeps no queue. */
  #queues(exchange: string, routingKey: string): Effect.Effect<ReadonlyArray<string>, HubError> {
    const { keys, redis } = this.#parts
    if (exchange === "") return Effect.succeed([routingKey])
    return Effect.map(
      this.#asking(redis.send<ReadonlyArray<string>>("SMEMBERS", keys.binding(exchange))),
      (members) => {
        const queues = new Set<string>()
        for (const text of members) {
          const member = keys.decodeBinding(text)
          if (member === undefined) continue
          const matches =
            member.pattern === ""
              ? member.routingKey === routingKey
              : RedisKeys.matchesTopic(member.routingKey, routingKey)
          if (matches) queues.add(member.queue)
        }
        return [...queues]
      }
    )
  }
}
