import { ChannelIds } from "@apium/transport-amqp/ChannelIds"
import { assert, describe, it } from "@effect/vitest"

describe("ChannelIds", () => {
  it("gives the lowest number that nobody has", () => {
    const ids = new ChannelIds(8)
    assert.deepStrictEqual([ids.allocate(), ids.allocate(), ids.allocate(), ids.allocate()], [1, 2, 3, 4])
    ids.release(3)
    ids.release(1)
    assert.deepStrictEqual([ids.allocate(), ids.allocate(), ids.allocate()], [1, 3, 5])
  })

  it("has no more than the two sides agreed on", () => {
    const ids = new ChannelIds(2)
    assert.deepStrictEqual([ids.allocate(), ids.allocate(), ids.allocate()], [1, 2, undefined])
    ids.release(2)
    assert.strictEqual(ids.allocate(), 2)
  })

  it("has all that a frame can name where they agreed on no limit", () => {
    assert.strictEqual(new ChannelIds(0).channelMax, 65_535)
  })
})
