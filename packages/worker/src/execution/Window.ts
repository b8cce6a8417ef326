/**
 * How many deliveries a worker may hold unsettled, and how that changes while it works (kombu's `QoS`, Celery's
 * `prefetch_multiplier`). It is one number for all queues of a worker, except over AMQP, where the broker counts by consumer: there
 * each queue's consumer has it (`capabilities.prefetch`). Never more than asked for:
 *
 * - `prefetch`: `concurrency * multiplier` (0: no bound), so that the next task is there when one ends. Tasks held here until they are due
 *   do not count (up to `etaLimit`), for they would keep the due ones away.
 * - `exact`: as many as there are free slots, so that no worker holds what another could begin. A task acknowledged early
 *   has a slot and no delivery: the window is smaller by it.
 *
 * Tasks that wait for their rate limit, or for others of their own task, do not count either (up to 1,000): they hold up
 * nobody else's. Tasks that outlived the link they came on have slots, too, and their messages come again: the window is smaller by them
 * until they are here or the tasks end (Celery's `worker_enable_prefetch_count_reduction`).
 */
export type Fetch = "prefetch" | "exact"

export interface Load {
  readonly concurrency: number
  /** Running, and acknowledged before they ran. */
  readonly early: number
  /** Running, and of a link that is lost: those whose messages are to come again. */
  readonly orphans: number
  /** Held until they are due. */
  readonly held: number
  /** Waiting for their rate limit, or for others of their own task. */
  readonly limited: number
}

export interface Options {
  readonly fetch: Fetch
  readonly multiplier: number
  readonly etaLimit: number
}

/** So many tasks that wait for their own kind may be held beside the others; more would be missed elsewhere. */
const maxLimited = 1000

export const size = (
  { fetch, multiplier, etaLimit }: Options,
  { concurrency, early, orphans, held, limited }: Load
): number => {
  const scheduled = Math.min(held, etaLimit) + Math.min(limited, maxLimited)
  return fetch === "exact"
    ? Math.max(0, concurrency - early - orphans) + scheduled
    : multiplier === 0
      ? Number.POSITIVE_INFINITY
      : Math.max(1, concurrency * multiplier - orphans) + scheduled
}
