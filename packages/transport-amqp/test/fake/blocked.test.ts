import * as Message from "@apium/hub/Message"
import * as FakeBroker from "@apium/transport-amqp/testing/FakeBroker"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import { message, settle, tags, until, world } from "../support/Fake.ts"
import { heap, mebibytes, print } from "../../../../test/support/Figures.ts"

describe("a broker that blocks its publishers", () => {
  it.effect("holds up nobody who leaves a consumer, though it no longer reads that he does", () =>
    Effect.gen(function* () {
      const { channel, fake, name } = yield* world()
      const scope = yield* Scope.make()
      yield* Stream.runDrain(channel.consume(name)).pipe(Effect.forkIn(scope))
      yield* until(() => tags(fake).includes("basic.consume"))
      yield* settle
      fake.on("basic.cancel", FakeBroker.silence)
      const leaving = yield* Effect.forkScoped(Scope.close(scope, Exit.void))
      yield* until(() => tags(fake).includes("basic.cancel"))
      yield* fake.block("low on memory")
      yield* settle
      yield* TestClock.adjust("5 seconds")
      yield* settle
      assert.isDefined(leaving.pollUnsafe())
    })
  )

  it.live("keeps nothing of publishes that were given up meanwhile", () =>
    Effect.gen(function* () {
      const { channel, connection, fake, name, route } = yield* world({ record: 0 })
      yield* fake.block("low on memory")
      yield* Stream.runDrain(Stream.takeUntil(connection.blocked, (blocked) => blocked))
      const body = new Uint8Array(1000)
      const kept = yield* Effect.forkScoped(channel.publish(message("kept"), route))
      const give = Effect.gen(function* () {
        const publishing = yield* Effect.forEach(Array.from({ length: 200 }), () =>
          Effect.forkChild(channel.publish(Message.make(body.slice()), route), { startImmediately: true })
        )
        yield* Fiber.interruptAll(publishing)
      })
      yield* Effect.repeat(give, { times: 5 })
      const before = yield* heap
      yield* Effect.repeat(give, { times: 100 })
      const grown = (yield* heap) - before
      yield* print(`20,000 publishes of 1 kB given up while blocked: ${mebibytes(grown)} MiB more`)
      assert.isBelow(grown, 4_000_000)
      yield* fake.unblock
      yield* Fiber.join(kept)
      assert.strictEqual(yield* channel.queuePurge(name), 1)
    })
  )
})
