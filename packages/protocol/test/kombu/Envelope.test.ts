import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { assert, describe, it } from "@effect/vitest"
import * as Envelope from "@apium/protocol/kombu/Envelope"
import * as Captures from "../support/Captures.ts"
import * as Random from "../support/Random.ts"

const captured = Captures.load().envelopes.map(({ value }) => value)

const envelope: Envelope.Envelope = {
  body: Uint8Array.of(0, 255),
  headers: { task: "t.add", id: "1" },
  properties: {
    contentType: "application/json",
    contentEncoding: "utf-8",
    deliveryMode: "persistent",
    priority: 3,
    correlationId: "1",
    replyTo: "oid",
    expiration: "60000",
    messageId: "m",
    timestamp: new Date("2031-05-06T07:08:09Z"),
    type: "t",
    userId: "u",
    appId: "a",
    clusterId: "c"
  },
  deliveryTag: "tag",
  deliveryInfo: { exchange: "", routingKey: "celery" },
  redelivered: false,
  bodyEncoding: "base64"
}

const refusal = (text: string): string => {
  const result = Envelope.decode(text)
  assert.isTrue(Result.isFailure(result), text)
  return (result as Result.Failure<Envelope.Envelope, Envelope.InvalidEnvelope>).failure.message
}

describe("Envelope", () => {
  it("comes back with every property", () => {
    assert.deepStrictEqual(Envelope.decodeUnsafe(Envelope.encode(envelope)), envelope)
    const plain: Envelope.Envelope = { ...envelope, body: new TextEncoder().encode("å"), bodyEncoding: "plain" }
    assert.deepStrictEqual(Envelope.decodeUnsafe(Envelope.encode(plain)), plain)
    assert.throws(() => Envelope.encode({ ...envelope, bodyEncoding: "plain" }), /not UTF-8/)
    assert.throws(() => Envelope.encode({ ...envelope, headers: { x: () => 1 } }), /headers\.x/)
  })

  it("marks a redelivery in both places, and reads either", () => {
    const text = Envelope.encode({ ...envelope, redelivered: true })
    const wire = JSON.parse(text) as { headers: Record<string, unknown>; properties: { delivery_info: unknown } }
    assert.isTrue(wire.headers.redelivered)
    assert.deepStrictEqual(wire.properties.delivery_info, { exchange: "", routing_key: "celery", redelivered: true })
    assert.deepStrictEqual(Envelope.decodeUnsafe(text), { ...envelope, redelivered: true })
    const once =
      '{"body": "", "headers": {"redelivered": true}, "properties": {"delivery_tag": 1, "delivery_info": {}}}'
    assert.isTrue(Envelope.decodeUnsafe(once).redelivered)
    assert.deepStrictEqual(Envelope.decodeUnsafe(once).headers, {})
  })

  it("keeps keys it does not know", () => {
    const text =
      '{"body": "x", "future": 1, "headers": {}, "properties": {"delivery_tag": "t", "delivery_info": {"exchange": "e", "routing_key": "k", "shard": 2}, "ttl": 3}}'
    const decoded = Envelope.decodeUnsafe(text)
    assert.deepStrictEqual(decoded.extra, {
      message: { future: 1 },
      properties: { ttl: 3 },
      deliveryInfo: { shard: 2 }
    })
    assert.deepStrictEqual(Envelope.decodeUnsafe(Envelope.encode(decoded)).extra, decoded.extra)
  })

  it("says which field is wrong", () => {
    assert.include(refusal("[]"), "The envelope should be an object, and is an array of 0")
    assert.include(refusal("{"), "one JSON object")
    assert.include(refusal("{}"), "properties should be an object, and is missing")
    assert.include(refusal('{"properties": {}}'), "delivery_tag")
    const withBody = (body: string) =>
      `{"body": ${body}, "properties": {"delivery_tag": "t", "body_encoding": "base64"}}`
    assert.include(refusal(withBody('"*"')), "base64")
    assert.include(refusal(withBody("{}")), "body should be a string")
    assert.include(refusal('{"properties": {"delivery_tag": "t", "priority": "x"}}'), "priority")
    assert.include(refusal('{"properties": {"delivery_tag": "t", "body_encoding": "rot13"}}'), "body_encoding")
  })

  it.prop("mutated envelopes are envelopes or typed errors", [Schema.Int], ([seed]) => {
    const r = Random.random(seed)
    const text = r.pick(captured)
    const bytes = Random.mutateBytes(r, new TextEncoder().encode(text.slice(0, 4000)))
    const results = [Envelope.decode(new TextDecoder().decode(bytes))]
    const mutated = Random.mutate(r, JSON.parse(text))
    try {
      results.push(Result.succeed(Envelope.fromRecord(mutated)))
    } catch (error) {
      assert.instanceOf(error, Envelope.InvalidEnvelope)
    }
    for (const result of results)
      if (Result.isFailure(result)) assert.instanceOf(result.failure, Envelope.InvalidEnvelope)
    assert.isUndefined(({} as Record<string, unknown>).polluted)
  })
})
