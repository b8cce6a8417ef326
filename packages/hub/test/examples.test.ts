import { Hub } from "@apium/hub/Hub"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock, TestConsole } from "effect/testing"
import * as Hello from "../../../examples/hub/hello.ts"

describe("examples/hub/hello.ts", () => {
  it.effect("sends a message every three seconds and receives it, until it is stopped", () =>
    Effect.gen(function* () {
      const running = yield* Effect.forkChild(Hello.program)
      yield* TestClock.adjust("2999 millis")
      assert.deepStrictEqual(yield* TestConsole.logLines, [])
      yield* TestClock.adjust("1 millis")
      const once = ["message sent", "received:", "hello world"]
      assert.sameMembers([...(yield* TestConsole.logLines)], once)
      yield* TestClock.adjust("6 seconds")
      assert.sameMembers([...(yield* TestConsole.logLines)], [...once, ...once, ...once])
      assert.isUndefined(running.pollUnsafe())
      yield* (yield* Hub).stop
      yield* Fiber.join(running)
    }).pipe(Effect.provide(Hello.Live))
  )
})
