import { HubError } from "@apium/hub/HubError"
import * as TaskMessage from "@apium/protocol/celery/TaskMessage"
import * as Blueprint from "@apium/worker/Blueprint"
import { Client } from "@apium/worker/client/Client"
import * as Request from "@apium/worker/execution/Request"
import * as Task from "@apium/worker/task/Task"
import { Tasks } from "@apium/worker/task/Tasks"
import type * as Worker from "@apium/worker/Worker"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Layer, Option, Schema } from "effect"
import { open, pass, test } from "../support/SlowWorld.ts"
import { settle, start, waiting } from "../support/World.ts"

const work = Task.make("proj.work", { params: { n: Schema.Number }, result: Schema.Number })
const payloads = (count: number) => Array.from({ length: count }, (_, n) => ({ n }))

const defectOf = <A, E>(exit: Exit.Exit<A, E>): unknown =>
  Exit.isFailure(exit) ? exit.cause.reasons.find(Cause.isDieReason)?.defect : undefined

describe("a worker that could not work is not started", () => {
  const unfit: ReadonlyArray<readonly [string, Partial<Worker.Options>]> = [
    ["prefetchMultiplier", { prefetchMultiplier: Number.NaN }],
    ["prefetchMultiplier", { prefetchMultiplier: -1 }],
    ["etaTaskLimit", { etaTaskLimit: Number.NaN }],
    ["etaTaskLimit", { etaTaskLimit: -1 }]
  ]
  for (const [name, options] of unfit) {
    test(
      `with ${JSON.stringify(options)} in ${name}: a RangeError says so`.replace("null", "NaN"),
      Effect.gen(function* () {
        const defect = defectOf(yield* Effect.exit(start(options)))
        assert.instanceOf(defect, RangeError)
        assert.include(defect.message, name)
      })
    )
  }

  for (const maxDeliveries of [Number.NaN, 0, -1]) {
    test(
      `with a task whose maxDeliveries is ${maxDeliveries}: a RangeError names the task`,
      Effect.gen(function* () {
        const task = Task.make("proj.never", { params: {}, result: Schema.Number, maxDeliveries })
        const handler = Tasks.handle(task, () => Effect.succeed(1))
        const defect = defectOf(yield* Effect.exit(Layer.build(handler)))
        assert.instanceOf(defect, RangeError)
        assert.match(defect.message, /proj\.never.*maxDeliveries/)
      })
    )
  }

  it.effect("with a step under a name that is there: the blueprint says so", () =>
    Effect.gen(function* () {
      const blueprint = Blueprint.make({ Heart: { layer: Layer.empty } }).pipe(
        Blueprint.add("Heart", { layer: Layer.empty })
      )
      const error = yield* Effect.flip(Effect.scoped(Blueprint.start(blueprint)))
      assert.instanceOf(error, Blueprint.BlueprintError)
      assert.include(error.message, "Heart")
    })
  )
})

describe("options at their edges", () => {
  test(
    "a prefetchMultiplier of 0 takes all there is, as Celery's",
    Effect.gen(function* () {
      const client = yield* Client
      yield* client.sendAll(work, payloads(1000))
      yield* Layer.build(Tasks.handle(work, () => Effect.never))
      yield* open({ prefetchMultiplier: 0 })
      yield* settle
      assert.strictEqual(yield* waiting("celery"), 0)
    })
  )

  test(
    "an autoscale whose bound is no number keeps the worker at work",
    Effect.gen(function* () {
      const client = yield* Client
      let runs = 0
      yield* Layer.build(
        Tasks.handle(work, ({ n }) =>
          Effect.as(
            Effect.sync(() => void runs++),
            n
          )
        )
      )
      yield* open({ autoscale: { min: 1, max: Number.NaN } })
      yield* pass(2)
      yield* client.send(work, { n: 1 })
      yield* settle
      assert.strictEqual(runs, 1)
    })
  )

  it("a time limit of 0 in the header is none, and leaves the task's own (`time_limit or task.time_limit`)", () => {
    const headers = TaskMessage.makeHeaders({ task: "proj.limited", id: "l1", timelimit: [0, 0] })
    const request = {
      registered: { task: { name: headers.task, options: { timeLimit: "5 seconds", softTimeLimit: "3 seconds" } } },
      message: { headers }
    } as unknown as Request.Request
    assert.deepStrictEqual(Request.timeLimit(request, undefined), [5, 3])
  })

  test(
    "a routing key without an exchange is not sent to another queue than it names",
    Effect.gen(function* () {
      const client = yield* Client
      const error = yield* Effect.flip(client.send(work, { n: 1 }, { routingKey: "other" }))
      assert.instanceOf(error, HubError)
      assert.strictEqual(error.reason._tag, "EncodeFailed")
      assert.include(error.message, "routingKey")
      assert.strictEqual(yield* waiting("celery"), -1)
      assert.isTrue(Option.isSome(yield* Effect.option(client.send(work, { n: 1 }, { queue: "celery" }))))
    })
  )
})
