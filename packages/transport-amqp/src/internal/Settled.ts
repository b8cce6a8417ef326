/**
 * Which deliveries of a channel the broker has heard about. Acknowledgements of one turn go out together, and those that close
 * the gap to all before them as one (`multiple`).
 */
import type { FrameWriter } from "@apium/protocol/amqp/FrameWriter"

export class Settled {
  readonly #channel: number
  /** All tags up to here are settled. */
  #floor = 0
  /** Those beyond. */
  readonly #beyond = new Set<number>()
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
    if (tag !== this.#floor + 1) {
      this.#beyond.add(tag)
      return
    }
    this.#floor = tag
    while (this.#beyond.size > 0 && this.#beyond.delete(this.#floor + 1)) this.#floor++
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
