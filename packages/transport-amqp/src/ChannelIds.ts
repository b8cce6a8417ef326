/** The numbers of a connection's channels: lowest first, and one that was given back comes again. */
export class ChannelIds {
  readonly channelMax: number
  /** Given back; a number above all that were ever given out is `#next`. */
  readonly #free: Array<number> = []
  #next = 1

  /** `channelMax` of 0 is no limit but the two octets of a frame. */
  constructor(channelMax: number) {
    this.channelMax = channelMax === 0 ? 65_535 : channelMax
  }

  /** The lowest number nobody has; `undefined` when all are taken. */
  allocate(): number | undefined {
    if (this.#free.length > 0) {
      let lowest = 0
      for (let index = 1; index < this.#free.length; index++) {
        if (this.#free[index]! < this.#free[lowest]!) lowest = index
      }
      const id = this.#free[lowest]!
      this.#free[lowest] = this.#free.at(-1)!
      this.#free.pop()
      return id
    }
    return this.#next > this.channelMax ? undefined : this.#next++
  }

  /** Only after close-ok, or what was meant for the old channel reaches the new one. */
  release(id: number): void {
    this.#free.push(id)
  }
}
