import * as Request from "@apium/worker/execution/Request"
import * as TaskMessage from "@apium/protocol/celery/TaskMessage"
import type { TaskOptions } from "@apium/worker/task/Task"
import { assert, describe, it } from "@effect/vitest"

type Limits = TaskMessage.TaskHeaders["timelimit"]

const limits = (timelimit: Limits, options: TaskOptions, override?: Request.TimeLimits): Limits => {
  const headers = TaskMessage.makeHeaders({ task: "proj.limited", id: "l1", timelimit })
  const of = { registered: { task: { name: headers.task, options } }, message: { headers } }
  return Request.timeLimit(of as Request.Request, override)
}

describe("time limits", () => {
  const defined: TaskOptions = { timeLimit: "1 minute", softTimeLimit: "1500 millis" }

  it("are the definition's, in seconds, and the sender's where it says so", () => {
    assert.deepStrictEqual(limits([null, null], {}), [null, null])
    assert.deepStrictEqual(limits([null, null], defined), [60, 1.5])
    assert.deepStrictEqual(limits([5, null], defined), [5, 1.5])
    assert.deepStrictEqual(limits([5, 4], {}), [5, 4])
    assert.deepStrictEqual(limits([0, 0], defined), [60, 1.5])
    assert.deepStrictEqual(limits([0, 0], {}), [null, null])
    assert.deepStrictEqual(limits([null, null], { timeLimit: "Infinity" }), [null, null])
  })

  it("set by remote control stand in for the definition's, and null lifts them", () => {
    assert.deepStrictEqual(limits([null, null], defined, { hard: 9 }), [9, 1.5])
    assert.deepStrictEqual(limits([null, null], {}, { soft: 3 }), [null, 3])
    assert.deepStrictEqual(limits([null, null], defined, { hard: null, soft: null }), [null, null])
    assert.deepStrictEqual(limits([7, null], defined, { hard: 9, soft: 8 }), [7, 8])
  })
})
