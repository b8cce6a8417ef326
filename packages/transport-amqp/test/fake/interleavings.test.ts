import * as HubQueue from "@apium/hub/Queue"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Scheduler, Stream } from "effect"
import { atEveryStep } from "../../../hub/test/support/everyStep.ts"
import { message, settle, tags, until, world } from "../support/Fake.ts"

/** Operations after which a fiber yields, 2048 as a rule: among these, one is where it hurts. */
const budgets = (most: number) => Array.from({ length: most - 3 }, (_, index) => index + 3)

const yielding = (budget: number) => Effect.provideService(Scheduler.MaxOpsBeforeYield, budget)

describe("wherever a fiber yields", () => {
  it.live("a consumer gets every message, though it came between its look and its wait", () =>
    Effect.forEach(
      [1, 3].flatMap((prefetch) => budgets(60).map((budget) => ({ prefetch, budget }))),
      ({ budget, prefetch }) =>
        Effect.gen(function* () {
          const { channel, name, route } = yield* world()
          let handled = 0
          yield* channel.consume(name, { prefetch }).pipe(
            Stream.runForEach(({ ack }) =>
              Effect.andThen(
                ack,
                Effect.sync(() => void handled++)
              )
            ),
            yielding(budget),
            Effect.forkScoped
          )
          for (let sent = 1; sent <= 30; sent++) {
            yield* channel.publish(message("m"), route)
            yield* Effect.repeat(Effect.yieldNow, { times: sent % 7 })
          }
          yield* until(() => handled === 30).pipe(
            Effect.timeoutOrElse({
              duration: "1 minute",
              orElse: () => Effect.die(`${handled} of 30, prefetch ${prefetch}, a yield after ${budget}`)
            })
          )
        }).pipe(Effect.scoped),
      { discard: true }
    )
  )

  it.effect("a channel is closed when the broker has said so, and not five seconds later", () =>
    Effect.forEach(
      budgets(40),
      (budget) =>
        Effect.gen(function* () {
          const { connection } = yield* world()
          const closing = yield* Effect.scoped(connection.channel).pipe(yielding(budget), Effect.forkScoped)
          // No time passes.
          for (let turn = 0; turn < 5000 && closing.pollUnsafe() === undefined; turn++) yield* Effect.yieldNow
          assert.isDefined(closing.pollUnsafe(), `not closed, a yield after ${budget}`)
        }).pipe(Effect.scoped),
      { discard: true }
    )
  )
})

describe("who is interrupted at any step", () => {
  it.live("of opening a channel leaves none behind", () =>
    Effect.gen(function* () {
      const steps = yield* atEveryStep(
        (disturbed) =>
          Effect.gen(function* () {
            const { connection, fake } = yield* world()
            yield* disturbed(Effect.scoped(Effect.asVoid(connection.channel)))
            yield* settle
            return fake.connections()[0]!.channels
          }).pipe(Effect.scoped),
        (open, step) => assert.deepStrictEqual(open, [1], `step ${step}`)
      )
      assert.isAbove(steps, 10)
    })
  )

  it.live("of consuming leaves no consumer behind", () =>
    Effect.gen(function* () {
      const steps = yield* atEveryStep(
        (disturbed) =>
          Effect.gen(function* () {
            const { channel, route } = yield* world()
            yield* channel.queueDeclare(HubQueue.make("q"))
            yield* channel.publish(message("1"), { ...route, routingKey: "q" })
            yield* disturbed(Stream.runForEach(Stream.take(channel.consume("q"), 1), ({ ack }) => ack))
            yield* settle
            const { consumerCount } = yield* channel.queueDeclare(HubQueue.make("q"), { passive: true })
            return consumerCount
          }).pipe(Effect.scoped),
        (consumers, step) => assert.strictEqual(consumers, 0, `step ${step}`)
      )
      assert.isAbove(steps, 10)
    })
  )
})

describe("a consumer that the broker has cancelled", () => {
  it.live("hands out what it holds, and nothing once its link is lost: somebody else has that", () =>
    Effect.gen(function* () {
      const run = (cut: boolean) =>
        Effect.gen(function* () {
          const { channel, connection, fake, name, route } = yield* world()
          const handled: Array<string> = []
          const busy = yield* Deferred.make<void>()
          const consuming = yield* channel.consume(name).pipe(
            Stream.runForEach(({ message: { body } }) => {
              handled.push(new TextDecoder().decode(body))
              return Deferred.await(busy)
            }),
            Effect.flip,
            Effect.forkScoped
          )
          yield* channel.publish(message("1"), route)
          yield* until(() => handled.length === 1)
          yield* channel.publish(message("2"), route)
          yield* settle
          yield* (yield* connection.channel).queueDelete(name)
          assert.include(tags(fake), "queue.delete")
          yield* settle
          if (cut) yield* Effect.andThen(fake.cut, Effect.exit(connection.closed))
          yield* Deferred.succeed(busy, undefined)
          assert.strictEqual((yield* Fiber.join(consuming)).reason._tag, "ConsumerCancelled")
          return handled
        }).pipe(Effect.scoped)
      assert.deepStrictEqual(yield* run(false), ["1", "2"])
      assert.deepStrictEqual(yield* run(true), ["1"])
    })
  )

  it.live("leaves its tag to the next one, whatever its bound has been", () =>
    Effect.gen(function* () {
      const { channel, connection } = yield* world()
      const queue = HubQueue.make("q")
      for (const _ of [1, 2, 3]) {
        yield* channel.queueDeclare(queue)
        yield* channel.qos(2)
        const consuming = yield* channel
          .consume("q", { consumerTag: "mine", prefetch: 10 })
          .pipe(Stream.runDrain, Effect.flip, Effect.forkScoped)
        yield* settle
        // Another share, with a tag of its own.
        yield* channel.qos(6)
        yield* (yield* connection.channel).queueDelete("q")
        assert.strictEqual((yield* Fiber.join(consuming)).reason._tag, "ConsumerCancelled")
      }
    }).pipe(Effect.scoped)
  )
})
