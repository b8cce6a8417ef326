/**
 * The work that all do alike, each on a broker's place of its own, and with a Redis database of its own beside it:
 *
 * ```text
 *   bench.noop     does nothing
 *   bench.count    INCR of a key: shows before the clock starts that tasks are run, and how often
 *   bench.mark     says how long ago its message was begun to be sent
 *   bench.one      gives 1: a part of a chord
 *   bench.next     gives one more than it was given: a step of a chain
 *   bench.sum      gives the sum of a list: a chord's body
 * ```
 */

/** Celery's default queue, which is ours, too. */
export const queue = "celery"
/** What `bench.count` counts in, and where `bench.mark` says it. */
export const counter = "bench:count"
export const marks = "bench:marks"

export type TaskName = "bench.noop" | "bench.count"

/** `channel` and `socket` are no task queues: they publish again what our client has sent. */
export type Peer = "apium" | "bullmq" | "celery" | "channel" | "socket"

export type Broker = "rabbitmq" | "redis"

/** Where results go: nowhere, to Redis, or as messages over the broker to who sent the task. */
export type Results = "none" | "redis" | "rpc"

/** Of one contestant alone. BullMQ's broker is its Redis. */
export interface Urls {
  readonly broker: string
  readonly redis: string
}

/** `batch`: 1,000 in one call. `together`: 256 calls under way. `each`: one call after the other. */
export type Manner = "batch" | "together" | "each"

export const batch = 1000
export const window = 256
/** Between two messages whose latency is measured, in milliseconds: the worker has settled the one, and waits for the next. */
export const pause = 20

export type Canvas = "chord" | "chain"

/** `undefined` where there is no way to do that. */
export interface Producer {
  /** For as long as the benchmark needs no results: none are stored. */
  readonly send: (manner: Manner, task: TaskName, count: number, results: boolean) => Promise<void>
  /** One `bench.mark`, and how long it took to its start, in milliseconds. */
  readonly mark?: () => Promise<number>
  /** One `bench.noop`, and its result. */
  readonly trip?: () => Promise<void>
  /** A chord of so many parts and their sum, or a chain of so many steps; its result. */
  readonly canvas?: (canvas: Canvas, size: number) => Promise<number>
}

export interface ProducerOptions {
  readonly results: Results
  /** Celery's settings beside its defaults. */
  readonly conf?: Readonly<Record<string, unknown>> | undefined
  /** Ours; default `durable`. */
  readonly profile?: "celery"
}

export interface WorkerOptions extends ProducerOptions {
  readonly concurrency: number
}

/** What a Node.js process of the benchmark can be. */
export interface Program {
  readonly produce: (urls: Urls, options: ProducerOptions) => Promise<Producer>
  /** Runs until its process ends. */
  readonly work?: (urls: Urls, options: WorkerOptions) => Promise<void>
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
