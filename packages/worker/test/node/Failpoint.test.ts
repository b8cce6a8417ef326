import { Failpoint } from "@apium/worker/execution/Failpoint"
import { layerFailpoint } from "@apium/worker/node/failpoint"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit } from "effect"
import { vi } from "vitest"

const installed = (value: string) =>
  Effect.exit(
    Effect.provide(
      Effect.map(Failpoint, (at) => at),
      layerFailpoint
    )
  ).pipe(
    Effect.tap(() => Effect.sync(() => vi.unstubAllEnvs())),
    (effect) =>
      Effect.suspend(() => {
        vi.stubEnv("APIUM_FAILPOINT", value)
        return effect
      })
  )

describe("APIUM_FAILPOINT", () => {
  it.effect("installs nothing when it is not set", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* installed(""), Exit.succeed(undefined))
    })
  )

  it.effect("lets other steps pass, and its own before its time", () =>
    Effect.gen(function* () {
      const at = yield* yield* installed("after-run:2")
      yield* at!("after-ack", "t1")
      yield* at!("after-run", "t1")
      yield* at!("after-ack", "t1")
    })
  )

  it.effect("that names no step or counts nothing ends the program with what it should be", () =>
    Effect.gen(function* () {
      for (const value of ["after-lunch:1", "after-run:0", "after-run:1.5", "after-run:x", "after-run:1:2"]) {
        const exit = yield* installed(value)
        assert.isTrue(Exit.isFailure(exit))
        assert.match(Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "", /APIUM_FAILPOINT should be <step>:<times>/)
      }
    })
  )
})
