import * as Frame from "@apium/protocol/amqp/Frame"
import { borrowedSize, FrameWriter } from "@apium/protocol/amqp/FrameWriter"
import * as Method from "@apium/protocol/amqp/Method"
import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { random } from "../support/Random.ts"
import * as Frames from "./support/Frames.ts"

const publish = Method.basicPublish({ exchange: "x", routingKey: "k", mandatory: true })
const body = (size: number, seed = 1): Uint8Array => {
  const { below } = random(seed)
  return Uint8Array.from({ length: size }, () => below(256))
}

const written = (write: (writer: FrameWriter) => void, frameMax = 4096): Uint8Array => {
  const writer = new FrameWriter(frameMax)
  write(writer)
  return Frames.concat(writer.take())
}

const header = (channel: number, size: number, high = 0, classId = 60): Uint8Array => {
  const payload = new Uint8Array(14)
  const view = new DataView(payload.buffer)
  view.setUint16(0, classId)
  view.setUint32(4, high)
  view.setUint32(8, size)
  return Frame.encode({ type: 2, channel, payload })
}
const part = (channel: number, size: number): Uint8Array =>
  Frame.encode({ type: 3, channel, payload: new Uint8Array(size) })
const begin = (channel: number): Uint8Array => Frame.method(channel, publish)

const failing = (side: "client" | "server", ...frames: ReadonlyArray<Uint8Array>) => {
  const { parser } = Frames.listen({ side })
  const pushed = parser.push(Frames.concat(frames))
  if (Result.isSuccess(pushed)) throw new Error("This should have been refused")
  return { code: pushed.failure.replyCode, channel: pushed.failure.channel, message: pushed.failure.message }
}

describe("a message", () => {
  it("comes back bit for bit at every size where frames begin and end", () => {
    const frameMax = 4096
    const payload = frameMax - 8
    const sizes = [0, 1, borrowedSize - 1, borrowedSize, borrowedSize + 1, 100_000]
    for (let count = 1; count <= 4; count++) sizes.push(count * payload - 1, count * payload, count * payload + 1)
    for (const limit of [frameMax, 131_072, 0]) {
      for (const size of sizes) {
        const content = { properties: {}, headers: { n: size }, body: body(size, size) }
        const bytes = written((writer) => writer.publish(7, publish, content), limit)
        const { parser, heard } = Frames.listen({ frameMax: limit })
        parser.pushUnsafe(bytes)
        assert.deepStrictEqual(heard.commands, [
          {
            channel: 7,
            method: publish,
            content: {
              properties: (heard.commands[0] as { content: { properties: object } }).content.properties,
              headers: { n: size },
              body: Frames.toHex(content.body)
            }
          }
        ])
        assert.deepStrictEqual(heard.refused, [])
      }
    }
  })

  it("that is small is one chunk with all that was written before it", () => {
    const writer = new FrameWriter(131_072)
    for (let index = 1; index <= 100; index++) {
      writer.ack(1, index, index % 2 === 0)
      writer.publish(1, publish, { properties: { contentType: "text/plain" }, headers: {}, body: body(100) })
    }
    assert.isAbove(writer.size, 10_000)
    assert.strictEqual(writer.take().length, 1)
    assert.strictEqual(writer.size, 0)
    assert.deepStrictEqual(writer.take(), [])
  })

  it("that was taken stays what it is while others are written", () => {
    const writer = new FrameWriter(131_072)
    const content = (index: number) => ({ properties: {}, headers: { index }, body: body(1000, index) })
    const taken: Array<Uint8Array> = []
    const expected: Array<Uint8Array> = []
    for (let index = 0; index < 300; index++) {
      writer.publish(1, publish, content(index))
      if (index % 7 === 0) taken.push(...writer.take())
      expected.push(written((other) => other.publish(1, publish, content(index)), 131_072))
    }
    taken.push(...writer.take())
    assert.strictEqual(Frames.toHex(Frames.concat(taken)), Frames.toHex(Frames.concat(expected)))
  })

  it("whose header fits in no frame is refused before a byte is written", () => {
    const writer = new FrameWriter(131_072)
    writer.heartbeat()
    const content = { properties: {}, headers: { jwt: "x".repeat(200_000) }, body: body(3) }
    let error: unknown
    try {
      writer.publish(1, publish, content)
    } catch (caught) {
      error = caught
    }
    assert.deepInclude(error, { _tag: "FrameTooLarge", frameMax: 131_072 })
    assert.strictEqual(writer.size, 8)
    writer.publish(1, publish, { ...content, headers: {} })
    const { parser, heard } = Frames.listen()
    parser.pushUnsafe(Frames.concat(writer.take()))
    assert.strictEqual(heard.heartbeats, 1)
    assert.strictEqual(heard.commands.length, 1)
  })

  it("with a value that cannot be written leaves nothing behind, and says where it is", () => {
    const writer = new FrameWriter(131_072)
    const bad = [
      [{ a: { b: [1, Symbol.iterator] } }, "headers.a.b[1]"],
      [{ a: new Map() }, "headers.a"],
      [{ a: 2n ** 64n }, "headers.a"],
      [{ ["k".repeat(256)]: 1 }, "the key of a table"]
    ] as const
    for (const [headers, path] of bad) {
      let error: unknown
      try {
        writer.publish(1, publish, { properties: {}, headers, body: body(1) })
      } catch (caught) {
        error = caught
      }
      assert.deepInclude(error, { _tag: "InvalidValue", path })
      assert.strictEqual(writer.size, 0)
    }
  })

  it("of one channel may come between the frames of another's", () => {
    const { parser, heard } = Frames.listen()
    const frames = [
      begin(1),
      begin(2),
      header(2, 4),
      header(1, 3),
      part(1, 1),
      part(2, 4),
      begin(2),
      part(1, 2),
      header(2, 0)
    ]
    for (const frame of frames) parser.pushUnsafe(frame)
    const sizes = heard.commands.map((command) => {
      const { channel, content } = command as { channel: number; content: { body: string } }
      return [channel, content.body.length / 2]
    })
    assert.deepStrictEqual(sizes, [
      [2, 4],
      [1, 3],
      [2, 0]
    ])
  })

  it("gives its headers when they are asked for, and one that makes no sense fails alone", () => {
    const bytes = written((writer) =>
      writer.publish(1, publish, { properties: { appId: "a" }, headers: { k: 1 }, body: body(2) })
    )
    // The letter of the value: I becomes a letter that nobody knows.
    bytes[bytes.indexOf(0x6b, 40) + 1] = 0x7a
    const results: Array<unknown> = []
    const { parser } = Frames.listen({
      onCommand: ({ content }) =>
        results.push(content!.properties.appId, Result.isFailure(content!.headers()), content!.hasHeaders)
    })
    parser.pushUnsafe(bytes)
    parser.pushUnsafe(written((writer) => writer.publish(1, publish, { properties: {}, body: body(2) })))
    assert.deepStrictEqual(results, ["a", true, true, undefined, false, false])
  })
})

describe("settling", () => {
  it("writes the octets that the methods write", () => {
    for (const tag of [1, 255, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER]) {
      for (const flag of [true, false]) {
        const pairs: ReadonlyArray<readonly [(writer: FrameWriter) => void, Method.Method]> = [
          [(writer) => writer.ack(513, tag, flag), Method.basicAck({ deliveryTag: tag, multiple: flag })],
          [(writer) => writer.reject(513, tag, flag), Method.basicReject({ deliveryTag: tag, requeue: flag })],
          [
            (writer) => writer.nack(513, tag, flag, !flag),
            Method.basicNack({ deliveryTag: tag, multiple: flag, requeue: !flag })
          ]
        ]
        for (const [fast, method] of pairs) {
          assert.deepStrictEqual(
            written(fast),
            written((writer) => writer.method(513, method))
          )
          assert.deepStrictEqual(written(fast), Frame.method(513, method))
        }
      }
    }
  })
})

describe("frames that do not belong", () => {
  it("are refused with the reply code of the specification", () => {
    const { code, channel } = failing("server", begin(4), header(4, 3), part(4, 5))
    assert.deepStrictEqual([code, channel], [501, 4])
    assert.deepStrictEqual(failing("server", header(4, 3)).code, 505)
    assert.deepStrictEqual(failing("server", part(4, 3)).code, 505)
    assert.deepStrictEqual(failing("server", begin(4), part(4, 3)).code, 505)
    assert.deepStrictEqual(failing("server", begin(4), begin(4)).code, 505)
    assert.deepStrictEqual(failing("server", begin(4), header(4, 3), header(4, 3)).code, 505)
    assert.deepStrictEqual(failing("server", begin(4), header(4, 3), Frame.method(4, Method.txSelect)).code, 505)
    assert.deepStrictEqual(failing("server", begin(4), header(4, 3, 0, 50)).code, 505)
    assert.deepStrictEqual(failing("server", header(0, 3)).code, 504)
    assert.deepStrictEqual(failing("server", Frame.method(0, Method.channelOpen)).code, 504)
    assert.deepStrictEqual(failing("server", Frame.method(3, Method.connectionCloseOk)).code, 503)
    assert.deepStrictEqual(failing("server", Frame.method(3, Method.queueDeclareOk())).code, 503)
    assert.deepStrictEqual(failing("client", begin(3)).code, 503)
  })

  it("name the method, and show nothing of a login", () => {
    const startOk = Method.encodeUnsafe(
      Method.connectionStartOk({ mechanism: "PLAIN", response: new TextEncoder().encode("\0guest\0hunter2") })
    )
    const { parser } = Frames.listen({ side: "server" })
    const pushed = parser.push(Frame.encode({ type: 1, channel: 0, payload: startOk.subarray(0, -2) }))
    if (Result.isSuccess(pushed)) throw new Error("This should have been refused")
    assert.include(pushed.failure.message, "in connection.start-ok on channel 0")
    assert.deepInclude(pushed.failure, { classId: 10, methodId: 11 })
    assert.isUndefined(pushed.failure.octets)
    assert.notInclude(JSON.stringify(pushed.failure), "hunter2")
  })
})

describe("a message that is too large", () => {
  it("is its channel's affair: nothing is buffered, and the connection goes on", () => {
    const { parser, heard } = Frames.listen({ side: "server", maxMessageSize: 1000 })
    parser.pushUnsafe(Frames.concat([begin(1), header(1, 1001), begin(2), header(2, 1000)]))
    assert.deepStrictEqual(
      heard.refused.map(({ replyCode, channel, scope }) => [replyCode, channel, scope]),
      [[311, 1, "channel"]]
    )
    parser.pushUnsafe(Frames.concat([part(1, 900), part(2, 1000), part(1, 101), begin(1), header(1, 0)]))
    assert.strictEqual(heard.commands.length, 2)
    assert.strictEqual(heard.refused.length, 1)
  })

  it("may be broken off by the closing of its channel", () => {
    const { parser, heard } = Frames.listen({ side: "server", maxMessageSize: 10 })
    parser.pushUnsafe(
      Frames.concat([begin(1), header(1, 11), Frame.method(1, Method.channelCloseOk), begin(1), header(1, 0)])
    )
    assert.strictEqual(heard.commands.length, 2)
  })

  it("takes no memory for what it announces", () => {
    const { parser, heard } = Frames.listen({ side: "server", maxMessageSize: Number.MAX_SAFE_INTEGER })
    parser.pushUnsafe(Frames.concat([begin(1), header(1, 0xffff_ffff, 0x0000_ffff), part(1, 10)]))
    parser.forget(1)
    parser.pushUnsafe(Frames.concat([begin(1), header(1, 0xffff_ffff, 0x7fff_ffff)]))
    assert.strictEqual(heard.commands.length, 0)
    assert.strictEqual(heard.refused.length, 1)
  })
})
