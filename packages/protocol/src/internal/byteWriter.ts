/**
 * Writes AMQP's primitive types into a slab, and hands out what was written as views of it. A slab is never written twice, so a view stays what it is for as
 * long as a socket wants it; when the slab is full, what has not been taken moves to the next one.
 *
 * FAST: ASCII of up to 40 characters by a loop, longer text by `encodeInto` (it costs about 50 ns whatever the length); lengths are patched in afterwards;
 * room is asked for once per string and not per octet.
 */
import { InvalidValue } from "../amqp/AmqpError.ts"

const encoder = new TextEncoder()
const looped = 40
const slabSize = 65_536
/** A connection that says little takes no more. */
const firstSize = 4096

const float = new DataView(new ArrayBuffer(8))
const floatBytes = new Uint8Array(float.buffer)

export class ByteWriter {
  bytes: Uint8Array
  /** Where what has not been taken begins. */
  start = 0
  at = 0
  /** Names of the containers that are being written, for an error to say where. */
  readonly path: Array<string | number> = []

  constructor(size = firstSize) {
    this.bytes = new Uint8Array(size)
  }

  /** Octets that have not been taken. */
  get size(): number {
    return this.at - this.start
  }

  /** Room for `count` octets. */
  room(count: number): void {
    if (this.at + count > this.bytes.length) this.grow(count)
  }

  private grow(count: number): void {
    const { bytes, start, at } = this
    const held = at - start
    const wanted = held + count
    const next = new Uint8Array(Math.max(slabSize, wanted > slabSize / 2 ? wanted * 2 : 0))
    next.set(bytes.subarray(start, at))
    this.bytes = next
    this.start = 0
    this.at = held
  }

  /** What was written since the last time: a view that stays what it is. */
  take(): Uint8Array {
    const view = this.bytes.subarray(this.start, this.at)
    this.start = this.at
    return view
  }

  octet(value: number, what: string): void {
    if ((value & 0xff) !== value) throw outOfRange(value, 8, what)
    this.room(1)
    this.bytes[this.at++] = value
  }

  short(value: number, what: string): void {
    if ((value & 0xffff) !== value) throw outOfRange(value, 16, what)
    this.room(2)
    this.bytes[this.at] = value >>> 8
    this.bytes[this.at + 1] = value
    this.at += 2
  }

  long(value: number, what: string): void {
    if (value >>> 0 !== value) throw outOfRange(value, 32, what)
    this.int(value)
  }

  longlong(value: number, what: string): void {
    if (value >>> 0 === value) {
      this.int(0)
    } else {
      if (!(value >= 0 && Number.isSafeInteger(value))) throw outOfRange(value, 53, what)
      this.int(value / 0x1_0000_0000)
    }
    this.int(value)
  }

  /** The low 32 bits, unchecked. */
  int(value: number): void {
    this.room(4)
    this.patch(this.at, value)
    this.at += 4
  }

  /** 32 bits at a place that was written before. */
  patch(at: number, value: number): void {
    const { bytes } = this
    bytes[at] = value >>> 24
    bytes[at + 1] = value >>> 16
    bytes[at + 2] = value >>> 8
    bytes[at + 3] = value
  }

  int64(value: bigint): void {
    this.int(Number(BigInt.asIntN(32, value >> 32n)))
    this.int(Number(BigInt.asIntN(32, value)))
  }

  double(value: number): void {
    this.room(8)
    float.setFloat64(0, value)
    this.bytes.set(floatBytes, this.at)
    this.at += 8
  }

  raw(bytes: Uint8Array): void {
    this.room(bytes.length)
    this.bytes.set(bytes, this.at)
    this.at += bytes.length
  }

  /** A length octet and at most 255 octets of UTF-8. */
  shortstr(text: string, what: string): void {
    if (typeof text !== "string") throw new InvalidValue({ message: `${what} should be a string`, path: what })
    // Room for one octet too many per character, so that the loop and `encodeInto` need not ask.
    this.room(1 + 3 * text.length)
    const size = this.text(text, this.at + 1)
    if (size > 255) {
      throw new InvalidValue({ message: `${what} takes ${size} octets, and 255 is the most`, path: what })
    }
    this.bytes[this.at] = size
    this.at += 1 + size
  }

  longstr(text: string): void {
    this.room(4 + 3 * text.length)
    const size = this.text(text, this.at + 4)
    this.patch(this.at, size)
    this.at += 4 + size
  }

  longbytes(bytes: Uint8Array): void {
    this.int(bytes.length)
    this.raw(bytes)
  }

  /** Octets written at `at`, where there is room. */
  private text(text: string, at: number): number {
    const { length } = text
    const { bytes } = this
    if (length <= looped) {
      let all = 0
      for (let index = 0; index < length; index++) {
        const code = text.charCodeAt(index)
        bytes[at + index] = code
        all |= code
      }
      if (all < 128) return length
    }
    return encoder.encodeInto(text, bytes.subarray(at)).written
  }
}

const outOfRange = (value: unknown, bits: number, what: string): InvalidValue =>
  new InvalidValue({
    message: `${what} should be an unsigned integer of ${bits} bits, and is ${shown(value)}`,
    path: what
  })

const shown = (value: unknown): string => (typeof value === "number" ? String(value) : `a ${typeof value}`)
