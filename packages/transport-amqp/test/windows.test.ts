import type { Delivery } from "@apium/hub/Delivery"
import * as Message from "@apium/hub/Message"
import * as HubQueue from "@apium/hub/Queue"
import { Transport } from "@apium/hub/Transport"
import * as FakeBroker from "@apium/transport-amqp/testing/FakeBroker"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import { print, times } from "../../../test/support/Figures.ts"
import { random, walk } from "./support/Walk.ts"

const link = Effect.flatMap(Transport, ({ connect }) => connect)

const recorded = FakeBroker.layer({ profile: "strict43", record: 1_000_000 })

const requests = (fake: FakeBroker.FakeBroker["Service"]) =>
  fake.received().filter(({ method: { _tag } }) => /^basic\.(qos|consume|cancel)$/.test(_tag)).length

describe("the window of a consumer", () => {
  it.live("is kept through any changes of the bound, without `global`, on a broker that refuses it", () =>
    Effect.gen(function* () {
      const total = { settled: 0, changes: 0 }
      for (let seed = 0; seed < times(40, 1000, 5000); seed++) {
        const { changes, settled } = yield* Effect.gen(function* () {
          const walked = yield* walk(yield* link, HubQueue.make("q"), seed, 40)
          const fake = yield* FakeBroker.FakeBroker
          for (const { method } of fake.received()) if (method._tag === "basic.qos") assert.isFalse(method.global)
          return walked
        }).pipe(Effect.scoped, Effect.provide(recorded))
        total.settled += settled
        total.changes += changes
      }
      yield* print(`${total.settled} settled under ${total.changes} changes, none beyond the bound`)
    })
  )

  it.live("costs a few requests when the bound changes under load, and then none", () =>
    Effect.gen(function* () {
      const fake = yield* FakeBroker.FakeBroker
      const connection = yield* link
      const channel = yield* connection.channel
      const other = yield* connection.channel
      yield* channel.queueDeclare(HubQueue.make("q"))
      const message = Message.make(new Uint8Array(1))
      yield* other.publishAll(Array.from({ length: 5000 }, () => [message, { exchange: "", routingKey: "q" }] as const))
      const below = random(1)
      const held: Array<Delivery> = []
      let settled = 0
      const consumer = yield* channel.consume("q", { prefetch: 0 }).pipe(
        Stream.runForEachArray((deliveries) => Effect.sync(() => void held.push(...deliveries))),
        Effect.forkScoped
      )
      const settle = (count: number) =>
        Effect.repeat(
          Effect.suspend(() => {
            const [delivery] = held.splice(below(held.length), 1)
            if (delivery === undefined) return Effect.yieldNow
            settled++
            return Effect.andThen(delivery.ack, settled % 7 === 0 ? Effect.yieldNow : Effect.void)
          }),
          { until: () => settled >= count }
        )
      yield* channel.qos(100)
      yield* settle(500)
      const before = requests(fake)
      yield* channel.qos(64)
      yield* settle(1500)
      const changed = requests(fake)
      yield* settle(4000)
      yield* channel.queueDeclare(HubQueue.make("q"), { passive: true })
      const after = requests(fake)
      yield* print(`100 to 64 under load: ${changed - before} requests; then ${after - changed} for 2,500 deliveries`)
      assert.isAtMost(changed - before, 2 * 8 + 2)
      assert.strictEqual(after - changed, 0)
      yield* Fiber.interrupt(consumer)
    }).pipe(Effect.scoped, Effect.provide(recorded))
  )
})
