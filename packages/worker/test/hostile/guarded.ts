import { assert } from "@effect/vitest"
import { Effect } from "effect"

/** Runs with a trap for what no fiber sees, and shows that nobody wrote into `Object.prototype`. */
export const guarded = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const before = Object.getOwnPropertyNames(Object.prototype)
    const seen: Array<unknown> = []
    const trap = (reason: unknown) => void seen.push(reason)
    process.on("unhandledRejection", trap)
    process.on("uncaughtException", trap)
    const value = yield* Effect.ensuring(
      effect,
      Effect.sync(() => {
        process.off("unhandledRejection", trap)
        process.off("uncaughtException", trap)
      })
    )
    assert.deepStrictEqual(seen, [])
    assert.deepStrictEqual(Object.getOwnPropertyNames(Object.prototype), before)
    assert.isUndefined(({} as { readonly polluted?: unknown }).polluted)
    return value
  })
