import { Connection, type ConnectionStatus } from "@apium/hub/Connection"
import * as Step from "@apium/worker/steps/Connection"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Layer, Logger, References, Stream } from "effect"

/** What a worker says of these states of its connection. */
const saidOf = (states: ReadonlyArray<ConnectionStatus>) =>
  Effect.gen(function* () {
    const said: Array<string> = []
    const logger = Logger.make(({ logLevel, message }) => void said.push(`${logLevel} ${String(message)}`))
    const read = yield* Deferred.make<void>()
    const status = Stream.fromIterable(states).pipe(Stream.onEnd(Deferred.succeed(read, undefined)))
    yield* Effect.gen(function* () {
      yield* Layer.build(
        Layer.provide(Step.layer, Layer.succeed(Connection, { status } as unknown as Connection["Service"]))
      )
      yield* Deferred.await(read)
    }).pipe(Effect.provide(Logger.layer([logger])), Effect.provideService(References.MinimumLogLevel, "Debug"))
    return said.map((line) => line.split(/[:,]/)[0])
  }).pipe(Effect.scoped)

describe("a worker's link", () => {
  it.effect("is said to be lost and to be open again", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* saidOf(["connecting", "open", "connecting", "open", "closed"]), [
        "Debug The link to the broker is open",
        "Warn The link to the broker is lost",
        "Info The link to the broker is open again"
      ])
    })
  )

  it.effect("is said to be lost while the broker takes nothing, and that it takes again", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* saidOf(["open", "blocked", "open", "blocked", "connecting"]), [
        "Debug The link to the broker is open",
        "Warn The broker is short of resources",
        "Info The broker takes messages again",
        "Warn The broker is short of resources",
        "Warn The link to the broker is lost"
      ])
    })
  )
})
