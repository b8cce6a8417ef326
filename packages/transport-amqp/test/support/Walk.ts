/** A consumer whose bound changes at random while it settles at random, watched for holding more than it may, or less than it could. */
import type { Delivery } from "@apium/hub/Delivery"
import type { HubError } from "@apium/hub/HubError"
import * as Message from "@apium/hub/Message"
import type * as Queue from "@apium/hub/Queue"
import type { TransportConnection } from "@apium/hub/Transport"
import { assert } from "@effect/vitest"
import { Effect, type Scope, Stream } from "effect"

/** A generator of numbers below a bound: the same for the same seed (mulberry32). */
export const random = (seed: number): ((below: number) => number) => {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296) * below)
  }
}

const encoder = new TextEncoder()

const bounds = [0, 1, 2, 3, 5, 8, 13, 40, Number.POSITIVE_INFINITY]

/** Answers with how many deliveries were settled, and how often the bound changed. */
export const walk = (
  connection: TransportConnection,
  queue: Queue.Queue,
  seed: number,
  steps: number,
  prefetch = 20
): Effect.Effect<{ readonly settled: number; readonly changes: number }, HubError, Scope.Scope> =>
  Effect.gen(function* () {
    const below = random(seed)
    const channel = yield* connection.channel
    const other = yield* connection.channel
    const { name } = yield* channel.queueDeclare(queue)
    const send = (count: number) =>
      other.publishAll(
        Array.from({ length: count }, () => [Message.make(encoder.encode("m")), { exchange: "", routingKey: name }])
      )
    const held: Array<Delivery> = []
    /** What may be held at most when another comes. */
    let most = Number.POSITIVE_INFINITY
    let window = prefetch
    let settled = 0
    let changes = 0
    const where = () => `seed ${seed}, ${settled} settled, window ${window}`
    yield* send(200)
    const consumer = yield* channel.consume(name, { prefetch }).pipe(
      Stream.runForEachArray((deliveries) =>
        Effect.sync(() => {
          held.push(...deliveries)
          assert.isAtMost(held.length, most, where())
        })
      ),
      Effect.forkScoped
    )
    /** Behind this answer comes nothing that was sent before. Ends with the consumer, if that finds something wrong. */
    const seen = Effect.andThen(
      Effect.suspend(() => consumer.pollUnsafe() ?? channel.queueDeclare(queue, { passive: true })),
      // Those that came with the answer are pulled behind it.
      Effect.andThen(Effect.yieldNow, Effect.yieldNow)
    )
    const holds = (count: number): Effect.Effect<void, HubError> =>
      Effect.suspend(() => (held.length >= count ? Effect.void : Effect.andThen(seen, holds(count))))
    const settle = (count: number) =>
      Effect.forEach(
        Array.from({ length: Math.min(count, held.length) }),
        () =>
          Effect.suspend(() => {
            settled++
            const [delivery] = held.splice(below(held.length), 1)
            return below(4) === 0 ? delivery!.release : delivery!.ack
          }),
        { discard: true }
      )

    for (let step = 0; step < steps; step++) {
      const waiting = (yield* other.queueDeclare(queue, { passive: true })).messageCount
      if (waiting < 100) yield* send(200)
      if (below(3) === 0) {
        const bound = bounds[below(bounds.length)]!
        changes++
        // While it changes the old one still counts, and so does what is on its way.
        most = Math.max(held.length, window, Math.min(bound, prefetch))
        window = Math.min(bound, prefetch)
        yield* channel.qos(bound)
        yield* seen
        most = Math.max(held.length, window)
      } else {
        yield* settle(below(held.length + 1))
        most = Math.max(held.length, window)
      }
      // Half of it at once, and all of it when what others left behind is settled.
      yield* holds(Math.ceil(window / 2))
    }
    if (window === 0) {
      window = most = prefetch
      yield* channel.qos(Number.POSITIVE_INFINITY)
    }
    for (let round = 0; round < 3; round++) {
      yield* settle(held.length)
      yield* holds(Math.ceil(window / 2))
    }
    yield* holds(window)
    return { settled, changes }
  }).pipe(Effect.scoped)
