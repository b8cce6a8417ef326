/**
 * ASN.1 in its distinguished encoding (X.690), as far as certificates and keys need it: one length for a value, its shortest, and nothing
 * behind. Throws {@link DerError}.
 */

export class DerError extends Error {}

export const tags = {
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31
} as const

const names = new Map<number, string>(Object.entries(tags).map(([name, tag]) => [tag, name]))

export interface Element {
  readonly tag: number
  readonly content: Uint8Array
  /** With its tag and length. */
  readonly bytes: Uint8Array
}

/** The elements of `bytes`, one after the other; `what` is for errors. */
export interface Reader {
  /** The tag of what comes, unless nothing does. */
  readonly tag: () => number | undefined
  readonly any: () => Element
  readonly next: (tag: number) => Element
  /** A reader of the elements inside of the next one, of this tag. */
  readonly into: (tag: number) => Reader
  /** Nothing is left. */
  readonly end: () => void
}

export const reader = (bytes: Uint8Array, what: string): Reader => {
  let at = 0

  const octet = (): number => {
    const value = bytes[at++]
    if (value === undefined) throw new DerError(`${what} ends early`)
    return value
  }

  const length = (): number => {
    const first = octet()
    if (first < 0x80) return first
    const count = first & 0x7f
    // 16 MiB: no certificate has as much, and no sum below leaves 32 bits.
    if (count === 0 || count > 3) throw new DerError(`${what} has a length that is not DER`)
    let value = 0
    for (let index = 0; index < count; index++) value = value * 256 + octet()
    if (value < 0x80 || value < 256 ** (count - 1)) throw new DerError(`${what} has a length that is not the shortest`)
    return value
  }

  const any = (): Element => {
    const start = at
    const tag = octet()
    if ((tag & 0x1f) === 0x1f) throw new DerError(`${what} has a tag of several octets`)
    const size = length()
    const content = bytes.subarray(at, at + size)
    if (content.length !== size) throw new DerError(`${what} ends early`)
    at += size
    return { tag, content, bytes: bytes.subarray(start, at) }
  }

  const next = (tag: number): Element => {
    const found = any()
    if (found.tag !== tag) {
      const name = (tag: number) => names.get(tag) ?? `0x${tag.toString(16)}`
      throw new DerError(`${what} has ${name(found.tag)} where ${name(tag)} belongs`)
    }
    return found
  }

  return {
    tag: () => bytes[at],
    any,
    next,
    into: (tag) => reader(next(tag).content, what),
    end: () => {
      if (at !== bytes.length) throw new DerError(`${what} goes on where it should end`)
    }
  }
}

/** 16,384 bits and a sign, which is openssl's largest key: the time that a number takes grows with its square. */
const longest = 2049

/** An INTEGER, which is signed. */
export const integer = (content: Uint8Array): bigint => {
  const [first, second] = content
  if (first === undefined) throw new DerError("an integer has no octets")
  if (content.length > longest) throw new DerError(`an integer has ${content.length} octets, and may have ${longest}`)
  if (second !== undefined && ((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80))) {
    throw new DerError("an integer is not in its shortest form")
  }
  let value = 0n
  for (const octet of content) value = value * 256n + BigInt(octet)
  return first >= 0x80 ? value - (1n << BigInt(content.length * 8)) : value
}

/** An object identifier, as `1.2.840.113549.1.1.1`. */
export const oid = (content: Uint8Array): string => {
  const arcs: Array<number> = []
  let value = 0
  for (const octet of content) {
    value = value * 128 + (octet & 0x7f)
    if (value > 2 ** 45) throw new DerError("an object identifier is too long")
    if (octet >= 0x80) continue
    arcs.push(value)
    value = 0
  }
  const [first, ...others] = arcs
  if (first === undefined || content.at(-1)! >= 0x80) throw new DerError("an object identifier ends early")
  const root = Math.min(Math.floor(first / 40), 2)
  return [root, first - root * 40, ...others].join(".")
}

/** The octets of a BIT STRING of whole octets. */
export const bitString = (content: Uint8Array): Uint8Array => {
  if (content[0] !== 0) throw new DerError("a bit string is not of whole octets")
  return content.subarray(1)
}

/** One element around these octets. */
export const element = (tag: number, ...parts: ReadonlyArray<Uint8Array>): Uint8Array => {
  const size = parts.reduce((sum, part) => sum + part.length, 0)
  const length: Array<number> = []
  for (let rest = size; rest > 0; rest = Math.floor(rest / 256)) length.unshift(rest % 256)
  const head = size < 0x80 ? [tag, size] : [tag, 0x80 + length.length, ...length]
  const made = new Uint8Array(head.length + size)
  made.set(head)
  let offset = head.length
  for (const part of parts) {
    made.set(part, offset)
    offset += part.length
  }
  return made
}
