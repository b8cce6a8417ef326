import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestConsole } from "effect/testing"
import * as Steps from "../../../examples/worker/steps.ts"

describe("examples/worker/steps.ts", () => {
  it.effect("a worker with a step more, one replaced and one away runs its tasks, and the step has its last word", () =>
    Effect.gen(function* () {
      yield* Steps.program
      const [graph, results, report] = yield* TestConsole.logLines
      assert.deepStrictEqual(String(graph).split("\n"), [
        "Shutdown",
        "Clock",
        "Timer",
        "Pool",
        "Connection",
        "Events      <- Connection, Clock",
        "State       <- Clock",
        "Tasks       <- Shutdown, Timer, Pool, Connection, Events, State",
        "Heart       <- Events, Tasks",
        "Autoscale   <- Tasks, Timer",
        "Mingle      <- Clock, Connection, Tasks",
        "Report      <- Tasks"
      ])
      assert.deepStrictEqual(results, [11, 12, 13])
      assert.strictEqual(report, "ran 3 x proj.add")
    })
  )
})
