/**
 * The books of a fault test: what was accepted, what began, what took effect, and what went back to its queue. Whatever
 * happened in between, every accepted task has an effect or is still in the queue, and one line says so.
 *
 * A task is a key of the test's choice. Times are milliseconds of any clock that does not go back.
 */
export interface Report {
  /** Accepted. */
  readonly n: number
  /** Accepted, without an effect, and not given back. */
  readonly lost: ReadonlyArray<string>
  /** Effects beyond the first of each task. */
  readonly dup: number
  /** Effects of what nobody accepted. */
  readonly unknown: ReadonlyArray<string>
  readonly started: number
  /** Accepted, with an effect. */
  readonly finished: number
  readonly givenBack: number
  /** From each fault to the moment a task it cut off began again, in milliseconds. */
  readonly recovery: { readonly p50: number; readonly p95: number; readonly max: number }
  /** `lost=0 dup=3 n=1000 recover_p50/p95/max=12/80/95` */
  readonly line: string
}

export interface Ledger {
  /** It was sent, and the send returned. */
  readonly accepted: (task: string) => void
  readonly started: (task: string) => void
  /** Its effect is there. */
  readonly finished: (task: string) => void
  /** It is in its queue, for whoever takes it next. */
  readonly givenBack: (task: string) => void
  /** Something was killed or cut: what has begun and not finished recovers from now on. */
  readonly fault: () => void
  readonly effects: (task: string) => number
  readonly report: () => Report
}

interface Entry {
  accepted: boolean
  starts: number
  effects: number
  back: boolean
  /** When a fault cut it off. */
  cutOff: number | undefined
}

const percentile = (sorted: ReadonlyArray<number>, share: number): number =>
  sorted.length === 0 ? 0 : Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!)

export const make = (now: () => number = () => performance.now()): Ledger => {
  const entries = new Map<string, Entry>()
  const recovered: Array<number> = []

  const entry = (task: string): Entry => {
    const known = entries.get(task)
    if (known !== undefined) return known
    const made: Entry = { accepted: false, starts: 0, effects: 0, back: false, cutOff: undefined }
    entries.set(task, made)
    return made
  }

  return {
    accepted: (task) => void (entry(task).accepted = true),
    started: (task) => {
      const one = entry(task)
      one.starts++
      one.back = false
      if (one.cutOff === undefined) return
      recovered.push(now() - one.cutOff)
      one.cutOff = undefined
    },
    finished: (task) => {
      const one = entry(task)
      one.effects++
      one.cutOff = undefined
    },
    givenBack: (task) => void (entry(task).back = true),
    fault: () => {
      for (const one of entries.values()) if (one.starts > 0 && one.effects === 0) one.cutOff ??= now()
    },
    effects: (task) => entries.get(task)?.effects ?? 0,
    report: () => {
      const all = [...entries]
      const named = (matches: (one: Entry) => boolean) => all.flatMap(([task, one]) => (matches(one) ? [task] : []))
      const sum = (of: (one: Entry) => number) => all.reduce((total, [, one]) => total + of(one), 0)
      const sorted = recovered.toSorted((one, other) => one - other)
      const [p50, p95, max] = [percentile(sorted, 0.5), percentile(sorted, 0.95), percentile(sorted, 1)]
      const n = sum(({ accepted }) => Number(accepted))
      const lost = named((one) => one.accepted && one.effects === 0 && !one.back)
      const dup = sum(({ effects }) => Math.max(0, effects - 1))
      return {
        n,
        lost,
        dup,
        unknown: named((one) => !one.accepted && one.effects > 0),
        started: sum(({ starts }) => starts),
        finished: sum(({ accepted, effects }) => Number(accepted && effects > 0)),
        givenBack: sum(({ back }) => Number(back)),
        recovery: { p50, p95, max },
        line: [
          `lost=${lost.length} dup=${dup} n=${n} recover_p50/p95/max=${p50}/${p95}/${max}`,
          ...lost.map((task) => `  lost: ${task}`)
        ].join("\n")
      }
    }
  }
}
