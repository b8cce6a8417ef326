/** For how long what is held went without a renewal: a test of who gives back what is overdue says nothing when somebody stood still. */
import * as Redis from "@apium/transport-redis/node"
import * as RedisUri from "@apium/transport-redis/RedisUri"
import { Effect, Fiber } from "effect"
import { print } from "../../../../test/support/Figures.ts"
import { Redis as Server } from "../../../../test/support/Redis.ts"

/** Redis' own clock, and the age of the oldest that is held, in milliseconds. */
const oldest = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local found = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
return {now, #found == 0 and 0 or math.floor(now - found[2] * 1000)}`

/** The value, and the milliseconds that nothing held was older than while it was made: between two looks it may have been. */
const withLapse = <A, E, R>(work: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const server = yield* Server
    const { redis } = yield* Redis.open(RedisUri.parseUnsafe(server.url()))
    let lapse = 0
    let last: readonly [at: number, age: number] | undefined
    const look = Effect.match(redis.send<readonly [number, number]>("EVAL", oldest, "1", "unacked_index"), {
      // A Redis that does not answer renews nothing.
      onFailure: () => void (lapse = Number.POSITIVE_INFINITY),
      onSuccess: ([at, age]) => {
        if (last !== undefined) lapse = Math.max(lapse, last[1] + at - last[0])
        last = [at, age]
      }
    })
    yield* look
    const looking = yield* Effect.forkChild(Effect.forever(Effect.andThen(look, Effect.sleep("50 millis"))))
    const value = yield* work
    yield* Fiber.interrupt(looking)
    yield* look
    return [value, lapse] as const
  }).pipe(Effect.scoped)

const attempts = 5

/**
 * What came of this while everything was renewed within `visibility` milliseconds: who stands still for longer, as a busy machine makes
 * everybody do now and then, loses what it holds, as it should. That is done again, up to five times.
 */
export const renewed = <A, E, R>(visibility: number, work: (attempt: number) => Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    for (let attempt = 1; ; attempt++) {
      const [value, lapse] = yield* withLapse(Effect.scoped(work(attempt)))
      // By whole milliseconds. Who gives back asks for what was overdue a moment ago.
      if (lapse < visibility - 5 || attempt === attempts) return value
      yield* print(`attempt ${attempt}: nothing was renewed for ${lapse} ms`)
    }
  })
