/** Hostile variants of recorded octets: flipped bits, splices, cuts, lies about lengths. */
import type { Random } from "../../support/Random.ts"
import { concat } from "./Frames.ts"

const interesting = [0, 1, 2, 3, 8, 0x7f, 0x80, 0xce, 0xff]
const lengths = [0, 1, 7, 8, 255, 4095, 4096, 131_064, 131_073, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff]
const numbers = [
  0n,
  1n,
  0xffn,
  0x7fffn,
  0xffffn,
  2n ** 31n,
  2n ** 32n - 1n,
  2n ** 53n,
  2n ** 63n - 1n,
  2n ** 63n,
  2n ** 64n - 1n
]
const tags = Array.from("tbBsuIiLlfdDSxAFTVUz", (letter) => letter.charCodeAt(0))

const flip = (bytes: Uint8Array, r: Random): Uint8Array => {
  bytes[r.below(bytes.length)]! ^= 1 << r.below(8)
  return bytes
}

/** Where frames begin, as long as the octets are those of frames. */
const starts = (bytes: Uint8Array): ReadonlyArray<number> => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const out: Array<number> = []
  for (let at = 0; at + 8 <= bytes.length; at += view.getUint32(at + 3) + 8) out.push(at)
  return out
}

/** A place between two frames, and the end of the frame that begins there. */
const frameAt = (bytes: Uint8Array, r: Random): readonly [number, number] => {
  const all = starts(bytes)
  const index = r.below(all.length)
  return [all[index] ?? 0, all[index + 1] ?? bytes.length]
}

type Mutation = (bytes: Uint8Array, r: Random, all: ReadonlyArray<Uint8Array>) => Uint8Array

const mutations: ReadonlyArray<Mutation> = [
  flip,
  (bytes, r) => {
    for (let count = r.below(20); count >= 0; count--) flip(bytes, r)
    return bytes
  },
  (bytes, r) => {
    bytes[r.below(bytes.length)] = r.pick(interesting)
    return bytes
  },
  (bytes, r) => bytes.slice(0, r.below(bytes.length)),
  (bytes, r) => {
    const from = r.below(bytes.length)
    return concat([bytes.subarray(0, from), bytes.subarray(from + r.below(40))])
  },
  (bytes, r) => {
    const from = r.below(bytes.length)
    const piece = bytes.subarray(from, from + r.below(200))
    const at = r.below(bytes.length)
    return concat([bytes.subarray(0, at), piece, bytes.subarray(at)])
  },
  // A length lies: of a frame, or of whatever stands there.
  (bytes, r) => {
    if (bytes.length < 16) return bytes
    const at = r.next() < 0.5 ? r.pick(starts(bytes)) + 3 : r.below(bytes.length - 4)
    new DataView(bytes.buffer, bytes.byteOffset).setUint32(Math.min(at, bytes.length - 4), r.pick(lengths))
    return bytes
  },
  // Another frame type, or another channel, with the frame left whole.
  (bytes, r) => {
    const at = r.pick(starts(bytes))
    if (r.next() < 0.5) bytes[at] = r.pick([1, 2, 3, 8])
    else bytes[Math.min(at + 2, bytes.length - 1)] = r.below(4)
    return bytes
  },
  // A frame twice.
  (bytes, r) => {
    const [from, until] = frameAt(bytes, r)
    return concat([bytes.subarray(0, until), bytes.subarray(from)])
  },
  // A frame in the place of another, or before it.
  (bytes, r) => {
    const [from, until] = frameAt(bytes, r)
    const [at, end] = frameAt(bytes, r)
    const frame = bytes.subarray(from, until)
    return concat([bytes.subarray(0, at), frame, bytes.subarray(r.next() < 0.5 ? at : end)])
  },
  // The rest is another session's: of the same direction or not.
  (bytes, r, all) => {
    const [from] = frameAt(bytes, r)
    const other = r.pick(all)
    const at = r.next() < 0.8 ? r.pick(begins(other)) : r.below(other.length)
    return concat([bytes.subarray(0, from), other.subarray(at, at + r.below(1000))])
  },
  // A number of 16, 32 or 64 bits that somebody may have forgotten.
  (bytes, r) => {
    const size = r.pick([2, 4, 8])
    if (bytes.length < size) return bytes
    const view = new DataView(bytes.buffer, bytes.byteOffset)
    const at = r.below(bytes.length - size + 1)
    const number = r.pick(numbers)
    if (size === 2) view.setUint16(at, Number(number & 0xffffn))
    else if (size === 4) view.setUint32(at, Number(number & 0xffff_ffffn))
    else view.setBigUint64(at, number)
    return bytes
  },
  // A value of a table, or a name, becomes another letter.
  (bytes, r) => {
    const from = r.below(bytes.length)
    const at = bytes.findIndex((octet, index) => index >= from && tags.includes(octet))
    if (at >= 0) bytes[at] = r.pick(tags)
    return bytes
  }
]

const known = new WeakMap<Uint8Array, ReadonlyArray<number>>()

/** {@link starts} of a session that comes again and again. */
const begins = (session: Uint8Array): ReadonlyArray<number> => {
  const found = known.get(session) ?? starts(session)
  known.set(session, found)
  return found
}

/** A window of one of the sessions, changed; the same seed gives the same octets. */
export const mutate = (all: ReadonlyArray<Uint8Array>, r: Random): Uint8Array => {
  const session = r.pick(all)
  const from = r.pick(begins(session))
  let bytes: Uint8Array = session.slice(from, from + 16 + r.below(3000))
  for (let count = r.below(3); count >= 0 && bytes.length > 0; count--) bytes = r.pick(mutations)(bytes, r, all)
  return bytes
}
