import * as Constants from "@apium/protocol/amqp/Constants"
import * as Frame from "@apium/protocol/amqp/Frame"
import * as FrameParser from "@apium/protocol/amqp/FrameParser"
import * as Method from "@apium/protocol/amqp/Method"
import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { random } from "../support/Random.ts"
import * as Frames from "./support/Frames.ts"

const header = (type: number, channel: number, size: number): Uint8Array => {
  const bytes = new Uint8Array(7)
  const view = new DataView(bytes.buffer)
  view.setUint8(0, type)
  view.setUint16(1, channel)
  view.setUint32(3, size)
  return bytes
}

const failure = (bytes: Uint8Array, frameMax = 4096) => {
  const parser = new FrameParser.FrameParser(() => undefined, frameMax)
  const pushed = parser.push(bytes)
  assert.isTrue(Result.isFailure(pushed))
  if (!Result.isFailure(pushed)) throw new Error("unreachable")
  // It stays failed, whatever comes.
  const again = parser.push(Frame.heartbeat())
  assert.isTrue(Result.isFailure(again) && again.failure === pushed.failure)
  assert.strictEqual(parser.buffered, 0)
  return pushed.failure
}

describe("a frame parser", () => {
  const sessions = [...Frames.streams(), ...Frames.recorded().map(({ bytes }) => bytes)]

  it("reads the same frames however the bytes are cut", () => {
    assert.isAbove(sessions.length, 20)
    sessions.forEach((session, seed) => {
      const whole = Frames.listen()
      whole.parser.pushUnsafe(session)
      const slicers: ReadonlyArray<() => number> = [
        () => 1,
        () => 2,
        () => 7,
        () => 1 + random(seed).below(64),
        () => 4096
      ]
      const { below } = random(seed)
      for (const size of [...slicers, () => 1 + below(300)]) {
        const cut = Frames.listen()
        for (let at = 0; at < session.length;) {
          const end = Math.min(at + size(), session.length)
          // A view into a larger buffer, as a socket's pool gives.
          const pooled = new Uint8Array(end - at + 13)
          pooled.set(session.subarray(at, end), 5)
          cut.parser.pushUnsafe(pooled.subarray(5, 5 + end - at))
          // The chunk is the socket's again: what was handed out must not change with it.
          pooled.fill(0xff)
          at = end
        }
        assert.deepStrictEqual(cut.heard, whole.heard)
      }
    })
  })

  it("reads ten thousand frames the same from six sizes of reads, a mebibyte at once among them", () => {
    const trace = Frames.concat(Array.from({ length: 11 }, () => sessions).flat())
    const { below } = random(1)
    const read = (size: () => number) => {
      let frames = 0
      // What was read, in one number: octets, channels, places.
      let sum = 0
      const parser = new FrameParser.FrameParser((type, channel, bytes, start, end) => {
        frames++
        for (let at = start; at < end; at += 61) sum = (Math.imul(sum, 31) + bytes[at]!) | 0
        sum = (Math.imul(sum, 31) + type + channel * 8 + (end - start)) | 0
      }, 131_072)
      for (let at = 0; at < trace.length;) {
        const end = Math.min(at + size(), trace.length)
        parser.pushUnsafe(trace.subarray(at, end))
        at = end
      }
      return [frames, sum]
    }
    const whole = read(() => trace.length)
    assert.isAbove(whole[0]!, 10_000)
    // The header comes in three pieces and more: 1, 2 and 3.
    for (const size of [() => 1, () => 2, () => 3, () => 1 + below(20), () => 1 + below(5000), () => 1 << 20]) {
      assert.deepStrictEqual(read(size), whole)
    }
  })

  it("takes a Node.js Buffer for what it is, and gives copies that are copies", () => {
    const [session] = sessions.toSorted((a, b) => b.length - a.length)
    const whole = Frames.listen()
    whole.parser.pushUnsafe(session!)
    const buffer = Buffer.from(session!)
    const contents: Array<() => unknown> = []
    const other = Frames.listen({ onCommand: (command) => void contents.push(() => Frames.plain(command)) })
    other.parser.pushUnsafe(buffer)
    buffer.fill(0xff)
    assert.deepStrictEqual(
      contents.map((read) => read()),
      whole.heard.commands
    )
  })

  it("refuses a frame by its size as soon as the header is in, and holds nothing for it", () => {
    for (const size of [4089, 131_072, 0x7fff_ffff, 0xffff_ffff]) {
      const error = failure(header(1, 0, size))
      assert.include(error, { replyCode: 501, scope: "connection", channel: 0 })
      assert.include(error.message, `${size + 8}`)
    }
    assert.isTrue(Result.isSuccess(new FrameParser.FrameParser(() => undefined, 4096).push(header(1, 0, 4088))))
  })

  it("takes larger frames once the connection is tuned", () => {
    const sizes: Array<number> = []
    const parser = new FrameParser.FrameParser((_type, _channel, _bytes, start, end) => void sizes.push(end - start))
    parser.frameMax = 131_072
    parser.pushUnsafe(Frame.encode({ type: 3, channel: 1, payload: new Uint8Array(131_064) }))
    assert.deepStrictEqual(sizes, [131_064])
    assert.isTrue(
      Result.isFailure(parser.push(Frame.encode({ type: 3, channel: 1, payload: new Uint8Array(131_065) })))
    )
  })

  it("refuses what no frame can be, with 501", () => {
    const method = Frame.method(1, Method.channelOpen)
    assert.strictEqual(failure(method.with(method.length - 1, 0)).message, "A frame ends with 0, and not with 206")
    for (const type of [0, 4, 7, 9, 255])
      assert.strictEqual(failure(header(type, 0, 0)).replyCode, Constants.frameError)
    const heartbeat = Frame.encode({ type: Constants.frameHeartbeat, channel: 3, payload: new Uint8Array(0) })
    assert.include(failure(heartbeat), { replyCode: 501, channel: 3 })
  })

  it("says who answers in place of a broker", () => {
    assert.include(failure(new TextEncoder().encode("HTTP/1.1 400 Bad Request")).message, "An HTTP server answers")
    assert.include(failure(Frame.protocolHeader()).message, "The peer offers AMQP")
    assert.include(failure(Uint8Array.from([0x15, 3, 3, 0, 2, 2, 70])).message, "A TLS peer answers")
  })

  it("stays failed when who takes its frames fails, and lets that failure through", () => {
    const parser = new FrameParser.FrameParser(() => {
      throw new Error("mine")
    })
    assert.throws(() => parser.push(Frame.heartbeat()), "mine")
    const again = parser.push(Frame.heartbeat())
    assert.isTrue(Result.isFailure(again) && again.failure.replyCode === Constants.internalError)
  })

  it("finds that the last frame is cut", () => {
    const cut = FrameParser.parseAll(Frame.heartbeat().subarray(0, 7))
    assert.isTrue(Result.isFailure(cut) && cut.failure.message.includes("7 octets"))
  })
})
