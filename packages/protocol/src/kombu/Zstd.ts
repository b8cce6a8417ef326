/**
 * The outside of a zstd frame (RFC 8878): enough to know, before anything is unpacked, that a body is whole, and how much memory it
 * wants. Bun and Deno take one that was cut short for a whole one.
 */

/** These octets are no zstd, or not all of it. */
export class ZstdError extends Error {
  override readonly name = "ZstdError"
}

/** 8 MiB: what every reader is asked to have; a frame may ask for terabytes. */
const largestWindow = 2 ** 23

/** Octets of the size of the content, by what the descriptor says, and of the id of a dictionary. */
const sizeOctets = [0, 2, 4, 8]
const dictionaryOctets = [0, 1, 2, 4]

/** Throws {@link ZstdError} unless these octets are one frame. */
export const check = (body: Uint8Array): void => {
  let at = 0
  const skip = (count: number): void => {
    at += count
    if (at > body.length) throw new ZstdError("it ends early")
  }

  /** The lowest octet first. */
  const take = (count: number): number => {
    skip(count)
    let value = 0
    for (let index = 1; index <= count; index++) value = value * 256 + body[at - index]!
    return value
  }

  const block = (): boolean => {
    const header = take(3)
    const kind = (header >> 1) & 3
    if (kind === 3) throw new ZstdError("a block is of a kind that there is not")
    // One octet, so many times.
    skip(kind === 1 ? 1 : header >> 3)
    return (header & 1) === 1
  }

  const frame = (): void => {
    const descriptor = take(1)
    const single = (descriptor & 0x20) !== 0
    const exponent = single ? 0 : take(1)
    if (take(dictionaryOctets[descriptor & 3]!) !== 0) throw new ZstdError("it needs a dictionary")
    const sizeFlag = descriptor >> 6
    const size = take(single && sizeFlag === 0 ? 1 : sizeOctets[sizeFlag]!) + (sizeFlag === 1 ? 256 : 0)
    // What comes in a single segment is its own window.
    const window = single ? size : 2 ** (10 + (exponent >> 3)) * (1 + (exponent & 7) / 8)
    if (window > largestWindow)
      throw new ZstdError(`it wants a window of ${window} bytes, which is more than ${largestWindow}`)
    while (!block()) {
      // On to the last one.
    }
    if ((descriptor & 4) !== 0) skip(4)
  }

  if (take(4) !== 0xfd_2f_b5_28) throw new ZstdError("it does not begin as zstd does")
  frame()
  // Node.js reads the first of several, and says nothing of the others.
  if (at < body.length) throw new ZstdError("it goes on where it should end")
}
