/**
 * A binary heap of values by the time they are due; those due at the same time in the order they came. Three arrays, for a
 * million entries as objects would take twice as much.
 */
export class Deadlines<A> {
  readonly #at: Array<number> = []
  /** Breaks ties. */
  readonly #order: Array<number> = []
  readonly #values: Array<A> = []
  #orders = 0

  get size(): number {
    return this.#values.length
  }

  /** When the first is due; `undefined` when there is none. */
  get next(): number | undefined {
    return this.#at[0]
  }

  get first(): A | undefined {
    return this.#values[0]
  }

  push(at: number, value: A): void {
    this.#place(at, this.#orders++, value)
  }

  /** Takes the first. */
  pop(): A | undefined {
    const first = this.#values[0]
    const at = this.#at.pop()
    const order = this.#order.pop()
    const value = this.#values.pop()
    const size = this.#values.length
    if (size === 0 || at === undefined || order === undefined) return first
    let index = 0
    for (;;) {
      let child = 2 * index + 1
      if (child >= size) break
      if (child + 1 < size && this.#before(this.#at[child + 1]!, this.#order[child + 1]!, child)) child++
      if (!this.#after(at, order, child)) break
      this.#move(child, index)
      index = child
    }
    this.#set(index, at, order, value as A)
    return first
  }

  /** Drops the others. */
  retain(keep: (value: A) => boolean): void {
    const at = this.#at.splice(0)
    const order = this.#order.splice(0)
    const values = this.#values.splice(0)
    for (let index = 0; index < values.length; index++) {
      if (keep(values[index]!)) this.#place(at[index]!, order[index]!, values[index]!)
    }
  }

  #place(at: number, order: number, value: A): void {
    let index = this.#values.length
    while (index > 0) {
      const parent = (index - 1) >> 1
      if (!this.#before(at, order, parent)) break
      this.#move(parent, index)
      index = parent
    }
    this.#set(index, at, order, value)
  }

  #set(index: number, at: number, order: number, value: A): void {
    this.#at[index] = at
    this.#order[index] = order
    this.#values[index] = value
  }

  #move(from: number, to: number): void {
    this.#set(to, this.#at[from]!, this.#order[from]!, this.#values[from]!)
  }

  #before(at: number, order: number, other: number): boolean {
    const theirs = this.#at[other]!
    return at < theirs || (at === theirs && order < this.#order[other]!)
  }

  #after(at: number, order: number, other: number): boolean {
    const theirs = this.#at[other]!
    return at > theirs || (at === theirs && order > this.#order[other]!)
  }
}
