/**
 * Frames out of bytes that are cut anywhere.
 *
 * ```text
 *   0      1         3             7                  size+7 size+8
 *   +------+---------+-------------+  +------------+  +-----------+
 *   | type | channel |    size     |  |  payload   |  | frame-end |
 *   +------+---------+-------------+  +------------+  +-----------+
 * ```
 *
 * A frame that is whole in a chunk is handed out in place. One that is not is gathered in a buffer of its own, made once its header is in and its size is
 * known to be allowed: a size too large is refused by the header alone, nothing more than one frame is ever held, and where frames have no limit a large
 * one takes memory as it arrives, never as announced.
 *
 * It knows frames, not what is in them: `Command` does. A parser that has failed stays failed, for nobody can know where the next frame begins.
 */
import * as Result from "effect/Result"
import { AmqpError, preview } from "./AmqpError.ts"
import * as Constants from "./Constants.ts"

/** A frame's payload is `bytes` from `start` to `end`, and belongs to the chunk: copy what has to outlive the call. It may throw {@link AmqpError}. */
export type OnFrame = (type: number, channel: number, bytes: Uint8Array, start: number, end: number) => void

const headerSize = 7
/** What a frame may take before its octets are there: as much as the largest of most connections, which are of 131,072 octets. */
const taken = 131_072

export class FrameParser {
  /** Octets of a whole frame, 0 for no limit but memory. Set it once the connection is tuned. */
  frameMax: number
  private readonly onFrame: OnFrame
  private failure: AmqpError | undefined
  /** Octets of a frame that is not whole: its header, and once that is in, all of it. */
  private readonly header = new Uint8Array(headerSize)
  private frame: Uint8Array = this.header
  private held = 0
  /** Octets of that frame when it is whole. */
  private whole = 0

  /** Until the connection is tuned, frames are of `Constants.frameMinSize` at the most; a server's first one may be larger, so clients begin with more. */
  constructor(onFrame: OnFrame, frameMax: number = Constants.frameMinSize) {
    this.onFrame = onFrame
    this.frameMax = frameMax
  }

  /** Octets that wait for the rest of their frame. */
  get buffered(): number {
    return this.held
  }

  /** Takes the next bytes, and hands out the frames that are whole now. After a failure, always that failure. */
  push(chunk: Uint8Array): Result.Result<void, AmqpError> {
    try {
      this.pushUnsafe(chunk)
      return Result.void
    } catch (error) {
      if (error instanceof AmqpError) return Result.fail(error)
      throw error
    }
  }

  /** The same; throws {@link AmqpError}. */
  pushUnsafe(pushed: Uint8Array): void {
    if (this.failure !== undefined) throw this.failure
    // FAST: a Node.js Buffer makes its views in JavaScript, and its `slice` is no copy.
    const chunk =
      pushed.constructor === Uint8Array ? pushed : new Uint8Array(pushed.buffer, pushed.byteOffset, pushed.byteLength)
    try {
      let at = this.held === 0 ? 0 : this.resume(chunk)
      const { length } = chunk
      while (length - at >= headerSize) {
        const end = at + headerSize + this.payloadSize(chunk, at)
        if (end >= length) break
        this.deliver(chunk, at, end)
        at = end + 1
      }
      if (at < length) this.keep(chunk, at)
    } catch (error) {
      // Who takes the frames has thrown: the chunk's other frames are lost, and the stream with them.
      this.failure =
        error instanceof AmqpError
          ? error
          : new AmqpError({ message: "A frame could not be handed out", replyCode: Constants.internalError })
      this.frame = this.header
      this.held = 0
      throw error
    }
  }

  /** Goes on with the frame that was begun; where the chunk's next frame begins. */
  private resume(chunk: Uint8Array): number {
    let at = 0
    if (this.frame === this.header) {
      at = Math.min(headerSize - this.held, chunk.length)
      this.header.set(chunk.subarray(0, at), this.held)
      this.held += at
      if (this.held < headerSize) return at
      this.begin(this.header, 0)
    }
    const count = Math.min(this.whole - this.held, chunk.length - at)
    const frame = this.room(this.held + count)
    frame.set(chunk.subarray(at, at + count), this.held)
    this.held += count
    if (this.held === this.whole) {
      this.frame = this.header
      this.held = 0
      this.deliver(frame, 0, frame.length - 1)
    }
    return at + count
  }

  /** Holds the beginning of a frame. */
  private keep(chunk: Uint8Array, at: number): void {
    const count = chunk.length - at
    if (count >= headerSize) this.begin(chunk, at)
    this.room(count).set(chunk.subarray(at), 0)
    this.held = count
  }

  /** A buffer for the frame whose header stands at `at`. */
  private begin(bytes: Uint8Array, at: number): void {
    this.whole = headerSize + this.payloadSize(bytes, at) + 1
    this.frame = new Uint8Array(Math.min(this.whole, taken))
    this.frame.set(bytes.subarray(at, at + headerSize), 0)
  }

  /** The frame's buffer, with room for so many of its octets. */
  private room(octets: number): Uint8Array {
    const { frame } = this
    if (octets <= frame.length) return frame
    this.frame = new Uint8Array(Math.min(this.whole, Math.max(octets, frame.length * 2)))
    this.frame.set(frame.subarray(0, this.held), 0)
    return this.frame
  }

  /** The header's size, once the header is known to be allowed. */
  private payloadSize(bytes: Uint8Array, at: number): number {
    const type = bytes[at]!
    const size = ((bytes[at + 3]! << 24) | (bytes[at + 4]! << 16) | (bytes[at + 5]! << 8) | bytes[at + 6]!) >>> 0
    if (type < 1 || (type > 3 && type !== Constants.frameHeartbeat)) {
      throw refuse(`${foreign(bytes, at, type)}: AMQP 0-9-1 knows frames of type 1, 2, 3 and 8`, bytes, at, undefined)
    }
    if (size > this.largest) {
      const channel = (bytes[at + 1]! << 8) | bytes[at + 2]!
      throw refuse(
        `A frame of ${size + Constants.frameOverhead} octets, and ${this.largest + Constants.frameOverhead} are the most`,
        bytes,
        at,
        channel
      )
    }
    return size
  }

  private get largest(): number {
    return this.frameMax === 0 ? 0x7fff_ffff : this.frameMax - Constants.frameOverhead
  }

  private deliver(bytes: Uint8Array, at: number, end: number): void {
    const type = bytes[at]!
    const channel = (bytes[at + 1]! << 8) | bytes[at + 2]!
    if (bytes[end] !== Constants.frameEnd) {
      throw refuse(`A frame ends with ${bytes[end]}, and not with ${Constants.frameEnd}`, bytes, at, channel)
    }
    if (type === Constants.frameHeartbeat && channel !== 0) {
      throw refuse(`A heartbeat on channel ${channel}: heartbeats are the connection's`, bytes, at, channel)
    }
    this.onFrame(type, channel, bytes, at + headerSize, end)
  }
}

/** What it looks like, where it looks like something: seven octets are here. */
const foreign = (bytes: Uint8Array, at: number, type: number): string => {
  const text = String.fromCharCode(...bytes.subarray(at, at + 4))
  if (text === "AMQP")
    return `The peer offers AMQP ${bytes[at + 5]}-${bytes[at + 6]} or another version in place of a frame`
  if (text === "HTTP") return "An HTTP server answers in place of a broker"
  return type === 0x15 || type === 0x16 ? "A TLS peer answers in place of a broker" : `A frame of type ${type}`
}

/** The seven octets of the header say enough, and hold no secret. */
const refuse = (message: string, bytes: Uint8Array, at: number, channel: number | undefined): AmqpError =>
  new AmqpError({
    message,
    replyCode: Constants.frameError,
    octets: preview(bytes, at, Math.min(at + headerSize, bytes.length)),
    ...(channel === undefined ? undefined : { channel })
  })

/** A whole frame as data. */
export interface Frame {
  readonly type: number
  readonly channel: number
  readonly payload: Uint8Array
}

/** All frames of `bytes`, which hold whole frames only; for tests and tools. Payloads are copies. */
export const parseAll = (bytes: Uint8Array, frameMax = 0): Result.Result<ReadonlyArray<Frame>, AmqpError> => {
  const frames: Array<Frame> = []
  const parser = new FrameParser(
    (type, channel, chunk, start, end) => void frames.push({ type, channel, payload: chunk.slice(start, end) }),
    frameMax
  )
  const pushed = parser.push(bytes)
  if (Result.isFailure(pushed)) return Result.fail(pushed.failure)
  return parser.buffered === 0
    ? Result.succeed(frames)
    : Result.fail(
        new AmqpError({
          message: `The last frame is cut: ${parser.buffered} octets of it are here`,
          replyCode: Constants.frameError
        })
      )
}
