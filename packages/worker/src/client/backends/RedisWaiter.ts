/**
 * Waits for results: each key somebody waits for is subscribed to, and then read, so that nothing comes between. Keys of one turn are one
 * `SUBSCRIBE` and one `MGET`; a key that nobody waits for any more is left. Few keys are read before, too: a `send` that was confirmed may be as late
 * as its result, which is told a round trip sooner then, and by one command in the place of three.
 *
 * ```text
 *   watch ──▶ MGET key ──not final──▶ SUBSCRIBE key ──▶ MGET key ──▶ heard: each state as it is published ──final──▶ UNSUBSCRIBE key
 *                                                          ▲ gap: the connection was away
 * ```
 *
 * With a `Redis` of which no gap is known (any but Apium's own) all keys are read every 5 to 500 ms, and none is subscribed to: effect's
 * clients open a connection for each channel.
 */
import { type DecodeFailed, HubError } from "@apium/hub/HubError"
import type { Listening, Subscriptions } from "@apium/hub/Subscriptions"
import type { ResultMessage } from "@apium/protocol/celery/ResultMessage"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import type * as Redis from "effect/persistence/Redis"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import { closed, hubError, type Retrying } from "./RedisErrors.ts"

/** Keys of one `MGET`: with results of 10 kB it is a reply of 10 MB. */
const most = 1000
/** Keys that are read before they are subscribed to: of more, which are a group's, some have no result yet, and all are read twice. */
const few = 16
/** In milliseconds, between two readings without subscriptions. */
const least = 5
const longest = 500

export interface Watcher {
  readonly tell: (message: ResultMessage) => void
  readonly fail: (error: HubError) => void
}

export interface RedisWaiter {
  /** Tells the state that is stored and every one after it. Returns what ends the watch. */
  readonly watch: (taskId: string, watcher: Watcher) => () => void
}

interface Awaited {
  readonly taskId: string
  /** With the text each was told last, for a key is read again when somebody else begins to wait, and after a gap. */
  readonly watchers: Map<Watcher, string>
  /** How many messages came: what is read meanwhile may be older. */
  heard: number
}

export type Decode = (taskId: string, text: string) => Result.Result<ResultMessage, DecodeFailed>

export const make = Effect.fnUntraced(function* (options: {
  readonly redis: Redis.Redis["Service"]
  readonly subscriptions: Subscriptions["Service"] | undefined
  readonly keyOf: (taskId: string) => string
  readonly decode: Decode
  readonly retrying: Retrying
}): Effect.fn.Return<RedisWaiter, never, Scope.Scope> {
  const { decode, keyOf, redis, retrying, subscriptions } = options
  const awaited = new Map<string, Awaited>()
  const fresh = new Set<string>()
  const left = new Set<string>()
  const asked = Latch.makeUnsafe(false)
  let over: HubError | undefined

  const read = (key: string): void => {
    fresh.add(key)
    asked.openUnsafe()
  }

  const tell = ({ taskId, watchers }: Awaited, text: string): Result.Result<ResultMessage, DecodeFailed> => {
    const message = decode(taskId, text)
    if (Result.isSuccess(message)) {
      for (const [watcher, last] of watchers) {
        if (last === text) continue
        watchers.set(watcher, text)
        watcher.tell(message.success)
      }
    }
    return message
  }

  const fail = ({ watchers }: Awaited, error: HubError): void => {
    for (const watcher of watchers.keys()) watcher.fail(error)
  }

  const listening: Listening | undefined = yield* (
    subscriptions?.open({
      heard: (key, text) => {
        const one = awaited.get(key)
        if (one === undefined) return
        one.heard++
        // What somebody published there is not what is stored.
        if (Result.isFailure(tell(one, text))) read(key)
      },
      gap: () => {
        for (const key of awaited.keys()) read(key)
      }
    }) ?? Effect.succeed(undefined)
  )

  const readAll = (keys: ReadonlyArray<string>): Effect.Effect<void, HubError> =>
    Effect.gen(function* () {
      for (let at = 0; at < keys.length; at += most) {
        const some = keys.slice(at, at + most).flatMap((key) => {
          const one = awaited.get(key)
          return one === undefined ? [] : [{ key, one, heard: one.heard }]
        })
        if (some.length === 0) continue
        const texts = yield* retrying(
          Effect.mapError(redis.send<ReadonlyArray<string | null>>("MGET", ...some.map(({ key }) => key)), hubError)
        )
        for (const [index, { heard, key, one }] of some.entries()) {
          const text = texts[index] ?? null
          if (text === null || awaited.get(key) !== one || one.heard !== heard) continue
          const told = tell(one, text)
          if (Result.isFailure(told)) fail(one, new HubError({ reason: told.failure }))
        }
      }
    })

  const listen = (keys: ReadonlyArray<string>): Effect.Effect<void, HubError> => {
    const left = keys.filter((key) => awaited.has(key))
    return listening === undefined || left.length === 0
      ? Effect.void
      : Effect.andThen(retrying(listening.add(left)), readAll(left))
  }

  const begin = (keys: ReadonlyArray<string>): Effect.Effect<void> =>
    Effect.catch(
      Effect.andThen(
        listening === undefined || keys.length <= few ? readAll(keys) : Effect.void,
        Effect.suspend(() => listen(keys))
      ),
      (error) =>
        Effect.sync(() => {
          for (const key of keys) {
            const one = awaited.get(key)
            if (one !== undefined) fail(one, error)
          }
        })
    )

  const turn = Effect.gen(function* () {
    yield* asked.await
    // Whoever begins to wait in this turn goes along.
    yield* Effect.yieldNow
    asked.closeUnsafe()
    const leaving = [...left].filter((key) => !awaited.has(key))
    const reading = [...fresh].filter((key) => awaited.has(key))
    left.clear()
    fresh.clear()
    if (leaving.length > 0 && listening !== undefined) yield* listening.remove(leaving)
    if (reading.length > 0) yield* begin(reading)
  })

  let pause = least
  const look = Effect.gen(function* () {
    yield* Effect.raceFirst(asked.await, awaited.size === 0 ? Effect.never : Effect.sleep(pause))
    yield* Effect.yieldNow
    pause = asked.isOpen() ? least : Math.min(pause * 2, longest)
    asked.closeUnsafe()
    left.clear()
    fresh.clear()
    const keys = [...awaited.keys()]
    if (keys.length > 0) yield* begin(keys)
  })

  yield* Effect.forkScoped(Effect.forever(listening === undefined ? look : turn))
  yield* Effect.addFinalizer(() =>
    Effect.map(Effect.flip(closed), (error) => {
      over = error
      for (const one of awaited.values()) fail(one, error)
    })
  )

  return {
    watch: (taskId, watcher) => {
      const key = keyOf(taskId)
      const one = awaited.get(key) ?? { taskId, watchers: new Map<Watcher, string>(), heard: 0 }
      awaited.set(key, one)
      one.watchers.set(watcher, "")
      const late = over
      // Not in this moment: it does not know yet how to leave.
      if (late !== undefined) void Promise.resolve().then(() => watcher.fail(late))
      else read(key)
      return () => {
        if (!one.watchers.delete(watcher) || one.watchers.size > 0 || awaited.get(key) !== one) return
        awaited.delete(key)
        left.add(key)
        asked.openUnsafe()
      }
    }
  }
})
