import type { Delivery } from "@apium/hub/Delivery"
import { settledTwice } from "@apium/hub/Delivery"
import * as Message from "@apium/hub/Message"
import * as HubQueue from "@apium/hub/Queue"
import { Transport } from "@apium/hub/Transport"
import * as FakeBroker from "@apium/transport-amqp/testing/FakeBroker"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Latch, Metric, Option, Scope, Stream } from "effect"
import { atEveryStep } from "../../hub/test/support/everyStep.ts"
import { growth, heap, mebibytes, print, times } from "../../../test/support/Figures.ts"
import { random } from "./support/Walk.ts"

const link = Effect.flatMap(Transport, ({ connect }) => connect)

const body = (text: string) => Message.make(new TextEncoder().encode(text))

const to = (routingKey: string) => ({ exchange: "", routingKey })

const numbers = (count: number) => Array.from({ length: count }, (_, index) => index + 1)

const inOrder = (tags: ReadonlySet<number>) => [...tags].toSorted((one, other) => one - other)

const late = Effect.map(Metric.value(settledTwice), ({ count }) => count)

/** What the broker was told about each tag of a channel, in order: one that was settled before, or never delivered, is not there to be settled. */
const told = (fake: FakeBroker.FakeBroker["Service"], delivered: number) => {
  const open = new Set(numbers(delivered))
  const acked = new Set<number>()
  const rejected = new Set<number>()
  let frames = 0
  for (const { method } of fake.received()) {
    if (method._tag !== "basic.ack" && method._tag !== "basic.reject") continue
    frames++
    const { deliveryTag } = method
    const multiple = method._tag === "basic.ack" && method.multiple
    assert.isTrue(open.has(deliveryTag), `${method._tag} of ${deliveryTag}, which is not unsettled`)
    for (const tag of multiple ? open : [deliveryTag]) {
      if (tag > deliveryTag) break
      open.delete(tag)
      ;(method._tag === "basic.ack" ? acked : rejected).add(tag)
    }
  }
  return { acked, rejected, open, frames }
}

/** A channel with so many unsettled deliveries: the first has tag 1, and so on. */
const holding = Effect.fnUntraced(function* (count: number) {
  const connection = yield* link
  const channel = yield* connection.channel
  yield* channel.queueDeclare(HubQueue.make("q"))
  yield* channel.publishAll(numbers(count).map((number) => [body(`${number}`), to("q")] as const))
  const held: Array<Delivery> = []
  yield* channel.consume("q", { prefetch: 0 }).pipe(
    Stream.runForEachArray((deliveries) => Effect.sync(() => void held.push(...deliveries))),
    Effect.forkScoped
  )
  yield* Effect.repeat(
    Effect.suspend(() => channel.queueDeclare(HubQueue.make("q"), { passive: true })),
    { until: () => held.length === count }
  )
  return { channel, held }
})

const recorded = FakeBroker.layer({ record: 1_000_000 })

describe("settling", () => {
  it.live("two fibers that settle the same delivery write one frame, and the loser is counted", () =>
    Effect.gen(function* () {
      const fake = yield* FakeBroker.FakeBroker
      const rounds = times(4, 20)
      const before = yield* late
      let frames = 0
      for (const _ of numbers(rounds)) {
        yield* Effect.gen(function* () {
          const { channel, held } = yield* holding(5000)
          const skipped = fake.received().length
          yield* Effect.forEach(
            held,
            ({ ack, reject }, index) =>
              Effect.all(index % 2 === 0 ? [ack, reject({ requeue: false })] : [reject({ requeue: false }), ack], {
                concurrency: "unbounded"
              }),
            { concurrency: 100, discard: true }
          )
          yield* channel.queueDeclare(HubQueue.make("q"), { passive: true })
          const {
            acked,
            open,
            rejected,
            frames: written
          } = told({ ...fake, received: () => fake.received().slice(skipped) }, 5000)
          assert.deepStrictEqual([acked.size, rejected.size, open.size], [2500, 2500, 0])
          frames += written
        }).pipe(Effect.scoped)
      }
      const count = rounds * 5000
      assert.strictEqual((yield* late) - before, count)
      yield* print(`${count} settled twice at once: ${frames} frames, 0 of them for a tag that was settled`)
    }).pipe(Effect.scoped, Effect.provide(recorded))
  )

  it.live("in whatever order, what is written settles each tag once, and none that nobody settled", () =>
    Effect.forEach(
      numbers(times(30, 500, 2000)),
      (seed) =>
        Effect.gen(function* () {
          const fake = yield* FakeBroker.FakeBroker
          const below = random(seed)
          const count = 200
          const { channel, held } = yield* holding(count)
          const acked = new Set<number>()
          const rejected = new Set<number>()
          const order = held.map((delivery, index) => ({ delivery, tag: index + 1, key: index + below(40) }))
          for (const { delivery, tag } of order.toSorted((one, other) => one.key - other.key)) {
            const chance = below(20)
            if (chance === 0) continue
            if (chance === 1) yield* delivery.reject({ requeue: false })
            else yield* delivery.ack
            ;(chance === 1 ? rejected : acked).add(tag)
            // A turn ends now and then: those of one are merged.
            if (below(10) === 0) yield* Effect.yieldNow
          }
          yield* channel.queueDeclare(HubQueue.make("q"), { passive: true })
          const wire = told(fake, count)
          assert.deepStrictEqual(inOrder(wire.acked), inOrder(acked), `seed ${seed}`)
          assert.deepStrictEqual(inOrder(wire.rejected), inOrder(rejected), `seed ${seed}`)
          assert.isBelow(wire.frames, count)
        }).pipe(Effect.scoped, Effect.provide(recorded)),
      { discard: true }
    )
  )

  it.live("one that is held while others pass it by costs no memory for them", () =>
    Effect.gen(function* () {
      const channel = yield* (yield* link).channel
      yield* channel.queueDeclare(HubQueue.make("q"))
      yield* channel.publish(body("held"), to("q"))
      const rounds = times(150, 500, 2000)
      const grown = yield* Effect.gen(function* () {
        let passed = 0
        let wanted = 0
        const enough = Latch.makeUnsafe(false)
        yield* channel.consume("q").pipe(
          Stream.drop(1),
          Stream.runForEachArray((deliveries) =>
            Effect.andThen(
              Effect.forEach(deliveries, ({ ack }) => ack, { discard: true }),
              Effect.suspend(() => ((passed += deliveries.length) === wanted ? enough.open : Effect.void))
            )
          ),
          Effect.forkScoped
        )
        const pass = Effect.suspend(() => {
          wanted += 1000
          enough.closeUnsafe()
          return Effect.andThen(
            channel.publishAll(numbers(1000).map((number) => [body(`${number}`), to("q")] as const)),
            enough.await
          )
        })
        // Not every runtime collects when it is asked to.
        const lowest = Effect.map(
          Effect.forEach(numbers(8), () => Effect.andThen(pass, heap)),
          (samples) => Math.min(...samples)
        )
        const before = yield* lowest
        yield* Effect.repeat(pass, { times: rounds })
        return (yield* lowest) - before
      }).pipe(Effect.scoped)
      yield* print(`${rounds}000 settled past one that is held: ${mebibytes(grown)} MiB more`)
      assert.isBelow(grown, rounds * 1000 * growth)
    }).pipe(Effect.scoped, Effect.provide(FakeBroker.layer()))
  )

  it.live("what was delivered on a link that is gone is not settled on the next one, and comes again", () =>
    Effect.gen(function* () {
      const fake = yield* FakeBroker.FakeBroker
      const scope = yield* Scope.make()
      const { held } = yield* Scope.provide(holding(100), scope)
      yield* fake.cut
      const skipped = fake.received().length
      yield* Scope.close(scope, Exit.void)
      const again = yield* Effect.scoped(
        Effect.gen(function* () {
          const channel = yield* (yield* link).channel
          const before = yield* late
          yield* Effect.forEach(held, ({ ack }) => ack)
          assert.strictEqual((yield* late) - before, 100)
          const { messageCount } = yield* channel.queueDeclare(HubQueue.make("q"), { passive: true })
          assert.strictEqual(messageCount, 100)
          assert.isFalse(
            fake
              .received()
              .slice(skipped)
              .some(({ method }) => method._tag === "basic.ack")
          )
          return yield* Stream.runCollect(Stream.take(channel.consume("q"), 100))
        })
      )
      const first = again.filter(({ redelivered }) => !redelivered)
      assert.deepStrictEqual(
        first.map(({ message }) => new TextDecoder().decode(message.body)),
        []
      )
    }).pipe(Effect.scoped, Effect.provide(recorded))
  )

  it.live("who is interrupted at any step of a get has the message, or the queue has it", () =>
    Effect.gen(function* () {
      const steps = yield* atEveryStep(
        (disturbed) =>
          Effect.gen(function* () {
            const connection = yield* link
            const other = yield* connection.channel
            const channel = yield* connection.channel
            yield* other.queueDeclare(HubQueue.make("q"))
            yield* other.publish(body("1"), to("q"))
            const exit = yield* disturbed(channel.get("q"))
            const got = Exit.isSuccess(exit) && Option.isSome(exit.value)
            // An answer that was on its way has come when this one has.
            yield* channel.queueDeclare(HubQueue.make("q"), { passive: true })
            yield* channel.queueDeclare(HubQueue.make("q"), { passive: true })
            const { messageCount } = yield* other.queueDeclare(HubQueue.make("q"), { passive: true })
            return { got, messageCount }
          }).pipe(Effect.scoped, Effect.provide(FakeBroker.layer())),
        ({ got, messageCount }, step) =>
          assert.strictEqual(messageCount, got ? 0 : 1, `step ${step}: ${got ? "got" : "not got"}`)
      )
      assert.isAbove(steps, 5)
    })
  )
})
