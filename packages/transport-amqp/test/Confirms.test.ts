import type { HubError } from "@apium/hub/HubError"
import * as Message from "@apium/hub/Message"
import * as HubQueue from "@apium/hub/Queue"
import { Transport } from "@apium/hub/Transport"
import * as Method from "@apium/protocol/amqp/Method"
import * as FakeBroker from "@apium/transport-amqp/testing/FakeBroker"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Scope } from "effect"
import { TestClock } from "effect/testing"
import { print, times } from "../../../test/support/Figures.ts"
import { settle } from "./support/Fake.ts"
import { random } from "./support/Walk.ts"

const message = Message.make(new Uint8Array(10))
const route = { exchange: "", routingKey: "q" }

/** A broker that confirms when it likes, one or many at a time, in any order, and takes some and some not. */
const moody = (below: (bound: number) => number, cutAfter: number) => {
  let open: Array<number> = []
  let tags = 0
  const taken = new Map<number, boolean>()
  const confirm = (): Method.Method => {
    const multiple = below(3) === 0
    const tag = open[below(open.length)]!
    const settled = multiple ? open.filter((other) => other <= tag) : [tag]
    const yes = below(10) > 0
    open = open.filter((other) => !settled.includes(other))
    for (const one of settled) {
      assert.isFalse(taken.has(one))
      taken.set(one, yes)
    }
    const about = { deliveryTag: tag, multiple }
    return yes ? Method.basicAck(about) : Method.basicNack({ ...about, requeue: false })
  }
  const step = (): FakeBroker.Reaction => {
    open.push(++tags)
    if (tags === cutAfter) return FakeBroker.cut
    const answers: Array<Method.Method> = []
    if (open.length > 300) while (open.length > 0) answers.push(confirm())
    else for (let count = below(3); count > 0 && open.length > 0; count--) answers.push(confirm())
    return FakeBroker.answer(...answers)
  }
  return { step, taken }
}

describe("confirms", () => {
  it.live(
    "of any kind and in any order settle each publish once, as the broker said, and the end of the link those it had not confirmed",
    () =>
      Effect.gen(function* () {
        const count = times(100_000, 300_000, 1_000_000)
        const round = 5000
        let lost = 0
        let nacked = 0
        let most = 0
        for (let seed = 0; seed < count / round; seed++) {
          yield* Effect.gen(function* () {
            const fake = yield* FakeBroker.FakeBroker
            const below = random(seed)
            const { step, taken } = moody(below, round - below(round / 2))
            fake.on("basic.publish", step)
            const scope = yield* Scope.make()
            const connection = yield* Scope.provide(
              Effect.flatMap(Transport, ({ connect }) => connect),
              scope
            )
            const channel = yield* Scope.provide(connection.channel, scope)
            const settled: Array<number> = Array.from({ length: round }, () => 0)
            let waiting = 0
            const exits = yield* Effect.forEach(
              settled,
              (_, index) =>
                Effect.suspend(() => {
                  most = Math.max(most, ++waiting)
                  return Effect.onExit(Effect.exit(channel.publish(message, route)), () =>
                    Effect.sync(() => {
                      waiting--
                      settled[index]!++
                    })
                  )
                }),
              { concurrency: 2000 }
            )
            const others = [...settled.entries()].filter(([, times]) => times !== 1)
            assert.deepStrictEqual(others, [], `seed ${seed}`)
            for (const [index, exit] of exits.entries()) {
              const said = taken.get(index + 1)
              const failure: HubError | undefined = Exit.isFailure(exit) ? yield* Effect.flip(exit) : undefined
              const expected = said === undefined ? "ConnectionLost" : said ? undefined : "Nacked"
              // What was on its way when the link ended is not known to have arrived.
              if (failure?.reason._tag === "ConnectionLost") lost++
              else assert.strictEqual(failure?.reason._tag, expected, `seed ${seed}, publish ${index + 1}`)
              if (expected === "Nacked") nacked++
            }
            yield* Scope.close(scope, Exit.void)
          }).pipe(Effect.scoped, Effect.provide(FakeBroker.layer()))
        }
        assert.isAbove(lost, 0)
        yield* print(
          `${count} publishes: each settled once, ${nacked} nacked, ${lost} with their link; at most ${most} at once`
        )
      })
  )
})

describe("requests", () => {
  it.effect("one that is not answered in time fails with its name, and ends its channel and no other", () =>
    Effect.gen(function* () {
      const fake = yield* FakeBroker.FakeBroker
      const connection = yield* Effect.flatMap(Transport, ({ connect }) => connect)
      const channel = yield* connection.channel
      const other = yield* connection.channel
      fake.on("queue.declare", (method) => (method.queue === "mute" ? FakeBroker.silence : undefined))
      const waiting = yield* Effect.forkChild(Effect.flip(channel.queueDelete("never-asked-for")), {
        startImmediately: false
      })
      const muted = yield* Effect.forkChild(Effect.flip(channel.queueDeclare(HubQueue.make("mute"))), {
        startImmediately: true
      })
      yield* settle
      yield* TestClock.adjust("399 millis")
      assert.isUndefined(muted.pollUnsafe())
      // It is found up to a quarter late.
      yield* TestClock.adjust("101 millis")
      const { reason } = yield* Fiber.join(muted)
      assert.strictEqual(reason._tag, "ConnectionLost")
      if (reason._tag === "ConnectionLost") assert.strictEqual(reason.cause, "requestTimeout")
      assert.include(reason.message, "queue.declare")
      // Whoever came behind it hears the same.
      assert.strictEqual((yield* Fiber.join(waiting)).reason, reason)
      assert.strictEqual((yield* Effect.flip(channel.closed)).reason, reason)
      assert.strictEqual((yield* other.queueDeclare(HubQueue.make("heard"))).name, "heard")
    }).pipe(Effect.scoped, Effect.provide(FakeBroker.layer({ transport: { requestTimeout: "400 millis" } })))
  )

  it.effect(
    "one that waits behind another counts from when it is sent, and while the broker blocks nobody is late",
    () =>
      Effect.gen(function* () {
        const fake = yield* FakeBroker.FakeBroker
        const connection = yield* Effect.flatMap(Transport, ({ connect }) => connect)
        const channel = yield* connection.channel
        fake.on("queue.declare", FakeBroker.delay("250 millis"))
        const declaring = yield* Effect.forkChild(
          Effect.forEach(
            ["a", "b", "c", "d"],
            (name) => Effect.map(channel.queueDeclare(HubQueue.make(name)), (info) => info.name),
            { concurrency: "unbounded" }
          )
        )
        for (let turn = 0; turn < 4; turn++) {
          yield* settle
          yield* TestClock.adjust("250 millis")
        }
        assert.deepStrictEqual(yield* Fiber.join(declaring), ["a", "b", "c", "d"])
        fake.on("queue.declare", undefined)
        yield* Effect.ignore(channel.publish(message, { exchange: "", routingKey: "a" }))
        yield* fake.block("low on memory")
        // It reads nothing more of who publishes, and this is answered when it does again.
        yield* Effect.forkChild(channel.publish(message, { exchange: "", routingKey: "a" }), { startImmediately: true })
        const late = yield* Effect.forkChild(channel.queueDeclare(HubQueue.make("late")), { startImmediately: true })
        yield* settle
        yield* TestClock.adjust("10 seconds")
        yield* settle
        assert.isUndefined(late.pollUnsafe())
        yield* fake.unblock
        assert.strictEqual((yield* Fiber.join(late)).name, "late")
      }).pipe(Effect.scoped, Effect.provide(FakeBroker.layer({ transport: { requestTimeout: "400 millis" } })))
  )
})
