/**
 * Which queues are bound to which exchange: kombu's sets `_kombu.binding.<exchange>`, shared with everybody.
 *
 * Somebody may delete such a set, Redis may evict it, FLUSHALL takes all: messages would be routed nowhere and nobody would know. So
 * the sets that we added to are looked for every second, and when one is not there our own members are added again: at once where a
 * publish finds that it is gone. A set that is there is left as it is, for whoever took a member out of it meant to.
 */
import type { Exchange } from "@apium/hub/Exchange"
import type { HubError } from "@apium/hub/HubError"
import type { VirtualBinding } from "@apium/hub/virtual/VirtualStore"
import * as RedisKeys from "@apium/protocol/kombu/RedisKeys"
import * as Effect from "effect/Effect"
import type * as Redis from "effect/persistence/Redis"
import { addMissing } from "./scripts/bindings.ts"

/** What the links of one transport added: by exchange, members with their queue. */
export interface Bound {
  readonly added: Map<string, Map<string, string>>
  /** Members of queues that went with their link, which could not be taken out any more: the next link does. */
  readonly left: Map<string, Set<string>>
}

export const bound = (): Bound => ({ added: new Map(), left: new Map() })

type Failing = <A>(work: Effect.Effect<A, Redis.RedisError>, key?: string) => Effect.Effect<A, HubError>

export class Bindings {
  readonly #redis: Redis.Redis["Service"]
  readonly #keys: RedisKeys.RedisKeys
  readonly #bound: Bound
  readonly #failing: Failing

  constructor(redis: Redis.Redis["Service"], keys: RedisKeys.RedisKeys, bound: Bound, failing: Failing) {
    this.#redis = redis
    this.#keys = keys
    this.#bound = bound
    this.#failing = failing
  }

  #member(type: string, { queue, routingKey }: Pick<VirtualBinding, "queue" | "routingKey">): string {
    const pattern = type === "topic" ? RedisKeys.topicPattern(routingKey) : ""
    return this.#keys.encodeBinding({ queue, routingKey, pattern })
  }

  #send<A>(command: string, exchange: string, ...args: ReadonlyArray<string>): Effect.Effect<A, HubError> {
    const key = this.#keys.binding(exchange)
    return this.#failing(this.#redis.send<A>(command, key, ...args), key)
  }

  add(exchange: Exchange, binding: VirtualBinding): Effect.Effect<void, HubError> {
    return Effect.suspend(() => {
      const member = this.#member(exchange.type, binding)
      const own = this.#bound.added.get(exchange.name) ?? new Map<string, string>()
      this.#bound.added.set(exchange.name, own.set(member, binding.queue))
      this.#bound.left.get(exchange.name)?.delete(member)
      return Effect.asVoid(this.#send("SADD", exchange.name, member))
    })
  }

  remove(exchange: string, binding: VirtualBinding): Effect.Effect<void, HubError> {
    return Effect.suspend(() => {
      // Of what type the exchange was is not asked: one of the two is not there.
      const members = [this.#member("direct", binding), this.#member("topic", binding)]
      for (const member of members) this.#forget(exchange, member)
      return Effect.asVoid(this.#send("SREM", exchange, ...members))
    })
  }

  #forget(exchange: string, member: string): void {
    const own = this.#bound.added.get(exchange)
    own?.delete(member)
    if (own?.size === 0) this.#bound.added.delete(exchange)
  }

  /** A queue is gone, and what bound it. */
  removeQueue(queue: string): Effect.Effect<void, HubError> {
    return Effect.suspend(() => {
      for (const [exchange, own] of this.#bound.added) {
        for (const [member, of] of own) {
          if (of !== queue) continue
          this.#forget(exchange, member)
          const left = this.#bound.left.get(exchange) ?? new Set<string>()
          this.#bound.left.set(exchange, left.add(member))
        }
      }
      return this.sweep
    })
  }

  /** Takes out what is left of queues that are gone. */
  get sweep(): Effect.Effect<void, HubError> {
    const { left } = this.#bound
    return Effect.forEach(
      [...left],
      ([exchange, members]) =>
        members.size === 0
          ? Effect.sync(() => left.delete(exchange))
          : Effect.tap(this.#send("SREM", exchange, ...members), () => Effect.sync(() => left.delete(exchange))),
      { discard: true }
    )
  }

  list(exchange: string): Effect.Effect<ReadonlyArray<VirtualBinding>, HubError> {
    const members = this.#send<ReadonlyArray<string>>("SMEMBERS", exchange)
    return Effect.map(
      Effect.flatMap(members, (found) =>
        found.length === 0 && this.#bound.added.has(exchange)
          ? Effect.andThen(this.heal, members)
          : Effect.succeed(found)
      ),
      (members) =>
        members.flatMap((text) => {
          const read = this.#keys.decodeBinding(text)
          return read === undefined ? [] : [{ queue: read.queue, routingKey: read.routingKey, arguments: {} }]
        })
    )
  }

  /** Whether one of these exchanges knows the queue. */
  knows(queue: string, exchanges: Iterable<string>): Effect.Effect<boolean, HubError> {
    return Effect.gen({ self: this }, function* () {
      for (const exchange of exchanges) {
        if ((yield* this.list(exchange)).some((binding) => binding.queue === queue)) return true
      }
      return false
    })
  }

  /** Adds our members to the sets that are gone. */
  get heal(): Effect.Effect<void, HubError> {
    return Effect.suspend(() => {
      const own = [...this.#bound.added].map(([exchange, members]) => ({
        key: this.#keys.binding(exchange),
        members: [...members.keys()]
      }))
      if (own.length === 0) return Effect.void
      const keys = own.map(({ key }) => key)
      return Effect.flatMap(this.#failing(this.#redis.send<number>("EXISTS", ...keys)), (there) =>
        there === keys.length ? Effect.void : this.#failing(this.#redis.eval(addMissing)(own))
      )
    })
  }

  /** Beside the link, as long as it lives; what fails is tried again. */
  get run(): Effect.Effect<never> {
    return Effect.forever(Effect.andThen(Effect.sleep("1 second"), Effect.ignore(this.heal)))
  }
}
