import * as Revoked from "@apium/worker/execution/Revoked"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"

const task = (id: string, stamps: Readonly<Record<string, unknown>> = {}) => ({ id, stamps })

const make = Effect.sync(() => Revoked.make(() => 0))

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

  it.effect("are 50,000 at most: a million revokes push out the oldest", () =>
    Effect.gen(function* () {
      const revoked = yield* make
      for (let id = 0; id < 1_000_000; id++) revoked.add(String(id))
      assert.isAtMost(revoked.ids().length, Revoked.maxRevokes)
      assert.isFalse(revoked.has(task("949999")))
      assert.isTrue(revoked.has(task("955000")))
    })
  )

  it.effect("are told to others for three hours, the latest 10,000 of them", () =>
    Effect.sync(() => {
      const hour = 3_600_000
      let now = 10 * hour
      const revoked = Revoked.make(() => now)
      revoked.add("of another life", 6 * hour)
      revoked.add("before", 8 * hour)
      revoked.add("now")
      assert.deepStrictEqual(revoked.lately(), ["before", "now"])
      assert.deepStrictEqual(revoked.times(), [6 * hour, 8 * hour, 10 * hour])
      now = 11 * hour
      assert.deepStrictEqual(revoked.lately(), ["now"])
      now = 13 * hour
      assert.deepStrictEqual(revoked.lately(), [])
      assert.deepStrictEqual(revoked.ids(), ["of another life", "before", "now"])
      for (let id = 0; id < 20_000; id++) revoked.add(String(id))
      assert.deepStrictEqual(revoked.lately(), revoked.ids().slice(-10_000))
    })
  )

  it.effect("take 4,000,000 characters at most, of ids as of stamps", () =>
    Effect.gen(function* () {
      const revoked = yield* make
      const long = (n: number) => String(n).padStart(Revoked.maxLength, ".")
      for (let n = 0; n < 10_000; n++) {
        revoked.add(long(n))
        revoked.addStamp(long(n), long(n))
      }
      assert.isAtMost(revoked.ids().join("").length, 4_000_000)
      assert.isAtMost(revoked.stamps().flat().join("").length, 4_000_000)
      assert.isTrue(revoked.has(task(long(9999))))
      assert.isTrue(revoked.has(task("1", { [long(9999)]: long(9999) })))
      // What was revoked twice is counted once.
      const again = yield* make
      for (let n = 0; n < 10_000; n++) again.add(long(n % 10))
      assert.strictEqual(again.ids().length, 10)
    })
  )
})
