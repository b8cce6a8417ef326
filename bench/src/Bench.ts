/**
 * A benchmark is a row of contestants that do the same work, and this is how they are measured.
 *
 * Timed ones run in rounds: every contestant once per round, each round beginning with another one, because a machine's speed drifts by more
 * than most differences worth knowing. What counts is the ratio to the first contestant within a round; its median over the rounds is
 * reported, and the noise (median absolute deviation of a contestant's own times, in per cent) says how far to trust it. A ratio closer to 1
 * than the noise is no difference.
 *
 * What does not vary, the size of a bundle say, is measured once.
 *
 * Where contestants measure themselves (processor time, memory, how long the slowest took), they are compared by claims: each a ratio of one contestant to
 * another within a round, its median, and what was aimed at.
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
  /** Where it can only look itself where its time goes. */
  readonly profile?: () => Promise<Profile>
}

export interface Profile {
  readonly groups: ReadonlyArray<Share>
  readonly functions: ReadonlyArray<Share>
}

export interface Share {
  readonly name: string
  /** Of the whole, per cent. */
  readonly share: number
}

export interface Once {
  readonly title: string
  /** What the number counts; fewer is better. */
  readonly unit: string
  readonly measure: ReadonlyArray<{ readonly name: string; readonly value: () => Promise<number> | number }>
}

/** What a contestant says of its turn: `time` in milliseconds, `cpu` in microseconds of an operation, `memory` in octets, latencies in milliseconds. */
export type Measure = "time" | "cpu" | "memory" | "p50" | "p99"
export type Measures = Readonly<Partial<Record<Measure, number>>>

export interface Compared {
  readonly title: string
  readonly unit: string
  readonly operations: number
  readonly rounds?: number
  readonly warmUp?: number
  /** Their turns give {@link Measures}. */
  readonly contestants: readonly [Contestant, ...ReadonlyArray<Contestant>]
  readonly claims: ReadonlyArray<Claim>
}

/** `ours` to `theirs`: of `time` how many times as fast, of all else how many times as much. */
export interface Claim {
  readonly what: string
  readonly measure: Measure
  readonly ours: string
  readonly theirs: string
  /** Without either it is only told. */
  readonly floor?: number
  readonly aim?: number
}

/** For a `<name>.bench.ts`: `export default Bench.timed({ ... })`. */
export const timed = (bench: Timed): Timed => bench
export const once = (bench: Once): Once => bench
export const compared = (bench: Compared): Compared => bench

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

interface Entry<A> {
  readonly name: string
  readonly started: Started
  readonly turns: Array<A>
}

/** Every contestant once per round, each round beginning with another one. */
const inRounds = async <A>(
  { contestants, rounds = 15, warmUp = 3 }: Timed | Compared,
  measure: (started: Started) => Promise<A>
): Promise<ReadonlyArray<Entry<A>>> => {
  const entries: Array<Entry<A>> = []
  try {
    for (const { name, start } of contestants) entries.push({ name, started: await start(), turns: [] })
    for (let round = -warmUp; round < rounds; round++) {
      for (let turn = 0; turn < entries.length; turn++) {
        const { started, turns } = entries[(turn + round + warmUp) % entries.length]!
        await started.prepare?.()
        const measured = await measure(started)
        if (round >= 0) turns.push(measured)
      }
    }
  } finally {
    for (const { started } of entries) await started.stop?.()
  }
  return entries
}

export const runTimed = async (bench: Timed): Promise<ReadonlyArray<TimedResult>> => {
  const entries = await inRounds(bench, async ({ turn }) => {
    // Nobody pays for the garbage of the one before.
    globalThis.gc?.()
    const started = performance.now()
    await turn()
    return performance.now() - started
  })
  const first = entries[0]!.turns
  return entries.map(({ name, turns: times }) => ({
    name,
    rate: (bench.operations / median(times)) * 1000,
    ratio: median(times.map((time, round) => first[round]! / time)),
    noise: noise(times),
    times
  }))
}

export interface ComparedResult {
  readonly contestants: ReadonlyArray<{ readonly name: string; readonly turns: ReadonlyArray<Measures> }>
  readonly claims: ReadonlyArray<Claim & { readonly ratio: number; readonly noise: number }>
}

export const runCompared = async (bench: Compared): Promise<ComparedResult> => {
  const contestants = await inRounds(bench, async ({ turn }) => (await turn()) as Measures)
  const turnsOf = (wanted: string) => contestants.find(({ name }) => name === wanted)!.turns
  const claims = bench.claims.map((claim) => {
    const { measure, ours, theirs } = claim
    const other = turnsOf(theirs)
    const ratios = turnsOf(ours).map((turn, round) => {
      const ratio = turn[measure]! / other[round]![measure]!
      return measure === "time" ? 1 / ratio : ratio
    })
    return { ...claim, ratio: median(ratios), noise: noise(ratios) }
  })
  return { contestants: contestants.map(({ name, turns }) => ({ name, turns })), claims }
}

const ends: Array<() => Promise<unknown>> = []

/** Once all benchmarks of this run are through. */
export const atEnd = (end: () => Promise<unknown>): void => void ends.push(end)

export const end = async (): Promise<void> => {
  for (const one of ends.splice(0)) await one()
}

export const runOnce = async (bench: Once): Promise<ReadonlyArray<OnceResult>> => {
  const results: Array<OnceResult> = []
  for (const { name, value: measure } of bench.measure) {
    const value = await measure()
    results.push({ name, value, ratio: value / (results[0]?.value ?? value) })
  }
  return results
}
