/** Stores that never ask again whether there is something. */
import type { HubError } from "@apium/hub/HubError"
import * as Redis from "@apium/transport-redis/node"
import * as RedisStore from "@apium/transport-redis/RedisStore"
import * as RedisUri from "@apium/transport-redis/RedisUri"
import { Clock, Effect } from "effect"
import * as stores from "./stores.ts"

export type Store = RedisStore.RedisStore["store"]
export type Queues = readonly [string, ...Array<string>]

/** No pause is ever over. */
export const standing = Effect.map(Clock.Clock, (clock): Clock.Clock =>
  Object.create(clock, { sleep: { value: () => Effect.never } })
)

/** A store whose own clock stands: it is told by Redis, or waits for ever. */
export const openToldOnly = (url: string) =>
  Effect.gen(function* () {
    const link = yield* Redis.open(RedisUri.parseUnsafe(url))
    return yield* Effect.provideService(RedisStore.make(link), Clock.Clock, yield* standing)
  })

/** Takes and settles, and waits when there is nothing, for ever. */
export const consume = (
  store: Store,
  queues: Queues,
  max: number,
  got: (text: string) => void
): Effect.Effect<never, HubError> =>
  Effect.forever(
    Effect.flatMap(store.take(queues, max), (taken) => {
      if (taken.length === 0) return store.ready(queues)
      for (const one of taken) got(stores.text(one))
      return store.settle(taken.map(({ tag }) => tag))
    })
  )
