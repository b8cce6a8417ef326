/** What worker processes and those who send to them have in common. */
import * as Task from "@apium/worker/task/Task"
import * as Schema from "effect/Schema"

/** What a worker process is told. */
export interface Script {
  readonly url: string
  readonly queue: string
  /** Of the node: each has its own mailbox. */
  readonly name?: string
  readonly quorum?: true | undefined
  /** Default 10. */
  readonly concurrency?: number
  /** Default 2. */
  readonly prefetchMultiplier?: number
  readonly maxDeliveries?: number
  /** Milliseconds. */
  readonly softTimeout?: number
  /** Who keeps what is not due. */
  readonly delay?: "broker" | "worker"
  /** Say so when it holds so many that are not due. */
  readonly holding?: number
  /** What came before takes no time. */
  readonly swift?: true
  /** Of Redis, in milliseconds: the lease of a link, and how long Python's workers may hold a message. */
  readonly lease?: number
  readonly visibilityTimeout?: number
}

const params = { wait: Schema.Number, dies: Schema.Boolean }

/** Each takes `wait` milliseconds, and takes its worker down instead if it `dies`. */
export const tasksOf = ({ maxDeliveries }: Pick<Script, "maxDeliveries"> = {}) => ({
  late: Task.make("fleet.late", { params, result: Schema.Null, maxDeliveries, ignoreResult: true }),
  early: Task.make("fleet.early", { params, result: Schema.Null, acksLate: false, ignoreResult: true })
})
