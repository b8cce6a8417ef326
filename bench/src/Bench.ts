/**
 * A benchmark is a row of contestants that do the same work, and this is how they are measured.
 *
 * Timed ones run in rounds: every contestant once per round, each round beginning with another one, because a machine's speed drifts by more
 * than most differences worth knowing. What counts is the ratio to the first contestant within a round; its median over the rounds is
 * reported, and the noise (median absolute deviation of a contestant's own times, in per cent) says how far to trust it. A ratio closer to 1
 * than the noise is no difference.
 *
 * What does not vary, the size of a bundle say, is measured once.
 */
export interface Timed {
  readonly title: string
  /** What one operation is, in the plural: "messages". */
  readonly unit: string
  /** Operations in one contestant's turn; enough of them for some 100 ms. */
  readonly operations: number
  /** Default 15. */
  readonly rounds?: number
  /** Rounds that do not count, for the compiler. Default 3. */
  readonly warmUp?: number
  readonly contestants: readonly [Contestant, ...ReadonlyArray<Contestant>]
}

export interface Contestant {
  readonly name: string
  /** Acquires what a turn needs, unmeasured. */
  readonly start: () => Promise<Started> | Started
}

export interface Started {
  /** Before each turn, unmeasured. */
  readonly prepare?: () => unknown
  /** Does all `operations` of one turn; a promise is waited for. */
  readonly turn: () => unknown
  readonly stop?: () => unknown
}

export interface Once {
  readonly title: string
  /** What the number counts; fewer is better. */
  readonly unit: string
  readonly measure: ReadonlyArray<{ readonly name: string; readonly value: () => Promise<number> | number }>
}

/** For a `<name>.bench.ts`: `export default Bench.timed({ ... })`. */
export const timed = (bench: Timed): Timed => bench
export const once = (bench: Once): Once => bench

export interface TimedResult {
  readonly name: string
  /** Median operations per second. */
  readonly rate: number
  /** Median over the rounds of how many times as fast as the first contestant. */
  readonly ratio: number
  /** Per cent. */
  readonly noise: number
  /** Milliseconds of each turn, by round. */
  readonly times: ReadonlyArray<number>
}

export interface OnceResult {
  readonly name: string
  readonly value: number
  /** To the first. */
  readonly ratio: number
}

export const median = (values: ReadonlyArray<number>): number => {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** Median absolute deviation, in per cent of the median. */
export const noise = (values: ReadonlyArray<number>): number => {
  const center = median(values)
  return (median(values.map((value) => Math.abs(value - center))) / center) * 100
}

export const runTimed = async (bench: Timed): Promise<ReadonlyArray<TimedResult>> => {
  const { contestants, operations, rounds = 15, warmUp = 3 } = bench
  const entries: Array<Started & { readonly name: string; readonly times: Array<number> }> = []
  try {
    for (const { name, start } of contestants) entries.push({ ...(await start()), name, times: [] })
    for (let round = -warmUp; round < rounds; round++) {
      for (let turn = 0; turn < entries.length; turn++) {
        const entry = entries[(turn + round + warmUp) % entries.length]!
        await entry.prepare?.()
        // Nobody pays for the garbage of the one before.
        globalThis.gc?.()
        const started = performance.now()
        await entry.turn()
        const time = performance.now() - started
        if (round >= 0) entry.times.push(time)
      }
    }
  } finally {
    for (const { stop } of entries) await stop?.()
  }
  const first = entries[0]!.times
  return entries.map(({ name, times }) => ({
    name,
    rate: (operations / median(times)) * 1000,
    ratio: median(times.map((time, round) => first[round]! / time)),
    noise: noise(times),
    times
  }))
}

export const runOnce = async (bench: Once): Promise<ReadonlyArray<OnceResult>> => {
  const results: Array<OnceResult> = []
  for (const { name, value: measure } of bench.measure) {
    const value = await measure()
    results.push({ name, value, ratio: value / (results[0]?.value ?? value) })
  }
  return results
}
