/** Messages into their lists. */
import type { HubError } from "@apium/hub/HubError"
import type { VirtualStore } from "@apium/hub/virtual/VirtualStore"
import type { RedisKeys } from "@apium/protocol/kombu/RedisKeys"
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Redis from "effect/persistence/Redis"
import { pushing } from "./batches.ts"
import * as entries from "./entries.ts"
import type { Waiting } from "./Waiting.ts"

export interface Parts {
  readonly clock: Clock.Clock
  readonly redis: Redis.Redis["Service"]
  readonly keys: RedisKeys
  /** `x-message-ttl` of the queues that have one, in milliseconds. */
  readonly timesToLive: ReadonlyMap<string, number>
  readonly waiting: Waiting
  readonly failing: <A>(work: Effect.Effect<A, Redis.RedisError>, key: string) => Effect.Effect<A, HubError>
}

export const putting = ({ clock, failing, keys, redis, timesToLive, waiting }: Parts): VirtualStore["put"] => {
  const push = pushing((list, texts) => {
    waiting.pushing(list, texts.length)
    return Effect.map(failing(redis.send("LPUSH", list, ...texts), list), () => waiting.pushed(list, texts.length))
  })
  return (queue, puts) =>
    Effect.flatMap(
      Effect.try({
        try: () => {
          const lists = new Map<string, Array<string>>()
          for (const put of puts) {
            const list = keys.queue(queue, put.message.properties.priority ?? 0)
            const texts = lists.get(list)
            const life = entries.timeToLive(put.message, timesToLive.get(queue))
            const until = life === undefined ? undefined : clock.currentTimeMillisUnsafe() + life
            const text = entries.encode(put, crypto.randomUUID(), until)
            if (texts === undefined) lists.set(list, [text])
            else texts.push(text)
          }
          return lists
        },
        catch: (error) => error as HubError
      }),
      (lists) =>
        Effect.as(
          // Mostly one: no fiber for it.
          Effect.forEach(lists, ([list, texts]) => push(list, texts), {
            concurrency: lists.size === 1 ? 1 : "unbounded",
            discard: true
          }),
          // Kombu's queues are lists, and a list comes with its first message.
          true
        )
    )
}
