import * as Result from "effect/Result"
import { assert, describe, it } from "@effect/vitest"
import * as Signature from "@apium/protocol/celery/Signature"

const add = Signature.make("t.add", { args: [1, 2], options: { task_id: "a", stamped_headers: ["m"], m: "1" } })
const sum = Signature.make("t.sum", { immutable: true })

const failure = (value: unknown): Signature.InvalidSignature => {
  const result = Signature.decode(value)
  return Result.isFailure(result) ? result.failure : assert.fail("should have failed")
}

describe("Signature", () => {
  it("comes back with its stamps", () => {
    assert.deepStrictEqual(Signature.encode(add), {
      task: "t.add",
      args: [1, 2],
      kwargs: {},
      options: { task_id: "a", stamped_headers: ["m"], m: "1" },
      subtask_type: null,
      immutable: false
    })
    assert.deepStrictEqual(Result.getOrThrow(Signature.decode(Signature.encode(add))), add)
  })

  it("reads what is nested in a canvas", () => {
    const canvas = Signature.chain([add, Signature.group([add, sum]), Signature.chord([add, add], sum)])
    const decoded = Result.getOrThrow(Signature.decode(JSON.parse(JSON.stringify(Signature.encode(canvas)))))
    assert.deepStrictEqual(decoded, canvas)
    const [first, group, chord] = Signature.tasks(decoded)
    assert.deepStrictEqual(first, add)
    assert.deepStrictEqual(Signature.tasks(group!), [add, sum])
    assert.deepStrictEqual(Signature.chordOf(chord!), { header: [add, add], body: sum })
    assert.deepStrictEqual(Signature.tasks(add), [])
    assert.isUndefined(Signature.chordOf(add))
  })

  it("reads links, one or many", () => {
    const linked = Signature.make("t", {
      options: { link: [Signature.encode(add)], link_error: Signature.encode(sum) }
    })
    assert.deepStrictEqual(Signature.links(linked), { callbacks: [add], errbacks: [sum] })
  })

  it.each([
    [null, "signature should be a signature, and is null"],
    [{}, "signature.task should be the name of a task, and is missing"],
    [{ task: "t", args: {} }, "signature.args"],
    [{ task: "t", kwargs: [] }, "signature.kwargs"],
    [{ task: "t", options: 1 }, "signature.options"],
    [{ task: "t", immutable: "yes" }, "signature.immutable"],
    [{ task: "t", subtask_type: 1 }, "signature.subtask_type"],
    [{ task: "t", options: { link: [1] } }, "signature.options.link[0]"],
    [{ task: "celery.chain", kwargs: { tasks: [{ task: "t" }, {}] } }, "signature.kwargs.tasks[1].task"],
    [{ task: "celery.chord", kwargs: { body: "x" } }, "signature.kwargs.body"],
    [JSON.parse('{"__proto__": {"task": "t"}}'), "signature.task"]
  ])("refuses %o", (value, message) => {
    assert.include(failure(value).message, message)
  })

  it("bounds the depth", () => {
    let deep: unknown = { task: "t" }
    for (let level = 0; level < 10_000; level++) deep = { task: "celery.chain", kwargs: { tasks: [deep] } }
    assert.include(failure(deep).message, "256 signatures deep")
  })
})
