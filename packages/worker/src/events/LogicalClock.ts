/**
 * Lamport's clock (kombu/clocks.py): what happened before what, in a cluster whose wall clocks disagree.
 */
export interface LogicalClock {
  /** For something we send. */
  readonly forward: () => number
  /** For something that came with that value. */
  readonly adjust: (other: number) => number
  readonly value: () => number
}

export const make = (initial = 0): LogicalClock => {
  let value = initial
  return {
    forward: () => ++value,
    adjust: (other) => (value = Math.max(value, other) + 1),
    value: () => value
  }
}
