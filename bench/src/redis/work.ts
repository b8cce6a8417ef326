/**
 * The work that all do alike, over a Redis of the benchmark's own, each in a database of its own:
 *
 * ```text
 *   bench.noop     does nothing
 *   bench.count    INCR of a key: shows before the clock starts that tasks are run, and how often
 *   bench.mark     says how long ago its message was begun to be sent
 * ```
 */

/** Celery's default queue, which is ours, too. */
export const queue = "celery"
/** What `bench.count` counts in, and where `bench.mark` says it. */
export const counter = "bench:count"
export const marks = "bench:marks"

export type TaskName = "bench.noop" | "bench.count"

export type Peer = "apium" | "bullmq" | "celery"

/** `batch`: 1,000 in one call. `together`: 256 calls under way. `each`: one call after the other. */
export type Manner = "batch" | "together" | "each"

export const batch = 1000
export const window = 256
/** Between two messages whose latency is measured, in milliseconds: the worker has settled the one, and waits for the next. */
export const pause = 20

export interface Producer {
  /** For as long as the benchmark needs no results: none are stored. */
  readonly send: (manner: Manner, task: TaskName, count: number, results: boolean) => Promise<void>
  /** One `bench.mark`, and how long it took to its start, in milliseconds. */
  readonly mark: () => Promise<number>
}

export interface WorkerOptions {
  readonly concurrency: number
  readonly results: boolean
}

/** What a Node.js process of the benchmark can be. */
export interface Program {
  readonly produce: (url: string) => Promise<Producer>
  /** Runs until its process ends. */
  readonly work: (url: string, options: WorkerOptions) => Promise<void>
}

/** The machine's own clock, the same in all processes and in Python: milliseconds. */
export const now = (): number => Number(process.hrtime.bigint()) / 1e6

export const together = async (count: number, one: () => Promise<unknown>): Promise<void> => {
  let left = count
  const lane = async () => {
    while (left-- > 0) await one()
  }
  await Promise.all(Array.from({ length: window }, lane))
}
