/**
 * Which deliveries of a channel the broker has heard about. Acknowledgements of one turn go out together, and those that close
 * the gap to all before them as one (`multiple`).
 */
import type { FrameWriter } from "@apium/protocol/amqp/FrameWriter"

export class Settled {
  readonly #channel: number
  /** All tags up to here are settled. */
  #floor = 0
  /** Those beyond, in order: as many as there are gaps, for one message may be held for days while millions pass it by. */
  readonly #beyond: Array<{ from: number; to: number }> = []
  #acks: Array<number> = []

  constructor(channel: number) {
    this.#channel = channel
  }

  /** True for the first one, which has to see that `write` is called. */
  ack(tag: number): boolean {
    return this.#acks.push(tag) === 1
  }

  /** Settled otherwise: rejected, given back, or sent as settled. */
  mark(tag: number): void {
    const beyond = this.#beyond
    if (tag === this.#floor + 1) {
      this.#floor = beyond[0]?.from === tag + 1 ? beyond.shift()!.to : tag
      return
    }
    let at = 0
    for (let end = beyond.length; at < end;) {
      const middle = (at + end) >>> 1
      if (beyond[middle]!.from > tag) end = middle
      else at = middle + 1
    }
    const [before, after] = [beyond[at - 1], beyond[at]]
    if (before?.to === tag - 1) {
      before.to = after?.from === tag + 1 ? beyond.splice(at, 1)[0]!.to : tag
    } else if (after?.from === tag + 1) {
      after.from = tag
    } else {
      beyond.splice(at, 0, { from: tag, to: tag })
    }
  }

  write(frames: FrameWriter): void {
    const acks = this.#acks
    if (acks.length === 0) return
    this.#acks = []
    if (acks.length === 1) {
      frames.ack(this.#channel, acks[0]!)
      return this.mark(acks[0]!)
    }
    for (const tag of acks) this.mark(tag)
    let upTo = 0
    let merged = 0
    for (const tag of acks) {
      if (tag > this.#floor) continue
      merged++
      if (tag > upTo) upTo = tag
    }
    if (merged > 0) frames.ack(this.#channel, upTo, merged > 1)
    for (const tag of acks) if (tag > this.#floor) frames.ack(this.#channel, tag)
  }
}
