/**
 * Reads bzip2, which kombu calls `bzip2` and says as `application/x-bz2` (`kombu/compression.py`); nobody's web platform has it. Checksums are
 * checked, and what is hostile is refused: lengths that do not add up, codes that are none, a permutation that points outside.
 *
 * Block by block, in pieces: who reads may stop after any of them. A block of 900 kB can be 46 MB of output, and holds 3.6 MB meanwhile.
 */

/** These octets are no bzip2, or not all of it. */
export class Bzip2Error extends Error {
  override readonly name = "Bzip2Error"
}

const pieceSize = 64 * 1024

/** As many symbols follow the choice of a table. */
const groupSize = 50

const longestCode = 20

const wrong = (why: string): never => {
  throw new Bzip2Error(why)
}

class Bits {
  readonly #bytes: Uint8Array
  #at = 0
  #value = 0
  #count = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  /** At most 24 of them, the first one highest. */
  read(count: number): number {
    while (this.#count < count) {
      if (this.#at >= this.#bytes.length) wrong("it ends early")
      this.#value = (this.#value << 8) | this.#bytes[this.#at++]!
      this.#count += 8
    }
    this.#count -= count
    return (this.#value >>> this.#count) & ((1 << count) - 1)
  }

  word(): number {
    return this.read(16) * 65_536 + this.read(16)
  }

  /** Goes on at the next octet, if there is one. */
  align(): boolean {
    this.#count = 0
    return this.#at < this.#bytes.length
  }
}

/** CRC-32 with the highest bit first. */
const crcTable = /* @__PURE__ */ Uint32Array.from({ length: 256 }, (_, octet) => {
  let crc = octet << 24
  for (let bit = 0; bit < 8; bit++) crc = (crc << 1) ^ (crc < 0 ? 0x04c11db7 : 0)
  return crc
})

interface Table {
  readonly shortest: number
  /** By length: the first code of it, how many there are, and where their symbols begin. */
  readonly first: Int32Array
  readonly count: Int32Array
  readonly start: Int32Array
  readonly symbols: Uint16Array
}

const tableOf = (lengths: Uint8Array): Table => {
  const first = new Int32Array(longestCode + 1)
  const count = new Int32Array(longestCode + 1)
  const start = new Int32Array(longestCode + 1)
  for (const length of lengths) count[length]!++
  let code = 0
  let index = 0
  for (let length = 1; length <= longestCode; length++) {
    code <<= 1
    first[length] = code
    start[length] = index
    code += count[length]!
    index += count[length]!
    if (code > 1 << length) wrong("a code has more symbols than it can tell apart")
  }
  const symbols = new Uint16Array(lengths.length)
  const next = start.slice()
  lengths.forEach((length, symbol) => void (symbols[next[length]!++] = symbol))
  return { shortest: Math.min(...lengths), first, count, start, symbols }
}

const symbolOf = (bits: Bits, { count, first, shortest, start, symbols }: Table): number => {
  let code = bits.read(shortest)
  for (let length = shortest; length <= longestCode; length++) {
    const offset = code - first[length]!
    if (offset < count[length]!) return symbols[start[length]! + offset]!
    code = (code << 1) | bits.read(1)
  }
  return wrong("a code has no symbol")
}

/** Takes the one at this index to the front. */
const toFront = (list: Uint8Array, index: number): number => {
  const value = list[index]!
  list.copyWithin(1, 0, index)
  list[0] = value
  return value
}

/** The octets that occur, in their order. */
const alphabet = (bits: Bits): Uint8Array => {
  const ranges = bits.read(16)
  const used: Array<number> = []
  for (let range = 0; range < 16; range++) {
    if ((ranges & (0x8000 >> range)) === 0) continue
    const members = bits.read(16)
    for (let member = 0; member < 16; member++) if ((members & (0x8000 >> member)) !== 0) used.push(range * 16 + member)
  }
  return used.length === 0 ? wrong("a block has no symbols") : Uint8Array.from(used)
}

const selectorsOf = (bits: Bits, tables: number): Uint8Array => {
  const selectors = new Uint8Array(bits.read(15))
  if (selectors.length === 0) wrong("a block has no tables")
  const order = Uint8Array.from({ length: tables }, (_, index) => index)
  for (let index = 0; index < selectors.length; index++) {
    let place = 0
    while (bits.read(1) === 1) if (++place >= tables) wrong("a block has a table that is not there")
    selectors[index] = toFront(order, place)
  }
  return selectors
}

const lengthsOf = (bits: Bits, size: number): Uint8Array => {
  const lengths = new Uint8Array(size)
  let length = bits.read(5)
  for (let symbol = 0; symbol < size; symbol++) {
    for (;;) {
      if (length < 1 || length > longestCode) wrong("a code has a length that there is not")
      if (bits.read(1) === 0) break
      length += bits.read(1) === 0 ? 1 : -1
    }
    lengths[symbol] = length
  }
  return lengths
}

/**
 * The octets of a block, in the order of the Burrows-Wheeler transform; the upper 24 bits of each say where the next one is. As large as
 * the octets need it: a task's few hundred do not wait for 3.6 MB.
 */
const permuted = (bits: Bits, blockSize: number): Uint32Array => {
  const list = alphabet(bits)
  const end = list.length + 1
  const count = bits.read(3)
  if (count < 2 || count > 6) wrong("a block has a number of tables that there is not")
  const selectors = selectorsOf(bits, count)
  const tables = Array.from({ length: count }, () => tableOf(lengthsOf(bits, end + 1)))
  const totals = new Uint32Array(257)
  let block = new Uint32Array(1024)
  let size = 0
  let run = 0
  let weight = 1
  const put = (octet: number, times: number): void => {
    const start = size
    size += times
    if (size > blockSize) wrong("a block is longer than it says")
    if (size > block.length) {
      const larger = new Uint32Array(Math.min(blockSize, Math.max(size, 2 * block.length)))
      larger.set(block)
      block = larger
    }
    block.fill(octet, start, size)
    totals[octet + 1]! += times
  }
  for (let read = 0, table = tables[0]!; ; read++) {
    if (read % groupSize === 0) {
      const selector = selectors[read / groupSize]
      table = tables[selector ?? wrong("a block is longer than its tables")]!
    }
    const symbol = symbolOf(bits, table)
    if (symbol < 2) {
      // How often the first of the list comes, in digits of 1 and 2.
      run += weight * (symbol + 1)
      weight *= 2
      if (run > blockSize) wrong("a block is longer than it says")
      continue
    }
    if (run > 0) put(list[0]!, run)
    run = 0
    weight = 1
    if (symbol === end) break
    put(toFront(list, symbol - 1), 1)
  }
  for (let octet = 0; octet < 256; octet++) totals[octet + 1]! += totals[octet]!
  for (let index = 0; index < size; index++) block[totals[block[index]! & 255]!++]! |= index << 8
  return block.subarray(0, size)
}

const headerOf = (bits: Bits): number => {
  if (bits.read(24) !== 0x42_5a_68) wrong("it does not begin as bzip2 does")
  const level = bits.read(8) - 0x30
  return level >= 1 && level <= 9 ? level * 100_000 : wrong("it has a block size that there is not")
}

/** What these octets were, in pieces of at most 64 KiB; throws {@link Bzip2Error} on the way. */
export function* decode(body: Uint8Array): Generator<Uint8Array, void> {
  const bits = new Bits(body)
  do {
    const blockSize = headerOf(bits)
    let combined = 0
    for (;;) {
      const magic = bits.read(24) * 0x1_00_00_00 + bits.read(24)
      if (magic === 0x17_72_45_38_50_90) break
      if (magic !== 0x31_41_59_26_53_59) wrong("there is no block where one should be")
      const crc = yield* decodeBlock(bits, blockSize)
      combined = ((combined << 1) | (combined >>> 31)) ^ crc
    }
    if (bits.word() !== combined >>> 0) wrong("its checksum is another")
  } while (bits.align())
}

function* decodeBlock(bits: Bits, blockSize: number): Generator<Uint8Array, number> {
  const expected = bits.word()
  if (bits.read(1) === 1) wrong("a block is randomised, as nobody has done since 1997")
  const origin = bits.read(24)
  const block = permuted(bits, blockSize)
  if (origin >= block.length) wrong("a block begins outside of itself")
  let crc = -1
  let piece = new Uint8Array(Math.min(pieceSize, 2 * block.length))
  let filled = 0
  let at = block[origin]! >>> 8
  let last = -1
  /** How often the last octet came in a row: behind four there is a number of more. */
  let row = 0
  for (let index = 0; index < block.length; index++) {
    const entry = block[at]!
    at = entry >>> 8
    const octet = entry & 255
    let value = octet
    let times = 1
    if (row === 4) {
      value = last
      times = octet
      row = 0
      last = -1
    } else {
      row = octet === last ? row + 1 : 1
      last = octet
    }
    for (; times > 0; times--) {
      crc = (crc << 8) ^ crcTable[((crc >>> 24) ^ value) & 255]!
      piece[filled++] = value
      if (filled === piece.length) {
        yield piece
        piece = new Uint8Array(pieceSize)
        filled = 0
      }
    }
  }
  if (filled > 0) yield piece.subarray(0, filled)
  return ~crc >>> 0 === expected ? expected : wrong("a block's checksum is another")
}
