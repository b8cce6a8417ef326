/**
 * What is held stays held, and what nobody holds any more comes back.
 *
 * Every third of a lease a store says that it lives; every third of the visibility timeout it touches the tags it holds, so that no
 * Python worker takes them for forgotten, however long they run; and it looks for what is overdue: held by a dead owner, or
 * untouched for the visibility timeout. Any number of stores may look: a tag is given back by whoever removes it.
 */
import { ConnectionLost, HubError } from "@apium/hub/HubError"
import * as RedisKeys from "@apium/protocol/kombu/RedisKeys"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Redis from "effect/persistence/Redis"
import * as entries from "./entries.ts"
import * as scripts from "./scripts.ts"

export interface Parts {
  readonly redis: Redis.Redis["Service"]
  readonly keys: RedisKeys.RedisKeys
  /** unacked, its index, and the owners. */
  readonly spaces: readonly [unacked: string, index: string, owners: string]
  readonly owner: string
  readonly held: ReadonlyMap<string, entries.Held>
  /** Seconds. */
  readonly visibility: number
  /** Milliseconds. */
  readonly lease: number
  readonly failing: <A>(work: Effect.Effect<A, Redis.RedisError>) => Effect.Effect<A, HubError>
  readonly unheard: (error: HubError) => Effect.Effect<HubError>
}

/** How many overdue messages one look takes with it, in one answer. */
const batch = 100

export class Recovery {
  readonly #parts: Parts
  #touched = Number.NEGATIVE_INFINITY

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** Before anything else: those whose link was lost are dead, and what they held comes back now. */
  begin(dead: Set<string>): Effect.Effect<void, HubError> {
    const { failing, redis, spaces } = this.#parts
    return Effect.gen({ self: this }, function* () {
      const owners = [...dead]
      if (owners.length > 0) {
        yield* failing(redis.eval(scripts.bury)(spaces[2], owners))
        for (const owner of owners) dead.delete(owner)
      }
      yield* this.sweep
    })
  }

  /** Until the link is lost: what fails for another reason is tried again the next time. */
  get run(): Effect.Effect<never> {
    const { lease, unheard, visibility } = this.#parts
    const pause = Math.min(lease, visibility * 1000) / 3
    const silent = new HubError({
      reason: new ConnectionLost({
        cause: "heartbeat",
        text: `Redis did not answer within ${Math.round(lease / 3)} ms`
      })
    })
    const round = Effect.andThen(this.#renew, this.sweep).pipe(
      Effect.timeoutOrElse({ duration: lease / 3, orElse: () => Effect.flatMap(unheard(silent), Effect.fail) }),
      Effect.ignore
    )
    return Effect.forever(Effect.andThen(round, Effect.sleep(pause)))
  }

  get #renew(): Effect.Effect<void, HubError> {
    const { failing, held, lease, owner, redis, spaces, visibility } = this.#parts
    return Effect.gen({ self: this }, function* () {
      const now = yield* Clock.currentTimeMillis
      const due = now - this.#touched >= (visibility * 1000) / 3
      const tags = due ? [...held.keys()] : []
      if (due) this.#touched = now
      for (let at = 0; at === 0 || at < tags.length; at += 1000) {
        yield* failing(redis.eval(scripts.renew)(spaces[1], spaces[2], owner, lease / 1000, tags.slice(at, at + 1000)))
      }
    })
  }

  /** How many messages came back. */
  get sweep(): Effect.Effect<number, HubError> {
    const { failing, redis, spaces, visibility } = this.#parts
    return Effect.gen({ self: this }, function* () {
      let back = 0
      for (;;) {
        const flat = yield* failing(redis.eval(scripts.overdue)(spaces, visibility, batch))
        let moved = 0
        for (let at = 0; at < flat.length; at += 3) {
          moved += yield* this.#recover(flat[at]!, flat[at + 1]!, flat[at + 2]!)
        }
        back += moved
        // Fewer than asked for: that was all. None moved: others move them.
        if (flat.length < batch * 3 || moved === 0) return back
      }
    })
  }

  #recover(tag: string, score: string, entry: string): Effect.Effect<number, HubError> {
    const { failing, keys, redis, spaces } = this.#parts
    return Effect.gen({ self: this }, function* () {
      const setAside = (reason: string) =>
        Effect.as(
          failing(redis.eval(scripts.setAside)(spaces[0], spaces[1], keys.key("unacked.unreadable"), tag, reason, "")),
          0
        )
      const read = entries.unacked(entry)
      if (typeof read === "string") return yield* setAside(read)
      const { exchange, priority, routingKey, text } = read
      const queues = yield* this.#queues(exchange, routingKey)
      if (queues.length === 0) return yield* setAside(`exchange ${exchange} has no queue for ${routingKey}`)
      const lists = queues.map((queue) => keys.queue(queue, priority))
      return yield* failing(redis.eval(scripts.recover)(spaces[0], spaces[1], lists, tag, score, text))
    })
  }

  /** Where kombu would put it: of what went through an exchange it keeps no queue. */
  #queues(exchange: string, routingKey: string): Effect.Effect<ReadonlyArray<string>, HubError> {
    const { failing, keys, redis } = this.#parts
    if (exchange === "") return Effect.succeed([routingKey])
    return Effect.map(failing(redis.send<ReadonlyArray<string>>("SMEMBERS", keys.binding(exchange))), (members) => {
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
    })
  }
}
