import type { Event } from "@apium/protocol/celery/EventMessage"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Tally from "#demo/tally"

const event = (type: string, uuid: string, fields: Event["fields"] = {}): Event => ({
  type,
  hostname: "celery@test",
  utcoffset: 0,
  pid: 1,
  clock: 1,
  timestamp: 0,
  fields: { uuid, ...fields }
})

const recorded = (...events: ReadonlyArray<Event>): Tally.Tally => {
  const tally = Tally.make()
  for (const one of events) tally.record(one)
  return tally
}

describe("the tally of a monitor", () => {
  it("counts a task that succeeds, with its run time", () => {
    const tally = recorded(
      event("task-received", "a", { name: "add" }),
      event("task-started", "a"),
      event("task-succeeded", "a", { runtime: 0.5 })
    )
    assert.deepStrictEqual(tally.kinds(), [
      { name: "add", sent: 0, succeeded: 1, retried: 0, failed: 0, runtimes: [0.5] }
    ])
    assert.deepStrictEqual([tally.done(), tally.running()], [1, 0])
  })

  it("counts a retry, and the run that follows, as one task", () => {
    const tally = recorded(
      event("task-received", "a", { name: "add" }),
      event("task-started", "a"),
      event("task-retried", "a"),
      event("task-received", "a", { name: "add" }),
      event("task-started", "a")
    )
    assert.deepStrictEqual([tally.done(), tally.running()], [0, 1])
    tally.record(event("task-failed", "a"))
    assert.deepInclude(tally.kinds()[0], { succeeded: 0, retried: 1, failed: 1 })
    assert.deepStrictEqual([tally.done(), tally.running()], [1, 0])
  })

  it("counts what was rejected or revoked as failed", () => {
    const tally = recorded(event("task-rejected", "a"), event("task-revoked", "b"))
    assert.deepInclude(tally.kinds()[0], { name: "unknown", failed: 2 })
  })

  it("passes over what is not about tasks", () => {
    const tally = Tally.make()
    tally.record({ ...event("worker-heartbeat", ""), fields: {} })
    tally.record(event("custom-event", "a"))
    assert.deepStrictEqual(tally.kinds(), [])
  })

  it("shows the most numerous kind first", () => {
    const tally = Tally.make()
    tally.sent("few", 1)
    tally.sent("many", 3)
    tally.sent("also few", 1)
    assert.deepStrictEqual(
      tally.kinds().map(({ name }) => name),
      ["many", "also few", "few"]
    )
    assert.strictEqual(tally.total(), 5)
  })

  it.effect("says when something has come true", () =>
    Effect.gen(function* () {
      const tally = Tally.make()
      yield* tally.until(() => tally.done() === 0)
      const waiting = yield* Effect.forkChild(
        tally.until(() => tally.done() === 1),
        { startImmediately: true }
      )
      tally.record(event("task-started", "a"))
      assert.isUndefined(waiting.pollUnsafe())
      tally.record(event("task-succeeded", "a"))
      yield* Fiber.join(waiting)
    })
  )
})

describe("a percentile", () => {
  it("is the nearest rank: a value that was measured", () => {
    const values = [15, 20, 35, 40, 50]
    assert.strictEqual(Tally.percentile(values, 0.05), 15)
    assert.strictEqual(Tally.percentile(values, 0.3), 20)
    assert.strictEqual(Tally.percentile(values, 0.4), 20)
    assert.strictEqual(Tally.percentile(values, 0.5), 35)
    assert.strictEqual(Tally.percentile(values, 0.95), 50)
    assert.strictEqual(Tally.percentile(values, 1), 50)
  })

  it("does not mind the order", () => {
    assert.strictEqual(Tally.percentile([9, 10, 2], 0.5), 9)
  })

  it("of one value is that value, and of none is nothing", () => {
    assert.strictEqual(Tally.percentile([7], 0.95), 7)
    assert.isUndefined(Tally.percentile([], 0.5))
  })
})
