/** Hostile variants of recorded octets: flipped bits, splices, cuts, lies about lengths. */
import type { Random } from "../../support/Random.ts"
import { concat } from "./Frames.ts"

const interesting = [0, 1, 2, 3, 8, 0x7f, 0x80, 0xce, 0xff]
const lengths = [0, 1, 7, 8, 255, 4095, 4096, 131_064, 131_073, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff]

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

const mutations: ReadonlyArray<(bytes: Uint8Array, r: Random) => Uint8Array> = [
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
  }
]

const known = new WeakMap<Uint8Array, ReadonlyArray<number>>()

/** {@link starts} of a session that comes again and again. */
const begins = (session: Uint8Array): ReadonlyArray<number> => {
  const found = known.get(session) ?? starts(session)
  known.set(session, found)
  return found
}

/** A window of a session, changed; the same seed gives the same octets. */
export const mutate = (session: Uint8Array, r: Random): Uint8Array => {
  const from = r.pick(begins(session))
  let bytes: Uint8Array = session.slice(from, from + 16 + r.below(3000))
  for (let count = r.below(3); count >= 0 && bytes.length > 0; count--) bytes = r.pick(mutations)(bytes, r)
  return bytes
}
