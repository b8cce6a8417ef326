import type { Request } from "@apium/worker/execution/Request"
import * as Slots from "@apium/worker/execution/Slots"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Scope } from "effect"
import { settle } from "../support/World.ts"

/** Only its identity matters here. */
const request = (id: number): Request => ({ id }) as unknown as Request
const idOf = (one: Request) => (one as unknown as { readonly id: number }).id

const noDeath = () => Effect.die("nothing dies here")

describe("slots", () => {
  it.effect("a run whose fiber dies without a word is concluded in its own slot, before the next one begins", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      const slots = yield* Slots.make(
        1,
        (one) =>
          idOf(one) === 0
            ? Effect.flatMap(Effect.void, () => undefined as never)
            : Effect.sync(() => void log.push("ran")),
        (one, cause) => Effect.sync(() => void log.push(`died ${idOf(one)}: ${cause.reasons.length > 0}`))
      )
      slots.submit(request(0))
      slots.submit(request(1))
      yield* slots.idle
      assert.deepStrictEqual(log, ["died 0: true", "ran"])
    })
  )

  it.effect("a death that cannot be concluded costs its slot nothing", () =>
    Effect.gen(function* () {
      let ran = 0
      const slots = yield* Slots.make(
        1,
        (one) => (idOf(one) === 0 ? Effect.die("boom") : Effect.sync(() => void ran++)),
        () => Effect.die("again")
      )
      slots.submit(request(0))
      slots.submit(request(1))
      yield* slots.idle
      assert.strictEqual(ran, 1)
    })
  )

  it.effect("never run more than they are, and run all in order", () =>
    Effect.gen(function* () {
      const began: Array<number> = []
      let now = 0
      let most = 0
      const slots = yield* Slots.make(
        3,
        (one) =>
          Effect.gen(function* () {
            most = Math.max(most, ++now)
            began.push(idOf(one))
            for (let turn = 0; turn <= idOf(one) % 4; turn++) yield* Effect.yieldNow
            now--
          }),
        noDeath
      )
      for (let id = 0; id < 200; id++) slots.submit(request(id))
      yield* slots.idle
      assert.deepStrictEqual(
        began,
        Array.from({ length: 200 }, (_, id) => id)
      )
      assert.strictEqual(most, 3)
    })
  )

  it.effect("a flood of 50,000 that never wait does not overflow the stack with one slot", () =>
    Effect.gen(function* () {
      let ran = 0
      const gate = yield* Deferred.make<void>()
      const slots = yield* Slots.make(
        1,
        (one) => (idOf(one) === 0 ? Deferred.await(gate) : Effect.sync(() => void ran++)),
        noDeath
      )
      for (let id = 0; id <= 50_000; id++) slots.submit(request(id))
      assert.strictEqual(ran, 0)
      yield* Deferred.succeed(gate, undefined)
      yield* slots.idle
      assert.strictEqual(ran, 50_000)
    })
  )

  it.effect("a run that submits from inside of itself is no recursion", () =>
    Effect.gen(function* () {
      let ran = 0
      const slots: Slots.Slots = yield* Slots.make(
        2,
        () =>
          Effect.sync(() => {
            if (++ran < 20_000) slots.submit(request(ran))
          }),
        noDeath
      )
      slots.submit(request(0))
      yield* slots.idle
      assert.strictEqual(ran, 20_000)
    })
  )

  it.effect("give back what has not begun, in order, and let the rest end", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      const ended: Array<number> = []
      const slots = yield* Slots.make(
        2,
        (one) =>
          Effect.andThen(
            Deferred.await(gate),
            Effect.sync(() => void ended.push(idOf(one)))
          ),
        noDeath
      )
      for (let id = 0; id < 5; id++) slots.submit(request(id))
      assert.deepStrictEqual(slots.takeBack().map(idOf), [2, 3, 4])
      assert.deepStrictEqual(slots.takeBack(), [])
      const idle = yield* Effect.forkChild(slots.idle)
      yield* settle
      assert.isUndefined(idle.pollUnsafe())
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(idle)
      assert.deepStrictEqual(ended, [0, 1])
    })
  )

  it.effect("closing interrupts what runs and drops what waits, and a broken run frees its slot", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const interrupted: Array<number> = []
      const slots = yield* Scope.provide(
        Slots.make(
          1,
          (one) =>
            idOf(one) === 0
              ? Effect.die("broken")
              : Effect.onInterrupt(Effect.never, () => Effect.sync(() => void interrupted.push(idOf(one)))),
          noDeath
        ),
        scope
      )
      for (let id = 0; id < 4; id++) slots.submit(request(id))
      yield* settle
      yield* Scope.close(scope, Exit.void)
      yield* settle
      assert.deepStrictEqual(interrupted, [1])
    })
  )
})
