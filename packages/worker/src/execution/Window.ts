/**
 * How many deliveries a worker may hold unsettled, and how that changes while it works (kombu's `QoS`, Celery's
 * `prefetch_multiplier`). Never more than asked for:
 *
 * - `prefetch`: `concurrency * multiplier`, so that the next task is there when one ends. Tasks held here until they are due
 *   do not count (up to `etaLimit`), for they would keep the due ones away.
 * - `exact`: as many as there are free slots, so that no worker holds what another could begin. A task acknowledged early
 *   has a slot and no delivery: the window is smaller by it.
 *
 * Tasks that outlived the link they came on have slots, too, and their messages come again: the window is smaller by them
 * until they end (Celery's `worker_enable_prefetch_count_reduction`).
 */
export type Fetch = "prefetch" | "exact"

export interface Load {
  readonly concurrency: number
  /** Running, and acknowledged before they ran. */
  readonly early: number
  /** Running, and of a link that is lost. */
  readonly orphans: number
  /** Held until they are due. */
  readonly held: number
}

export interface Options {
  readonly fetch: Fetch
  readonly multiplier: number
  readonly etaLimit: number
}

export const size = ({ fetch, multiplier, etaLimit }: Options, { concurrency, early, orphans, held }: Load): number => {
  const scheduled = Math.min(held, etaLimit)
  return fetch === "exact"
    ? Math.max(0, concurrency - early - orphans) + scheduled
    : Math.max(1, concurrency * multiplier - orphans) + scheduled
}
