import { Hub } from "@apium/hub/Hub"
import * as RateLimit from "@apium/worker/execution/RateLimit"
import type { Request } from "@apium/worker/execution/Request"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Result } from "effect"
import { TestClock } from "effect/testing"
import { settle } from "../support/World.ts"

const request = (id: number, task: string, rateLimit?: string): Request =>
  ({ id, registered: { task: { name: task, options: { rateLimit } } } }) as unknown as Request
const idOf = (one: Request) => (one as unknown as { readonly id: number }).id

const limits = Effect.gen(function* () {
  const due: Array<number> = []
  const limit = RateLimit.make({
    hub: yield* Hub,
    clock: yield* Clock.Clock,
    fork: Effect.runForkWith(yield* Effect.context()),
    due: (one) => void due.push(idOf(one))
  })
  const submit = (id: number, task: string, rateLimit?: string): void => {
    const one = request(id, task, rateLimit)
    if (!limit.holds(one)) due.push(idOf(one))
  }
  const after = (millis: number) => Effect.andThen(TestClock.adjust(millis), settle)
  return { due, limit, submit, after }
})

const test = (name: string, effect: Effect.Effect<void, never, Hub>) =>
  it.effect(name, () => Effect.provide(effect, Hub.layer))

describe("a rate limit in Celery's notation", () => {
  const table: ReadonlyArray<readonly [string | number | null, number]> = [
    ["10/s", 10],
    ["10/m", 10 / 60],
    ["36/h", 0.01],
    ["5", 5],
    [5, 5],
    ["0.5/s", 0.5],
    [0, 0],
    [null, 0],
    [" 10 / m ", 10 / 60]
  ]
  for (const [rate, perSecond] of table) {
    it(`reads ${JSON.stringify(rate)}`, () => assert.deepStrictEqual(RateLimit.parse(rate), Result.succeed(perSecond)))
  }

  for (const rate of ["", "ten/m", "10/d", "-1/s", "10/m/s", "1e9/s", "/m", "NaN", "0x10"]) {
    it(`${JSON.stringify(rate)} is none`, () => assert.isTrue(Result.isFailure(RateLimit.parse(rate))))
  }
})

describe("a rate limit", () => {
  test(
    "spaces starts evenly, and keeps their order",
    Effect.gen(function* () {
      const { due, limit, submit, after } = yield* limits
      for (let id = 0; id < 4; id++) submit(id, "slow", "2/s")
      assert.deepStrictEqual(due, [0])
      assert.deepStrictEqual(limit.waiting().map(idOf), [1, 2, 3])
      yield* after(499)
      assert.deepStrictEqual(due, [0])
      yield* after(1)
      assert.deepStrictEqual(due, [0, 1])
      yield* after(1000)
      assert.deepStrictEqual(due, [0, 1, 2, 3])
    })
  )

  test(
    "holds up no other task, and none without a limit",
    Effect.gen(function* () {
      const { due, submit } = yield* limits
      submit(0, "slow", "1/h")
      submit(1, "slow", "1/h")
      submit(2, "other", "1/h")
      submit(3, "free")
      assert.deepStrictEqual(due, [0, 2, 3])
    })
  )

  test(
    "saves no more than one start for later",
    Effect.gen(function* () {
      const { due, submit, after } = yield* limits
      submit(0, "slow", "1/s")
      yield* after(60_000)
      submit(1, "slow", "1/s")
      submit(2, "slow", "1/s")
      assert.deepStrictEqual(due, [0, 1])
    })
  )

  test(
    "of thousands a second keeps its rate although timers tick in milliseconds",
    Effect.gen(function* () {
      const { due, submit, after } = yield* limits
      for (let id = 0; id < 1000; id++) submit(id, "fast", "5000/s")
      for (let tick = 0; tick < 100; tick++) yield* TestClock.adjust(1)
      yield* after(0)
      assert.approximately(due.length, 500, 5)
    })
  )

  test(
    "can be changed while tasks wait for it, made stricter, and lifted",
    Effect.gen(function* () {
      const { due, limit, submit, after } = yield* limits
      for (let id = 0; id < 10; id++) submit(id, "slow", "1/h")
      assert.deepStrictEqual(due, [0])
      limit.set("slow", 1)
      yield* after(1000)
      assert.deepStrictEqual(due, [0, 1])
      limit.set("slow", 0.1)
      yield* after(9_999)
      assert.deepStrictEqual(due, [0, 1])
      yield* after(1)
      assert.deepStrictEqual(due, [0, 1, 2])
      limit.set("slow", 0)
      assert.deepStrictEqual(due, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
      submit(10, "slow", "1/h")
      assert.deepStrictEqual(due.at(-1), 10)
    })
  )

  test(
    "can be put on a task that has none",
    Effect.gen(function* () {
      const { due, limit, submit, after } = yield* limits
      submit(0, "free")
      limit.set("free", 1)
      submit(1, "free")
      submit(2, "free")
      assert.deepStrictEqual(due, [0, 1])
      yield* after(1000)
      assert.deepStrictEqual(due, [0, 1, 2])
    })
  )

  test(
    "lets those that wait be taken out, and goes on with the rest",
    Effect.gen(function* () {
      const { due, limit, submit, after } = yield* limits
      for (let id = 0; id < 5; id++) submit(id, "slow", "1/s")
      assert.deepStrictEqual(limit.remove((one) => idOf(one) % 2 === 1).map(idOf), [1, 3])
      yield* after(1000)
      yield* after(1000)
      assert.deepStrictEqual(due, [0, 2, 4])
      yield* after(60_000)
      submit(5, "slow", "1/s")
      assert.deepStrictEqual(due.at(-1), 5)
    })
  )
})
