import { assert, describe, it } from "@effect/vitest"
import * as TaskState from "@apium/protocol/celery/TaskState"

describe("TaskState", () => {
  it("orders states as Celery does", () => {
    const order = ["SUCCESS", "FAILURE", "PROGRESS", "REVOKED", "STARTED", "RECEIVED", "REJECTED", "RETRY", "PENDING"]
    assert.deepStrictEqual(
      order.toReversed().toSorted((a, b) => TaskState.precedence(a) - TaskState.precedence(b)),
      order
    )
    assert.strictEqual(TaskState.later("STARTED", "SUCCESS"), "SUCCESS")
    assert.strictEqual(TaskState.later("SUCCESS", "STARTED"), "SUCCESS")
    assert.strictEqual(TaskState.precedence("constructor"), TaskState.precedence("PROGRESS"))
  })

  it("knows which are ready", () => {
    assert.deepStrictEqual([...TaskState.READY].filter(TaskState.isReady).length, 3)
    assert.isFalse(TaskState.isReady("PROGRESS"))
    assert.isFalse(TaskState.isReady("RETRY"))
    assert.isTrue(TaskState.isException("RETRY"))
    assert.isFalse(TaskState.PROPAGATE.has("RETRY"))
  })
})
