import { Connection } from "@apium/hub/Connection"
import { ConnectionLost, HubError } from "@apium/hub/HubError"
import * as MemoryTransport from "@apium/hub/memory/MemoryTransport"
import { Transport } from "@apium/hub/Transport"
import { assert, it } from "@effect/vitest"
import { Clock, Deferred, Effect, Layer, Random, Stream } from "effect"
import { TestClock } from "effect/testing"

const clients = 200

/** What a RabbitMQ takes to be back after a SIGKILL, in milliseconds. */
const outage = 6500

const unreachable = new HubError({ reason: new ConnectionLost({ cause: "unreachable", text: "nobody listens" }) })

it.effect("two hundred clients that lose their broker together do not come back together (RELIABILITY B18)", () =>
  Effect.gen(function* () {
    const memory = yield* Transport
    const lost = Deferred.makeUnsafe<never, HubError>()
    const attempts: Array<number> = []
    const back: Array<number> = []
    let up = true
    const connect = Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      attempts.push(now)
      if (!up) return yield* unreachable
      back.push(now)
      const closed = attempts.length === back.length ? Deferred.await(lost) : Effect.never
      return { channel: Effect.never, closed, blocked: Stream.never }
    })
    const storm = Layer.succeed(Transport, { ...memory, connect })
    for (let seed = 0; seed < clients; seed++) {
      yield* Layer.build(Layer.fresh(Connection.layer).pipe(Layer.provide(storm))).pipe(
        Random.withSeed(`client ${seed}`)
      )
    }
    assert.strictEqual(back.length, clients)
    yield* TestClock.adjust("10 seconds")
    attempts.length = back.length = 0
    up = false
    const began = yield* Clock.currentTimeMillis
    yield* Deferred.fail(lost, unreachable)
    yield* TestClock.adjust(outage)
    up = true
    yield* TestClock.adjust("5 seconds")
    assert.strictEqual(back.length, clients)
    const shares = (times: ReadonlyArray<number>) => {
      const buckets = new Map<number, number>()
      for (const time of times) {
        const bucket = Math.floor((time - began) / 100)
        buckets.set(bucket, (buckets.get(bucket) ?? 0) + 1 / attempts.length)
      }
      return buckets
    }
    const all = shares(attempts)
    const most = Math.max(...all.values())
    console.log(
      `B18 ${clients} clients, outage ${outage} ms: ${attempts.length} attempts, in any 100 ms at most ${(most * 100).toFixed(1)} %, all back after ms=${Math.round(Math.max(...back) - began - outage)}`
    )
    assert.isBelow(most, 0.1)
    assert.isAtMost(Math.max(...back) - began - outage, 1500)
  }).pipe(Effect.provide(MemoryTransport.layer))
)
