import * as Revoked from "@apium/worker/execution/Revoked"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"

const task = (id: string, stamps: Readonly<Record<string, unknown>> = {}) => ({ id, stamps })

const make = Effect.sync(Revoked.make)

describe("revoked tasks", () => {
  it.effect("are known by their ids", () =>
    Effect.gen(function* () {
      const revoked = yield* make
      assert.isFalse(revoked.has(task("1")))
      revoked.add("1")
      assert.isTrue(revoked.has(task("1")))
      assert.isFalse(revoked.has(task("2")))
      assert.deepStrictEqual(revoked.ids(), ["1"])
    })
  )

  it.effect("are known by a stamp, one value or a list of them, whatever its type", () =>
    Effect.gen(function* () {
      const revoked = yield* make
      revoked.addStamp("tenant", "7")
      assert.isTrue(revoked.has(task("1", { tenant: "7" })))
      assert.isTrue(revoked.has(task("1", { tenant: 7 })))
      assert.isTrue(revoked.has(task("1", { tenant: ["6", "7"] })))
      assert.isFalse(revoked.has(task("1", { tenant: "77" })))
      assert.isFalse(revoked.has(task("1", { other: "7" })))
      assert.deepStrictEqual(revoked.ids(), [])
    })
  )

  it.effect(
    "are 50,000 at most: a million revokes push out the oldest",
    () =>
      Effect.gen(function* () {
        const revoked = yield* make
        for (let id = 0; id < 1_000_000; id++) revoked.add(String(id))
        assert.isAtMost(revoked.ids().length, Revoked.maxRevokes)
        assert.isFalse(revoked.has(task("949999")))
        assert.isTrue(revoked.has(task("955000")))
      }),
    30_000
  )
})
