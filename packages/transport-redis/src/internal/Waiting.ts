/**
 * Waiting for messages without taking any, and without a connection of its own: Redis says when a list changes that we asked it to watch
 * (`CLIENT TRACKING`, Redis 6). A queue is quiet when its lists were not there as they began to be watched, and is until one of them is
 * said to have changed.
 *
 * A change is said once, and to others: of what this link did itself nobody tells us (NOLOOP; otherwise each message of a claim would),
 * so whoever puts something back into a queue calls `wake`. It may be read before the answer that it came behind: what was loud
 * since the question was sent is not made quiet by it.
 *
 * Not what a script reads is watched (OPTIN): Redis 7.0 notes all keys of a script for each of its reads, which for a claim from 50 queues is
 * 40,000 times, and tells of a busy queue at each claim.
 *
 * While somebody waits the lists are asked for once a second, which shows that Redis lives, and finds what was not told. Where there is
 * no tracking they are asked for every 5 to 250 ms.
 *
 * One waiter is woken for a change, and the next one when his claim left something. He may be woken for nothing.
 */
import { ConnectionLost, HubError } from "@apium/hub/HubError"
import type { RedisKeys } from "@apium/protocol/kombu/RedisKeys"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import type { RedisError } from "effect/persistence/Redis"
import * as errors from "./errors.ts"

/** How many of these keys there are. */
export type Watch = (keys: ReadonlyArray<string>) => Effect.Effect<number, RedisError>

interface Waiter {
  readonly queues: ReadonlyArray<string>
  readonly resume: (effect: Effect.Effect<void, HubError>) => void
}

interface Queue {
  /** How often it became loud. */
  changes: number
  /** `true`: nothing was there, and nothing was told since. `undefined`: it was emptied, or nobody has looked. */
  quiet: boolean | undefined
}

/** In milliseconds, without tracking. */
const least = 5
const most = 250
/** In milliseconds, with it. */
const heartbeat = 1000
/** How late an answer may be before the link counts as dead: in steps, of which one is over when this process itself was busy for longer. */
const grace = 2000
const steps = 4

const silent = new HubError({
  reason: new ConnectionLost({ cause: "heartbeat", text: `Redis did not answer within ${grace} ms` })
})

export class Waiting {
  readonly #keys: RedisKeys
  readonly #queues = new Map<string, Queue>()
  /** The queues by their lists. */
  readonly #lists = new Map<string, string>()
  readonly #waiters = new Set<Waiter>()
  /** Open while somebody waits. */
  readonly #some = Latch.makeUnsafe(false)
  /** Open while somebody waits for a queue that is not watched. */
  readonly #unseen = Latch.makeUnsafe(false)
  #failed: HubError | undefined

  constructor(keys: RedisKeys) {
    this.#keys = keys
  }

  #of(name: string): Queue {
    let queue = this.#queues.get(name)
    if (queue === undefined) {
      queue = { changes: 0, quiet: undefined }
      this.#queues.set(name, queue)
      for (const list of this.#keys.queueLists(name)) this.#lists.set(list, name)
    }
    return queue
  }

  /** Before lists are read: what `claimed` is told afterwards. */
  reading(queues: ReadonlyArray<string>): ReadonlyArray<number> {
    return queues.map((queue) => this.#of(queue).changes)
  }

  /** So many were taken, and their lists were read to their ends, or there is more. */
  claimed(queues: ReadonlyArray<string>, before: ReadonlyArray<number>, count: number, ended: boolean): void {
    for (const [index, name] of queues.entries()) {
      const queue = this.#of(name)
      if (!ended || queue.changes !== before[index]) {
        queue.quiet = false
        if (!ended) this.#resume(name, 1)
      } else if (count > 0 || queue.quiet !== true) {
        // What we take ourselves ends the watch, and is not told: others may wait still.
        queue.quiet = undefined
        if (this.#waiters.size > 0) this.#unseen.openUnsafe()
      }
    }
  }

  /** The queue is gone, and so is what is known of it. */
  forget(queue: string): void {
    if (!this.#queues.delete(queue)) return
    for (const list of this.#keys.queueLists(queue)) this.#lists.delete(list)
  }

  /** Redis says so; `undefined`: of everything, as behind a FLUSHALL. */
  changed(list: string | undefined): void {
    if (list === undefined) for (const queue of this.#queues.keys()) this.wake(queue, 1)
    else this.pushing(list, 1)
  }

  /**
   * So many messages are pushed by the next command of this link: who is woken now claims right behind it, and not after those who only
   * looked in again meanwhile.
   */
  pushing(list: string, count: number): void {
    const queue = this.#lists.get(list)
    if (queue !== undefined) this.wake(queue, count)
  }

  /** They are there; a claim that went before them after all has seen nothing of them. */
  pushed(list: string, count: number): void {
    const queue = this.#lists.get(list)
    if (queue !== undefined && this.#queues.get(queue)?.quiet === true) this.wake(queue, count)
  }

  /** There is something in this queue: wakes so many who wait for it. */
  wake(queue: string, count: number): void {
    const known = this.#queues.get(queue)
    if (known === undefined) return
    known.changes++
    known.quiet = false
    this.#resume(queue, count)
  }

  /** Who was woken leaves without taking. */
  pass(queues: ReadonlyArray<string>): void {
    for (const queue of queues) if (this.#queues.get(queue)?.quiet === false) this.#resume(queue, 1)
  }

  #resume(queue: string, count: number): void {
    for (const waiter of this.#waiters) {
      if (count <= 0) return
      if (!waiter.queues.includes(queue)) continue
      this.#waiters.delete(waiter)
      waiter.resume(Effect.void)
      count--
    }
  }

  /** `already` is asked in the moment in which the wait would begin. */
  ready(queues: ReadonlyArray<string>, already: () => boolean): Effect.Effect<void, HubError> {
    return Effect.callback((resume) => {
      if (this.#failed !== undefined) {
        resume(Effect.fail(this.#failed))
        return
      }
      const quiet = new Set(queues.map((queue) => this.#of(queue).quiet))
      if (already() || quiet.has(false)) {
        resume(Effect.void)
        return
      }
      const waiter: Waiter = { queues, resume }
      this.#waiters.add(waiter)
      this.#some.openUnsafe()
      if (quiet.has(undefined)) this.#unseen.openUnsafe()
      return Effect.sync(() => void this.#waiters.delete(waiter))
    })
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
  run(watch: Watch, tracked: boolean, failed: (error: HubError) => Effect.Effect<HubError>): Effect.Effect<never> {
    const [soonest, latest] = tracked ? [heartbeat, heartbeat] : [least, most]
    let pause = soonest
    const ask = Effect.gen({ self: this }, function* () {
      if (this.#waiters.size === 0) {
        this.#some.closeUnsafe()
        pause = soonest
        yield* this.#some.await
      }
      yield* Effect.sleep(pause)
      pause = (yield* this.#look(watch, () => true)) ? soonest : Math.min(pause * 2, latest)
    })
    const begin = Effect.andThen(
      this.#unseen.await,
      Effect.suspend(() => {
        this.#unseen.closeUnsafe()
        return this.#look(watch, (queue) => this.#of(queue).quiet === undefined)
      })
    )
    const forever = <A>(round: Effect.Effect<A, HubError>): Effect.Effect<never> =>
      Effect.forever(
        Effect.catch(round, (error) =>
          Effect.andThen(
            Effect.flatMap(failed(error), (error) => Effect.sync(() => this.#failAll(error))),
            Effect.sleep(most)
          )
        )
      )
    return Effect.raceFirst(forever(ask), forever(begin))
  }

  /** Whether there was something for anybody who waits for one of these. */
  #look(watch: Watch, wanted: (queue: string) => boolean): Effect.Effect<boolean, HubError> {
    return Effect.suspend(() => {
      const queues = [...new Set([...this.#waiters].flatMap((waiter) => waiter.queues))].filter(wanted)
      if (queues.length === 0) return Effect.succeed(false)
      const before = this.reading(queues)
      const seen = (index: number, lists: number): void => {
        const queue = this.#of(queues[index]!)
        if (lists === 0) queue.quiet = queue.changes === before[index]
        else {
          queue.quiet = false
          this.#resume(queues[index]!, 1)
        }
      }
      const lists = queues.map((queue) => this.#keys.queueLists(queue))
      return watch(lists.flat()).pipe(
        Effect.flatMap((count) => {
          if (count > 0 && queues.length > 1) {
            return Effect.forEach(lists, (own, index) => Effect.map(watch(own), (count) => seen(index, count)), {
              concurrency: "unbounded",
              discard: true
            }).pipe(Effect.as(true))
          }
          for (const index of queues.keys()) seen(index, count)
          return Effect.succeed(count > 0)
        }),
        Effect.mapError((error) => errors.hubError(error)),
        Effect.raceFirst(
          Effect.andThen(Effect.repeat(Effect.sleep(grace / steps), { times: steps - 1 }), Effect.fail(silent))
        )
      )
    })
  }
}
