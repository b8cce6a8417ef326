/** What worker processes and those who send to them have in common. */
import type { Step } from "@apium/worker/execution/Failpoint"
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
  /** The Redis of the results; without it they are in the memory of the worker. */
  readonly results?: string
  /** For how long a result is tried to be stored, in milliseconds. */
  readonly retryFor?: number
  /** Kills itself when the so manieth task comes past this step; with a kind, of the canvas tasks of this kind. */
  readonly failpoint?: readonly [step: Step, times: number, kind?: Kind]
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

/** What follows a task: a callback, the next step of a chain, the body of its chord, what replaces it; a callback of what acknowledges early. */
export const kinds = ["link", "chain", "chord", "replace", "early"] as const
export type Kind = (typeof kinds)[number]

const workflow = { kind: Schema.Literals(kinds), n: Schema.Number, wait: Schema.Number }

/** The tasks of a canvas: their results are stored. What comes `next` goes to a queue of its own. */
export const canvasOf = ({ queue }: Pick<Script, "queue">) => ({
  step: Task.make("fleet.step", { params: workflow, result: Schema.Number, maxDeliveries: 1_000_000 }),
  early: Task.make("fleet.hasty", { params: workflow, result: Schema.Number, acksLate: false }),
  next: Task.make("fleet.next", {
    params: { of: Schema.Unknown, kind: Schema.Literals(kinds), n: Schema.Number },
    result: Schema.Number,
    queue: `${queue}-next`
  }),
  body: Task.make("fleet.body", {
    params: { of: Schema.Array(Schema.Number), n: Schema.Number },
    result: Schema.Number,
    queue,
    maxDeliveries: 1_000_000
  })
})
