import { assert, describe, it } from "@effect/vitest"
import * as ControlMessage from "@apium/protocol/celery/ControlMessage"
import { fixture } from "../support/Captures.ts"

const reply = (name: string): unknown => {
  const { decodedReply } = fixture(`5.6.3/pidbox-amqp/${name}.json`) as {
    decodedReply: ReadonlyArray<Record<string, unknown>>
  }
  return Object.values(decodedReply[0]!)[0]
}

describe("ControlMessage", () => {
  it("answers in Celery's words", () => {
    const { texts, ok } = ControlMessage
    assert.deepStrictEqual(ControlMessage.unknownCommand("no_such_command"), reply("no_such_command"))
    assert.deepStrictEqual(ControlMessage.pong, reply("ping"))
    assert.deepStrictEqual(ok(texts.revoked(["some-unknown-id"])), reply("revoke"))
    assert.deepStrictEqual(ok(texts.rateLimitSet), reply("rate_limit"))
    assert.deepStrictEqual(ok(texts.timeLimitSet), reply("time_limit"))
    assert.deepStrictEqual(ok(texts.eventsAlreadyEnabled), reply("enable_events"))
    assert.deepStrictEqual(ok(texts.eventsEnabled), reply("two_enable_events"))
    assert.deepStrictEqual(ok(texts.eventsDisabled), reply("two_disable_events"))
    assert.deepStrictEqual(ok(texts.poolWillGrow), reply("pool_grow"))
    assert.deepStrictEqual(ok(texts.poolWillShrink), reply("two_pool_shrink"))
    assert.deepStrictEqual(ok(texts.reloadStarted), reply("two_pool_restart"))
    assert.deepStrictEqual(ok(texts.autoscale(6, 2)), reply("two_autoscale"))
    assert.deepStrictEqual(ok(texts.consumerAdded("wire.added")), reply("add_consumer"))
    assert.deepStrictEqual(ok(texts.consumerCancelled("wire.added")), reply("cancel_consumer"))
    assert.deepStrictEqual(ok(texts.terminated(["2361fac6-b6dd-44bf-9722-ccba1f90970c"])), reply("terminate"))
  })

  it("tells replies apart", () => {
    assert.deepStrictEqual(ControlMessage.decodeReplyValue({ ok: "pong" }), { _tag: "Ok", value: "pong" })
    assert.deepStrictEqual(ControlMessage.decodeReplyValue({ error: "KeyError('x')" }), {
      _tag: "Error",
      message: "KeyError('x')"
    })
    assert.deepStrictEqual(ControlMessage.decodeReplyValue({ clock: 1 }), { _tag: "Value", value: { clock: 1 } })
    assert.deepStrictEqual(ControlMessage.decodeReplyValue(["a"]), { _tag: "Value", value: ["a"] })
  })

  it("knows the old names", () => {
    assert.strictEqual(ControlMessage.canonical("dump_conf"), "conf")
    assert.strictEqual(ControlMessage.canonical("constructor"), "constructor")
  })
})
