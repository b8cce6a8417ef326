/**
 * Fanout, which on Redis is PUBLISH and PSUBSCRIBE (kombu's `_put_fanout` and `_subscribe`): to whoever listens at that moment. A queue
 * listens from the first time somebody takes from it, until it is gone or its link is; what it hears waits here, in memory.
 *
 * 10,000 messages wait per queue at most; those that come then are dropped and counted, as is what cannot be read.
 */
import type { HubError } from "@apium/hub/HubError"
import type { StoredMessage } from "@apium/hub/virtual/VirtualStore"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Metric from "effect/Metric"
import type { RedisError } from "effect/persistence/Redis"
import * as Scope from "effect/Scope"
import * as entries from "./entries.ts"

export type Listen = (pattern: string, heard: (text: string) => void) => Effect.Effect<void, RedisError, Scope.Scope>

/** Channel patterns by queue: what is bound to fanout exchanges, on whatever link. */
export type Fanouts = Map<string, Set<string>>

export const dropped = Metric.counter("apium_redis_fanout_dropped", {
  description: "Fanout messages that came to a queue that was full, or could not be read",
  incremental: true
})

/** What is published in such a gap is heard by nobody: kombu loses it as well, and does not say. */
export const gaps = Metric.counter("apium_redis_fanout_gaps", {
  description: "Subscriptions of queues to fanout exchanges that were lost with their link, until the next one",
  incremental: true
})

const most = 10_000

interface Heard {
  readonly tag: string
  readonly queue: string
  readonly envelope: entries.Held["envelope"]
  readonly redelivered: boolean
  readonly deliveryCount: number
}

interface Ear {
  readonly waiting: Array<Heard>
  /** The subscriptions, by their pattern. */
  readonly open: Map<string, Scope.Closeable>
}

export class Ears {
  readonly #listen: Listen
  readonly #fanouts: Fanouts
  readonly #failing: <A>(work: Effect.Effect<A, RedisError>) => Effect.Effect<A, HubError>
  readonly #wake: (queue: string) => void
  readonly #ears = new Map<string, Ear>()
  readonly #held = new Map<string, Heard>()
  #count = 0

  constructor(
    listen: Listen,
    fanouts: Fanouts,
    failing: <A>(work: Effect.Effect<A, RedisError>) => Effect.Effect<A, HubError>,
    wake: (queue: string) => void
  ) {
    this.#listen = listen
    this.#fanouts = fanouts
    this.#failing = failing
    this.#wake = wake
  }

  /** Listens to what the queue is bound to by now, and to nothing else. The scope is the link's. */
  follow(queue: string, scope: Scope.Scope): Effect.Effect<void, HubError> {
    const wanted = this.#fanouts.get(queue)
    const ear = this.#ears.get(queue)
    if (wanted === undefined) return ear === undefined ? Effect.void : this.forget(queue)
    if (ear !== undefined && ear.open.size === wanted.size && [...wanted].every((one) => ear.open.has(one))) {
      return Effect.void
    }
    return Effect.gen({ self: this }, function* () {
      const { open } = ear ?? this.#make(queue)
      for (const [pattern, own] of open) {
        if (wanted.has(pattern)) continue
        open.delete(pattern)
        yield* Scope.close(own, Exit.void)
      }
      for (const pattern of wanted) {
        if (open.has(pattern)) continue
        const own = yield* Scope.fork(scope)
        open.set(pattern, own)
        yield* this.#failing(
          Scope.provide(
            this.#listen(pattern, (text) => this.#hear(queue, text)),
            own
          )
        ).pipe(
          Effect.onError((cause) => {
            open.delete(pattern)
            return Scope.close(own, Exit.failCause(cause))
          })
        )
      }
    })
  }

  #make(queue: string): Ear {
    const ear: Ear = { waiting: [], open: new Map() }
    this.#ears.set(queue, ear)
    return ear
  }

  #hear(queue: string, text: string): void {
    const ear = this.#ears.get(queue)
    if (ear === undefined) return
    const tag = `fanout:${this.#count++}`
    const { held } = entries.read(queue, tag, text)
    if (held === undefined || ear.waiting.length >= most) {
      Effect.runSync(Metric.update(dropped, 1))
      return
    }
    ear.waiting.push({ tag, queue, envelope: held.envelope, redelivered: false, deliveryCount: 0 })
    this.#wake(queue)
  }

  /** Whether one of these has something to take. */
  any(queues: ReadonlyArray<string>): boolean {
    return this.#ears.size > 0 && queues.some((queue) => this.size(queue) > 0)
  }

  size(queue: string): number {
    return this.#ears.get(queue)?.waiting.length ?? 0
  }

  /** `now`: milliseconds since the epoch. */
  take(queues: ReadonlyArray<string>, max: number, now: number): ReadonlyArray<StoredMessage> {
    const taken: Array<StoredMessage> = []
    for (const queue of queues) {
      for (const heard of this.#ears.get(queue)?.waiting.splice(0, max - taken.length) ?? []) {
        this.#held.set(heard.tag, heard)
        const { deliveryCount, redelivered } = heard
        taken.push({ ...entries.stored(heard.tag, heard, now), deliveryCount, redelivered })
      }
    }
    return taken
  }

  /** Whether it is one of ours, which nobody else has. */
  has(tag: string): boolean {
    return this.#held.has(tag)
  }

  /** The link is lost, and nobody listens. */
  lost(): void {
    let count = 0
    for (const { open } of this.#ears.values()) count += open.size
    if (count > 0) Effect.runSync(Metric.update(gaps, count))
  }

  /** Whether it was one of ours. */
  settle(tag: string): boolean {
    return this.#held.delete(tag)
  }

  /** Whether it was one of ours. */
  restore(tag: string, near: boolean, counted: boolean): boolean {
    const heard = this.#held.get(tag)
    if (heard === undefined) return false
    this.#held.delete(tag)
    const again = { ...heard, redelivered: true, deliveryCount: heard.deliveryCount + (counted ? 1 : 0) }
    const waiting = this.#ears.get(heard.queue)?.waiting
    if (near) waiting?.unshift(again)
    else waiting?.push(again)
    this.#wake(heard.queue)
    return true
  }

  /** How many waited. */
  purge(queue: string): number {
    return this.#ears.get(queue)?.waiting.splice(0).length ?? 0
  }

  forget(queue: string): Effect.Effect<void> {
    return Effect.suspend(() => {
      const ear = this.#ears.get(queue)
      this.#ears.delete(queue)
      for (const heard of this.#held.values()) if (heard.queue === queue) this.#held.delete(heard.tag)
      return Effect.forEach([...(ear?.open.values() ?? [])], (own) => Scope.close(own, Exit.void), { discard: true })
    })
  }
}
