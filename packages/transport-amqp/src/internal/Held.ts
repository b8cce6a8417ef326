/**
 * Queues whose consumer must not leave for a moment, as far as this link has declared them: one that deletes itself when its
 * last consumer leaves, one that gives another consumer its turn, a stream that would begin somewhere else. Their consumers are
 * cancelled at their end, and not to change how much they may hold.
 */
import type { Queue } from "@apium/hub/Queue"

/** Names of queues come and go: the oldest are forgotten. */
const most = 10_000

export class Held {
  readonly #queues = new Map<string, "always" | "noAck">()

  declared(name: string, { arguments: args, autoDelete }: Queue): void {
    const type = args["x-queue-type"]
    const held = autoDelete || args["x-single-active-consumer"] === true || type === "stream"
    this.#queues.delete(name)
    if (!held && type !== "quorum") return
    if (this.#queues.size >= most) this.#queues.delete(this.#queues.keys().next().value!)
    this.#queues.set(name, held ? "always" : "noAck")
  }

  /** Of a quorum queue, what is on its way to a consumer that leaves comes late: who does not acknowledge gets it out of order. */
  has(name: string, noAck: boolean): boolean {
    const held = this.#queues.get(name)
    return held === "always" || (noAck && held === "noAck")
  }
}
