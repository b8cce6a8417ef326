import { Client } from "@apium/worker/client/Client"
import * as TaskLog from "@apium/worker/execution/TaskLog"
import * as Retry from "@apium/worker/task/Retry"
import * as Task from "@apium/worker/task/Task"
import { Ignore } from "@apium/worker/task/TaskError"
import { Tasks } from "@apium/worker/task/Tasks"
import { assert, describe } from "@effect/vitest"
import { Effect, Exit, Logger, Schema } from "effect"
import { settle, start, test } from "../support/World.ts"

const task = Task.make("proj.told", {
  params: { kind: Schema.Literals(["success", "failure", "retry", "ignore"]), secret: Schema.String },
  result: Schema.String
})

const handler = Tasks.handle(task, ({ kind, secret }) => {
  switch (kind) {
    case "success":
      return Effect.succeed(secret)
    case "failure":
      return Effect.die(new TypeError("no good"))
    case "retry":
      return Retry.again({ countdown: "5 seconds", cause: "busy" })
    case "ignore":
      return Effect.fail(new Ignore())
  }
})

describe("a worker's log of its tasks", () => {
  test(
    "says how each run ended, and neither arguments nor results",
    Effect.gen(function* () {
      const lines: Array<string> = []
      const logger = Logger.make(({ logLevel, message }) => void lines.push(`${logLevel} ${String(message)}`))
      yield* Effect.gen(function* () {
        yield* start({ middleware: [TaskLog.middleware] }, handler)
        const client = yield* Client
        for (const kind of ["success", "failure", "retry", "ignore"] as const) {
          yield* client.send(task, { kind, secret: "hunter2" }, { taskId: kind })
          yield* settle
        }
      }).pipe(Effect.provide(Logger.layer([logger])))
      const said = lines.map((line) => line.split(/ in |\n/)[0])
      assert.deepStrictEqual(
        said.filter((line) => !line!.endsWith("started")),
        [
          "Info Task proj.told[success] succeeded",
          "Error Task proj.told[failure] raised TypeError('no good')",
          "Info Task proj.told[retry] retry: Retry",
          "Info Task proj.told[ignore] ignored"
        ]
      )
      assert.include(lines[3], "TaskLog.test.ts")
      assert.notInclude(lines.join("\n"), "hunter2")
    })
  )

  test(
    "is silent about a task that failed unless it is asked for",
    Effect.gen(function* () {
      const lines: Array<string> = []
      const logger = Logger.make(({ message }) => void lines.push(String(message)))
      yield* Effect.gen(function* () {
        yield* start({}, handler)
        const sent = yield* task.delay({ kind: "failure", secret: "hunter2" })
        assert.isTrue(Exit.isFailure(yield* Effect.exit(sent.get)))
      }).pipe(Effect.provide(Logger.layer([logger])))
      assert.deepStrictEqual(lines, [])
    })
  )
})
