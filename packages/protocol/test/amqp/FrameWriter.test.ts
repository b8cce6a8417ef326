import * as Command from "@apium/protocol/amqp/Command"
import { borrowedSize, FrameWriter } from "@apium/protocol/amqp/FrameWriter"
import * as Method from "@apium/protocol/amqp/Method"
import { assert, describe, it } from "@effect/vitest"

describe("a frame writer", () => {
  it("gives what has gathered in pieces, whole and in order, which stay what they are while more is written", () => {
    const writer = new FrameWriter(131_072)
    const sent = Array.from({ length: 3000 }, (_, index) => ({
      key: `key-${index}`,
      body: new Uint8Array(index % 500 === 499 ? borrowedSize + index : index % 97).fill(index)
    }))
    const chunks: Array<Uint8Array> = []
    let size = 0
    for (const [index, { key, body }] of sent.entries()) {
      writer.publish(1, Method.basicPublish({ routingKey: key }), { properties: {}, body })
      if (index % 1300 !== 1299) continue
      size += writer.size
      chunks.push(...writer.take())
    }
    size += writer.size
    chunks.push(...writer.take())
    assert.isAbove(chunks.length, 3)
    assert.strictEqual(
      chunks.reduce((sum, { length }) => sum + length, 0),
      size
    )

    const received: Array<{ readonly key: string; readonly body: Uint8Array }> = []
    const parser = new Command.CommandParser({
      side: "server",
      frameMax: 131_072,
      onCommand: ({ content, method }) =>
        void received.push({ key: (method as Method.BasicPublish).routingKey, body: content!.body }),
      onRefused: (error) => assert.fail(error.message)
    })
    for (const chunk of chunks) parser.pushUnsafe(chunk)
    assert.deepStrictEqual(received, sent)
  })
})
