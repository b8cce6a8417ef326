import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { assert, describe, it } from "@effect/vitest"
import * as EventMessage from "@apium/protocol/celery/EventMessage"
import { fixture } from "../support/Captures.ts"
import * as Random from "../support/Random.ts"

const common = { hostname: "w@h", utcoffset: 0, pid: 1, clock: 2, timestamp: 3.5 }
const started = EventMessage.make("task-started", common, { uuid: "id-1" })

describe("EventMessage", () => {
  it("goes to the routing key of the capture", () => {
    const { events } = fixture("5.6.3/events/worker_life_amqp.json") as {
      events: ReadonlyArray<{ routingKey: string; bodyText: string }>
    }
    for (const { routingKey, bodyText } of events) {
      const decoded = Result.getOrThrow(EventMessage.decode(JSON.parse(bodyText)))
      const expected = bodyText.startsWith("[")
        ? EventMessage.multiRoutingKey
        : EventMessage.routingKey(decoded[0]!.type)
      assert.strictEqual(routingKey, expected)
      if (bodyText.startsWith("["))
        for (const event of decoded) assert.strictEqual(EventMessage.groupOf(event.type), "task")
    }
  })

  it("has the fields that Python sends", () => {
    const sent = Object.keys(
      EventMessage.encode(
        EventMessage.make("worker-online", common, {
          freq: 2,
          active: 0,
          processed: 0,
          loadavg: [0, 0, 0],
          sw_ident: "js-apium",
          sw_ver: "0",
          sw_sys: "Linux"
        })
      )
    )
    const { events } = fixture("5.6.3/events/worker_life_amqp.json") as { events: ReadonlyArray<{ bodyText: string }> }
    assert.deepStrictEqual(sent, Object.keys(JSON.parse(events[0]!.bodyText) as object))
  })

  it("does not let a field replace a common one", () => {
    const event = EventMessage.custom("task-x", common, { uuid: "u", hostname: "evil", clock: 99 })
    assert.deepStrictEqual(EventMessage.encode(event), { ...common, uuid: "u", type: "task-x" })
  })

  it("says which field is wrong", () => {
    const failure = (body: unknown) => {
      const result = EventMessage.decode(body)
      return Result.isFailure(result) ? result.failure.message : assert.fail("should have failed")
    }
    assert.include(failure(null), "event should be an object, and is null")
    assert.include(failure([EventMessage.encode(started), {}]), "event[1].type")
    assert.include(failure({ type: "t" }), "event.hostname")
    assert.include(failure({ type: "t", hostname: "h", clock: "1" }), "event.clock")
  })

  it.prop("mutated ones are events or typed errors", [Schema.Int], ([seed]) => {
    const r = Random.random(seed)
    const result = EventMessage.decode(Random.mutate(r, EventMessage.encodeMulti([started, started])))
    if (Result.isFailure(result)) assert.strictEqual(result.failure._tag, "InvalidEvent")
  })
})
