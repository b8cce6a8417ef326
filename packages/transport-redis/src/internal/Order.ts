/** In which order queues are asked (kombu's `queue_order_strategy`, `kombu/utils/scheduling.py`). */

/**
 * Of lists of the same priority: `round_robin`, the one that was consumed last comes last, `sorted`, by name, or `priority`, in the
 * order in which they are consumed, each until it is empty.
 */
export type QueueOrderStrategy = "round_robin" | "sorted" | "priority"

export class Order {
  readonly #strategy: QueueOrderStrategy
  /** When a queue was consumed last, counted in messages. */
  readonly #consumed = new Map<string, number>()
  #count = 0

  constructor(strategy: QueueOrderStrategy) {
    this.#strategy = strategy
  }

  /** Whether a batch takes one message of each in turn, as so many takes of one would. */
  get inTurn(): boolean {
    return this.#strategy === "round_robin"
  }

  of(queues: ReadonlyArray<string>): ReadonlyArray<string> {
    if (queues.length === 1 || this.#strategy === "priority") return queues
    if (this.#strategy === "sorted") return queues.toSorted()
    const at = (queue: string): number => this.#consumed.get(queue) ?? 0
    return queues.toSorted((one, other) => at(one) - at(other))
  }

  /** One of several queues. */
  consumed(queue: string): void {
    if (this.#strategy === "round_robin") this.#consumed.set(queue, ++this.#count)
  }

  forget(queue: string): void {
    this.#consumed.delete(queue)
  }
}
