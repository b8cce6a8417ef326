/** One direction of one connection of a `FaultProxy`: from a socket to another, in the shape of the moment. */
import type * as net from "node:net"
import type { Direction, Ending } from "./FaultProxy.ts"

export interface Shape {
  /** Milliseconds before a byte goes on. What came first goes first, whatever a random latency says. */
  readonly latency: number | (() => number)
  /** Bytes per second. */
  readonly bandwidth: number
  /** The most bytes of one write; a reader in Node.js or Bun gets them one by one. */
  readonly slice: number | (() => number)
  /** Nothing is read: the sender's window fills, and it learns of nothing. Later, everything goes on. */
  readonly stall: boolean
  /** Read and thrown away, an end as well: the sender is happy, the receiver hears nothing. */
  readonly drop: boolean
}

export const clear: Shape = { latency: 0, bandwidth: Infinity, slice: Infinity, stall: false, drop: false }

/**
 * Reads along with a connection, from its beginning or from when the cut was made: how many bytes of this chunk still pass before the
 * connection ends; nothing as long as it goes on.
 */
export type Matcher = () => (chunk: Uint8Array) => number | undefined

/** After so many bytes. */
export const after =
  (bytes: number): Matcher =>
  () => {
    let left = bytes
    return (chunk) => {
      if (chunk.length >= left) return left
      left -= chunk.length
      return undefined
    }
  }

/** Behind the first place where these bytes stand, however they are cut into chunks. */
export const seen =
  (pattern: Uint8Array): Matcher =>
  () => {
    let before = Buffer.alloc(0)
    return (chunk) => {
      const all = Buffer.concat([before, chunk])
      const at = all.indexOf(pattern)
      if (at >= 0) return at + pattern.length - before.length
      before = pattern.length > 1 ? all.subarray(-(pattern.length - 1)) : before
      return undefined
    }
  }

/** Whole numbers from `least` to `most`, the same ones for the same seed: for a latency or a slice. */
export const between = (seed: number, least: number, most: number): (() => number) => {
  let state = seed >>> 0
  return () => {
    // mulberry32
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return least + (((mixed ^ (mixed >>> 14)) >>> 0) % (most - least + 1))
  }
}

export interface Watch {
  readonly direction: Direction
  readonly when: Matcher
  readonly how: Ending
}

export interface Options {
  readonly source: net.Socket
  readonly sink: net.Socket
  readonly shape: () => Shape
  readonly passed: (bytes: number) => void
  readonly dropped: (bytes: number) => void
  readonly watches: () => ReadonlyArray<Watch>
  readonly reached: (watch: Watch) => void
}

export interface Pipe {
  /** The shape is another one. */
  readonly changed: () => void
  /** What waits for its time need not wait longer. */
  readonly hurry: () => void
  readonly stop: () => void
  readonly passed: () => number
}

const most = 1_048_576

export const make = ({ source, sink, shape, passed, dropped, watches, reached }: Options): Pipe => {
  const held: Array<{ bytes: Uint8Array; due: number }> = []
  const readers = new Map<Watch, ReturnType<Matcher>>()
  let waiting = 0
  let total = 0
  let writing = false
  let lastDue = 0
  let lineFree = 0
  let timer: ReturnType<typeof setTimeout> | undefined
  let end: Watch | "end" | undefined
  let over = false

  /** The watch that ends the connection in this chunk, and where. */
  const cutIn = (chunk: Uint8Array) => {
    let first: { readonly watch: Watch; readonly at: number } | undefined
    for (const watch of watches()) {
      const reader = readers.get(watch) ?? watch.when()
      readers.set(watch, reader)
      const at = reader(chunk)
      if (at !== undefined && (first === undefined || at < first.at)) first = { watch, at }
    }
    return first
  }

  const flow = () => {
    if (over || end !== undefined || shape().stall || waiting >= most) source.pause()
    else source.resume()
  }

  source.on("data", (chunk: Buffer) => {
    if (over || end !== undefined) return
    if (shape().drop) return dropped(chunk.length)
    const cut = cutIn(chunk)
    const bytes = cut === undefined ? chunk : chunk.subarray(0, cut.at)
    if (cut !== undefined) end = cut.watch
    const { latency } = shape()
    lastDue = Math.max(lastDue, performance.now() + (typeof latency === "number" ? latency : latency()))
    held.push({ bytes, due: lastDue })
    waiting += bytes.length
    flow()
    step()
  })
  source.once("end", () => {
    if (shape().drop) return
    end ??= "end"
    step()
  })

  const step = () => {
    if (over || writing || shape().stall) return
    clearTimeout(timer)
    const head = held[0]
    if (head === undefined) {
      if (end === "end") sink.end()
      else if (end !== undefined) reached(end)
      return
    }
    const now = performance.now()
    const early = Math.max(head.due, lineFree) - now
    if (early > 0) {
      timer = setTimeout(step, Math.ceil(early))
      return
    }
    const { bandwidth, slice } = shape()
    // A fiftieth of a second at once, so that a slow line flows instead of dripping.
    const line = Number.isFinite(bandwidth) ? Math.max(1, Math.ceil(bandwidth / 50)) : Infinity
    const piece = head.bytes.subarray(0, Math.min(line, typeof slice === "number" ? slice : slice()))
    if (piece.length === head.bytes.length) held.shift()
    else head.bytes = head.bytes.subarray(piece.length)
    lineFree = Math.max(now, lineFree) + (piece.length / bandwidth) * 1_000
    writing = true
    sink.write(piece, () => {
      writing = false
      if (over) return
      waiting -= piece.length
      total += piece.length
      passed(piece.length)
      flow()
      // The reader's turn: two writes at once would arrive as one.
      if (slice === Infinity) step()
      else setImmediate(step)
    })
  }

  flow()
  return {
    changed: () => {
      flow()
      step()
    },
    hurry: () => {
      lineFree = lastDue = 0
      for (const one of held) one.due = 0
    },
    stop: () => {
      over = true
      clearTimeout(timer)
      held.length = 0
    },
    passed: () => total
  }
}
