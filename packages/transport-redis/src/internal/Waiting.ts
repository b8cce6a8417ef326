/**
 * Waiting for messages without taking any: `BLMOVE list list RIGHT RIGHT` gives the next message of a list and leaves it where it is,
 * so whoever dies behind it had nothing. It watches one list, that of priority 0 of the queue that was busy last, on a connection of
 * its own; the lengths of all lists that somebody waits for are asked between, every 5 to 250 ms.
 *
 * A waiter may be woken for nothing, and one that leaves is missed by nobody: what is there is found again.
 */
import { ConnectionLost, HubError } from "@apium/hub/HubError"
import type { RedisKeys } from "@apium/protocol/kombu/RedisKeys"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import type * as Redis from "effect/persistence/Redis"
import * as errors from "./errors.ts"
import * as scripts from "./scripts.ts"

interface Waiter {
  readonly queues: ReadonlyArray<string>
  readonly resume: (effect: Effect.Effect<void, HubError>) => void
}

/** In milliseconds. */
const least = 5
const most = 250
/** How much later than asked an answer may come before the link counts as dead. */
const grace = 2000

export class Waiting {
  readonly #redis: Redis.Redis["Service"]
  readonly #keys: RedisKeys
  readonly #waiters = new Set<Waiter>()
  readonly #asked = Latch.makeUnsafe(false)
  #failed: HubError | undefined
  #busy = ""
  /** Redis before 6.2 has no BLMOVE. */
  #peeks = true

  constructor(redis: Redis.Redis["Service"], keys: RedisKeys) {
    this.#redis = redis
    this.#keys = keys
  }

  /** `already` is asked in the moment in which the wait would begin. */
  ready(queues: ReadonlyArray<string>, already: () => boolean): Effect.Effect<void, HubError> {
    return Effect.callback((resume) => {
      if (this.#failed !== undefined) {
        resume(Effect.fail(this.#failed))
        return
      }
      if (already()) {
        resume(Effect.void)
        return
      }
      const waiter: Waiter = { queues, resume }
      this.#waiters.add(waiter)
      this.#asked.openUnsafe()
      return Effect.sync(() => void this.#waiters.delete(waiter))
    })
  }

  /** Wakes so many who wait for this queue. */
  wake(queue: string, count: number): void {
    for (const waiter of this.#waiters) {
      if (count <= 0) return
      if (!waiter.queues.includes(queue)) continue
      this.#waiters.delete(waiter)
      waiter.resume(Effect.void)
      count--
    }
  }

  /** Whoever waits, and will wait, fails with this. */
  fail(error: HubError): void {
    this.#failed = error
    this.#failAll(error)
  }

  #failAll(error: HubError): void {
    const waiters = [...this.#waiters]
    this.#waiters.clear()
    for (const waiter of waiters) waiter.resume(Effect.fail(error))
  }

  /** Runs beside the link, as long as it lives. A failure of one round is its waiters'. */
  run(failed: (error: HubError) => Effect.Effect<HubError>): Effect.Effect<never> {
    let pause = least
    const round = Effect.gen({ self: this }, function* () {
      if (this.#waiters.size === 0) {
        this.#asked.closeUnsafe()
        pause = least
        yield* this.#asked.await
      }
      const queues = [...new Set([...this.#waiters].flatMap((waiter) => waiter.queues))]
      if (yield* this.#look(queues)) pause = least
      const left = [...this.#waiters].flatMap((waiter) => waiter.queues)
      if (left.length === 0) return
      yield* this.#peek(this.#keys.queue(left.includes(this.#busy) ? this.#busy : left[0]!), pause)
      pause = Math.min(pause * 2, most)
    })
    return Effect.forever(
      Effect.catch(round, (error) =>
        Effect.andThen(
          Effect.flatMap(failed(error), (error) => Effect.sync(() => this.#failAll(error))),
          Effect.sleep(most)
        )
      )
    )
  }

  /** Whether there was something for anybody. */
  #look(queues: ReadonlyArray<string>): Effect.Effect<boolean, HubError> {
    const lists = queues.map((queue) => this.#keys.queueLists(queue))
    return Effect.map(Effect.mapError(this.#redis.eval(scripts.sizes)(lists.flat()), errors.hubError), (sizes) => {
      let at = 0
      let found = false
      for (const [index, queue] of queues.entries()) {
        let count = 0
        for (const _ of lists[index]!) count += sizes[at++]!
        if (count === 0) continue
        found = true
        this.#busy = queue
        this.wake(queue, count)
      }
      return found
    })
  }

  #peek(list: string, pause: number): Effect.Effect<void, HubError> {
    if (!this.#peeks) return Effect.sleep(pause)
    return Effect.scoped(
      Effect.flatMap(this.#redis.reserve, ({ send }) =>
        send("BLMOVE", list, list, "RIGHT", "RIGHT", String(pause / 1000))
      )
    ).pipe(
      Effect.asVoid,
      Effect.catch((error) => {
        if (!errors.textOf(error.cause).startsWith("ERR unknown command")) return Effect.fail(errors.hubError(error))
        this.#peeks = false
        return Effect.sleep(pause)
      }),
      Effect.timeoutOrElse({
        duration: pause + grace,
        orElse: () =>
          Effect.fail(
            new HubError({
              reason: new ConnectionLost({ cause: "heartbeat", text: `Redis did not answer within ${grace} ms` })
            })
          )
      })
    )
  }
}
