import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { assert, describe, it } from "@effect/vitest"
import * as ResultMessage from "@apium/protocol/celery/ResultMessage"
import { fixture } from "../support/Captures.ts"
import * as Random from "../support/Random.ts"

const success: ResultMessage.ResultMessage = {
  taskId: "id-1",
  status: "SUCCESS",
  result: 5,
  traceback: null,
  children: [{ id: "c", parent: { id: "p", parent: null, children: null }, children: null }],
  dateDone: "2026-11-21T02:00:03.631730+00:00"
}

const stored = (kind: string, name: string): unknown => {
  const { values } = fixture(`5.6.3/results/${kind}.json`) as { values: Record<string, { meta: { raw: string } }> }
  return JSON.parse(values[name]!.meta.raw)
}

const failure = (value: unknown): string => {
  const result = ResultMessage.decode(value)
  return Result.isFailure(result) ? result.failure.message : assert.fail("should have failed")
}

const refusalOf = <A, E>(result: Result.Result<A, E>): E | undefined =>
  Result.isFailure(result) ? result.failure : undefined

describe("ResultMessage", () => {
  it("writes Python's keys, and the optional ones when set", () => {
    assert.deepStrictEqual(ResultMessage.encode(success), {
      status: "SUCCESS",
      result: 5,
      traceback: null,
      children: [[["c", [["p", null], null]], null]],
      date_done: "2026-11-21T02:00:03.631730+00:00",
      task_id: "id-1"
    })
    const extended = {
      ...success,
      groupId: "g",
      name: "t",
      args: [1],
      kwargs: {},
      worker: null,
      retries: 0,
      queue: "q",
      extra: { m: "1" }
    }
    assert.deepStrictEqual(Result.getOrThrow(ResultMessage.decode(ResultMessage.encode(extended))), extended)
  })

  it("tells extended keys of null from missing ones", () => {
    const unregistered = Result.getOrThrow(ResultMessage.decode(stored("redis_extended", "failure_unregistered")))
    assert.deepStrictEqual([unregistered.name, unregistered.worker], [null, null])
    const revoked = Result.getOrThrow(ResultMessage.decode(stored("redis_extended", "revoked_before_start")))
    assert.isFalse("name" in revoked)
    assert.isNull(revoked.children)
    assert.isFalse("name" in Result.getOrThrow(ResultMessage.decode(stored("redis_plain", "success"))))
  })

  it("reads failures", () => {
    const failed = Result.getOrThrow(ResultMessage.decode(stored("redis_plain", "failure_custom")))
    const description = { excType: "CustomError", excMessage: ["two", { args: 1 }], excModule: "wiretasks" }
    assert.deepStrictEqual(ResultMessage.decodeFailure(failed.result), description)
    assert.deepStrictEqual(ResultMessage.decodeFailure({ exc_type: "E", exc_message: "text" }), {
      excType: "E",
      excMessage: ["text"],
      excModule: "builtins"
    })
    assert.isUndefined(ResultMessage.decodeFailure({ pid: 1 }))
    assert.isUndefined(ResultMessage.decodeFailure("x"))
  })

  it("names keys", () => {
    assert.strictEqual(ResultMessage.taskKey("i"), "celery-task-meta-i")
    assert.strictEqual(ResultMessage.groupKey("g", ".j"), "celery-taskset-meta-g.j")
  })

  it("says which field is wrong", () => {
    assert.include(failure([]), "result should be an object, and is an array of 0")
    assert.include(failure({}), "status")
    assert.include(failure({ status: "SUCCESS" }), "task_id")
    assert.include(failure({ status: "S", task_id: "i", children: [1] }), "children[0]")
    assert.include(failure({ status: "S", task_id: "i", children: [[[1, null], null]] }), "children[0][0]")
    assert.include(failure({ status: "S", task_id: "i", traceback: 5 }), "traceback")
    assert.strictEqual(Result.getOrThrow(ResultMessage.decode({ status: "S" }, "i")).taskId, "i")
    let deep: unknown = [["id", null], null]
    for (let level = 0; level < 5000; level++) deep = [["id", deep], null]
    assert.isTrue(Result.isFailure(ResultMessage.decodeTuple(deep)))
  })

  it("a date_done that is no time is a typed error, and one that is a Date is its text", () => {
    const wire = ResultMessage.encode(success)
    assert.include(failure({ ...wire, date_done: new Date(Number.NaN) }), "date_done")
    const read = ResultMessage.decode({ ...wire, date_done: new Date(0) })
    assert.strictEqual(Result.isSuccess(read) && read.success.dateDone, "1970-01-01T00:00:00+00:00")
  })

  it.prop("mutated ones are results or typed errors", [Schema.Int], ([seed]) => {
    const r = Random.random(seed)
    const mutated = Random.mutate(r, ResultMessage.encode(success))
    for (const result of [
      refusalOf(ResultMessage.decode(mutated)),
      refusalOf(ResultMessage.decodeTuple(mutated)),
      refusalOf(ResultMessage.decodeGroup(mutated)),
      refusalOf(ResultMessage.decodeChordPart(Random.mutate(r, [1, "id", "SUCCESS", 2])))
    ]) {
      assert.isTrue(result === undefined || result._tag === "InvalidResult")
    }
  })
})
