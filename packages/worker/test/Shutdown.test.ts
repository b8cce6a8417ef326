import type { Signal } from "@apium/hub/Host"
import * as Shutdown from "@apium/worker/Shutdown"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import { settle } from "./support/World.ts"

const levels = ["running", "warm", "soft", "cold", "hard"] as const

const plain: Shutdown.Options = {}
const soft: Shutdown.Options = { softTimeout: "3 seconds" }
const remapped: Shutdown.Options = { remapSigterm: "SIGQUIT" }
const both: Shutdown.Options = { softTimeout: 3000, remapSigterm: "SIGQUIT" }

type Row = readonly [
  what: string,
  signal: Signal,
  options: Shutdown.Options,
  /** From `running`, `warm`, `soft`, `cold` and `hard`. */
  to: ReadonlyArray<Shutdown.Level>
]

const rows: ReadonlyArray<Row> = [
  ["SIGTERM", "SIGTERM", plain, ["warm", "warm", "soft", "cold", "hard"]],
  ["SIGTERM, soft timeout", "SIGTERM", soft, ["warm", "warm", "soft", "cold", "hard"]],
  ["SIGHUP", "SIGHUP", plain, ["warm", "warm", "soft", "cold", "hard"]],
  ["SIGHUP, SIGTERM remapped", "SIGHUP", remapped, ["warm", "warm", "soft", "cold", "hard"]],
  ["SIGINT", "SIGINT", plain, ["warm", "cold", "cold", "hard", "hard"]],
  ["SIGINT, soft timeout", "SIGINT", soft, ["warm", "soft", "cold", "hard", "hard"]],
  ["SIGINT, soft timeout of nothing", "SIGINT", { softTimeout: 0 }, ["warm", "cold", "cold", "hard", "hard"]],
  ["SIGQUIT", "SIGQUIT", plain, ["cold", "cold", "cold", "hard", "hard"]],
  ["SIGQUIT, soft timeout", "SIGQUIT", soft, ["soft", "soft", "cold", "hard", "hard"]],
  ["SIGTERM remapped", "SIGTERM", remapped, ["cold", "cold", "cold", "hard", "hard"]],
  ["SIGTERM remapped, soft timeout", "SIGTERM", both, ["soft", "soft", "cold", "hard", "hard"]],
  ["SIGINT, SIGTERM remapped", "SIGINT", remapped, ["warm", "cold", "cold", "hard", "hard"]],
  ["SIGUSR1", "SIGUSR1", both, ["running", "warm", "soft", "cold", "hard"]]
]

describe("where a signal leads", () => {
  it.each(rows)("%s", (_, signal, options, to) => {
    assert.deepStrictEqual(
      levels.map((level) => Shutdown.next(level, signal, options)),
      [...to]
    )
  })

  it("is never up", () => {
    for (const [what, signal, options] of rows) {
      for (const [rank, level] of levels.entries()) {
        assert.isAtLeast(levels.indexOf(Shutdown.next(level, signal, options)), rank, `${what} from ${level}`)
      }
    }
  })
})

describe("a shutdown", () => {
  /** The levels that somebody who waits for each has heard of. */
  const heard = (shutdown: Shutdown.Shutdown["Service"]) =>
    Effect.gen(function* () {
      const passed: Array<Shutdown.Level> = []
      yield* Effect.forEach(["warm", "soft", "cold", "hard"] as const, (level) =>
        shutdown
          .reached(level)
          .pipe(
            Effect.andThen(Effect.sync(() => void passed.push(level))),
            Effect.forkChild({ startImmediately: true })
          )
      )
      return passed
    })

  it.effect("goes down a level by a level, and tells who waits for one", () =>
    Effect.gen(function* () {
      const shutdown = Shutdown.make(soft)
      const passed = yield* heard(shutdown)
      const steps: Array<readonly [Shutdown.Level, number]> = []
      for (const signal of ["SIGINT", "SIGTERM", "SIGINT", "SIGINT", "SIGINT", "SIGINT"] as const) {
        const level = yield* shutdown.signal(signal)
        yield* settle
        steps.push([level, passed.length])
      }
      assert.deepStrictEqual(steps, [
        ["warm", 1],
        ["warm", 1],
        ["soft", 2],
        ["cold", 3],
        ["hard", 4],
        ["hard", 4]
      ])
      assert.deepStrictEqual(passed, ["warm", "soft", "cold", "hard"])
    })
  )

  it.effect("passes every level on its way to a lower one", () =>
    Effect.gen(function* () {
      const shutdown = Shutdown.make(plain)
      const passed = yield* heard(shutdown)
      yield* shutdown.request("cold")
      yield* settle
      assert.deepStrictEqual([shutdown.level(), passed], ["cold", ["warm", "soft", "cold"]])
    })
  )

  it.effect("is not taken back by a request for a higher level", () =>
    Effect.gen(function* () {
      const shutdown = Shutdown.make(plain)
      yield* shutdown.request("cold")
      yield* shutdown.request("warm")
      assert.strictEqual(shutdown.level(), "cold")
      // Who comes late waits for nothing.
      yield* shutdown.reached("warm")
      yield* shutdown.reached("cold")
    })
  )

  const built = (options: Shutdown.Options) =>
    Effect.map(Layer.build(Shutdown.layer(options)), (context) => Context.get(context, Shutdown.Shutdown))

  it.effect("that is soft turns cold when its time is up, and not before", () =>
    Effect.gen(function* () {
      const shutdown = yield* built(soft)
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(shutdown.level(), "running")
      yield* shutdown.request("warm")
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(shutdown.level(), "warm")
      yield* shutdown.signal("SIGQUIT")
      yield* TestClock.adjust(2999)
      assert.strictEqual(shutdown.level(), "soft")
      yield* TestClock.adjust(1)
      assert.strictEqual(shutdown.level(), "cold")
    })
  )

  it.effect("without a soft timeout does not stay soft", () =>
    Effect.gen(function* () {
      const shutdown = yield* built(plain)
      yield* shutdown.request("soft")
      yield* settle
      assert.strictEqual(shutdown.level(), "cold")
    })
  )

  it.effect("that was hastened is not hastened again by the time that is up", () =>
    Effect.gen(function* () {
      const shutdown = yield* built(soft)
      yield* shutdown.signal("SIGQUIT")
      yield* shutdown.signal("SIGQUIT")
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(shutdown.level(), "cold")
    })
  )
})
