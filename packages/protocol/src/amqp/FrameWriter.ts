/**
 * Methods and messages into one buffer, and out of it in as few pieces as can be: what is written between two calls of `take` is one chunk, method, header
 * and body of small messages included. Bodies above {@link borrowedSize} are not copied: they stand between two chunks as they are, and must not be
 * written to until they are sent.
 *
 * A call either writes all of its frames or none: it fails with `InvalidValue` for a value that cannot be written, with `FrameTooLarge` for a method or a
 * header that no frame of this connection can carry, and leaves what was there before.
 */
import { ByteWriter } from "../internal/byteWriter.ts"
import { FrameTooLarge } from "./AmqpError.ts"
import * as BasicProperties from "./BasicProperties.ts"
import * as Constants from "./Constants.ts"
import type { FieldTable } from "./FieldTable.ts"
import * as Method from "./Method.ts"

/** Bodies of more octets are handed on without a copy. */
export const borrowedSize = 8192

/** A method that a content header and a body follow. */
export type ContentMethod = Extract<
  Method.Method,
  { readonly _tag: "basic.publish" | "basic.deliver" | "basic.return" | "basic.get-ok" }
>

/** What follows such a method. `headers` left out is no table; an empty one is an empty table. */
export interface Content {
  readonly properties: BasicProperties.Properties
  readonly headers?: FieldTable | undefined
  readonly body: Uint8Array
}

/** Octets of one piece, before the next begins: most of a slab. */
const pieceSize = 56 * 1024

const basicAck = 0x003c_0050
const basicReject = 0x003c_005a
const basicNack = 0x003c_0078
const basicClass = 60

export class FrameWriter {
  /** Octets of a whole frame, 0 for no limit. Set it once the connection is tuned. */
  frameMax: number
  private readonly writer = new ByteWriter()
  private chunks: Array<Uint8Array> = []
  private taken = 0

  constructor(frameMax: number = Constants.frameMinSize) {
    this.frameMax = frameMax
  }

  /** Octets that wait to be taken. */
  get size(): number {
    return this.taken + this.writer.size
  }

  /** FAST: what has gathered stays where it is, and what follows begins a piece of its own: a slab that grows is copied each time. */
  private cut(): void {
    if (this.writer.size < pieceSize) return
    const piece = this.writer.take()
    this.chunks.push(piece)
    this.taken += piece.length
  }

  /** All that was written since the last time, in order; views that stay what they are. */
  take(): ReadonlyArray<Uint8Array> {
    const { chunks, writer } = this
    if (writer.size > 0) chunks.push(writer.take())
    this.chunks = []
    this.taken = 0
    return chunks
  }

  protocolHeader(): void {
    this.writer.raw(Uint8Array.from(Constants.protocolHeader))
  }

  heartbeat(): void {
    this.end(this.begin(Constants.frameHeartbeat, 0))
  }

  /** A method without content; throws `EncodeError`. */
  method(channel: number, method: Method.Method): void {
    const mark = this.writer.size
    try {
      const frame = this.begin(Constants.frameMethod, channel)
      Method.write(this.writer, method)
      this.endChecked(frame, method._tag)
    } catch (error) {
      this.writer.at = this.writer.start + mark
      throw error
    }
  }

  /** A method, its content header and its body; throws `EncodeError`. */
  content(channel: number, method: ContentMethod, content: Content): void {
    const { writer } = this
    this.cut()
    const mark = writer.size
    const { body } = content
    try {
      const first = this.begin(Constants.frameMethod, channel)
      // The one that is written in numbers goes past the switch.
      if (method._tag === "basic.publish") Method.writeBasicPublish(writer, method)
      else Method.write(writer, method)
      this.endChecked(first, method._tag)
      const second = this.begin(Constants.frameHeader, channel)
      writer.int(basicClass << 16)
      writer.longlong(body.length, "body")
      BasicProperties.write(writer, content.properties, content.headers)
      this.endChecked(second, "The content header")
    } catch (error) {
      writer.at = writer.start + mark
      throw error
    }
    this.body(channel, body)
  }

  /** {@link content} of `basic.publish`. */
  publish(channel: number, method: Method.BasicPublish, content: Content): void {
    this.content(channel, method, content)
  }

  ack(channel: number, deliveryTag: number, multiple = false): void {
    this.settle(channel, basicAck, deliveryTag, multiple ? 1 : 0)
  }

  nack(channel: number, deliveryTag: number, multiple: boolean, requeue: boolean): void {
    this.settle(channel, basicNack, deliveryTag, (multiple ? 1 : 0) | (requeue ? 2 : 0))
  }

  reject(channel: number, deliveryTag: number, requeue: boolean): void {
    this.settle(channel, basicReject, deliveryTag, requeue ? 1 : 0)
  }

  /** 21 octets, all of them known: the same frame as {@link method} writes. */
  private settle(channel: number, id: number, deliveryTag: number, bits: number): void {
    const { writer } = this
    writer.room(21)
    const { bytes, at } = writer
    const high = Math.floor(deliveryTag / 0x1_0000_0000)
    bytes[at] = Constants.frameMethod
    bytes[at + 1] = channel >>> 8
    bytes[at + 2] = channel
    writer.patch(at + 3, 13)
    writer.patch(at + 7, id)
    writer.patch(at + 11, high)
    writer.patch(at + 15, deliveryTag)
    bytes[at + 19] = bits
    bytes[at + 20] = Constants.frameEnd
    writer.at = at + 21
  }

  private body(channel: number, body: Uint8Array): void {
    const { length } = body
    const { writer } = this
    const largest = this.frameMax === 0 ? length : this.frameMax - Constants.frameOverhead
    for (let from = 0; from < length; from += largest) {
      const until = Math.min(from + largest, length)
      const part = until - from === length ? body : body.subarray(from, until)
      writer.room(part.length > borrowedSize ? 7 : part.length + Constants.frameOverhead)
      this.frameHeader(Constants.frameBody, channel, part.length)
      if (part.length > borrowedSize) {
        const head = writer.take()
        this.chunks.push(head, part)
        this.taken += head.length + part.length
      } else {
        writer.raw(part)
      }
      writer.room(1)
      writer.bytes[writer.at++] = Constants.frameEnd
    }
  }

  private frameHeader(type: number, channel: number, size: number): void {
    const { writer } = this
    const { bytes, at } = writer
    bytes[at] = type
    bytes[at + 1] = channel >>> 8
    bytes[at + 2] = channel
    writer.patch(at + 3, size)
    writer.at = at + 7
  }

  /** A frame whose size is not known yet; where its payload begins, from the slab's `start`, for the slab may change. */
  private begin(type: number, channel: number): number {
    this.writer.room(7)
    this.frameHeader(type, channel, 0)
    return this.writer.size
  }

  private end(begun: number): number {
    const { writer } = this
    const from = writer.start + begun
    const size = writer.at - from
    writer.patch(from - 4, size)
    writer.room(1)
    writer.bytes[writer.at++] = Constants.frameEnd
    return size + Constants.frameOverhead
  }

  private endChecked(begun: number, what: string): void {
    const size = this.end(begun)
    const { frameMax } = this
    if (frameMax === 0 || size <= frameMax) return
    throw new FrameTooLarge({
      message: `${what} takes a frame of ${size} octets, and this connection carries ${frameMax} (frame_max)`,
      size,
      frameMax
    })
  }
}
