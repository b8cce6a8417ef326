/**
 * What the three tasks take and give. There is no handler here: whoever sends a task needs its definition, and nothing else.
 */
import * as Retry from "@apium/worker/task/Retry"
import * as Task from "@apium/worker/task/Task"
import * as Schema from "effect/Schema"

/** A file that cannot be indexed, and why. It travels as an exception of this name, to TypeScript and to Python. */
export class Unreadable extends Schema.TaggedError<Unreadable>()("Unreadable", { reason: Schema.String }) {
  override get message() {
    return this.reason
  }
}

/** Counts the words of one file. Only the commonest travel back: a result should be small. */
export const index = Task.make("demo.index", {
  params: { path: Schema.String },
  result: Schema.Struct({
    bytes: Schema.Int,
    words: Schema.Int,
    terms: Schema.Array(Schema.Tuple([Schema.String, Schema.Int]))
  }),
  error: Unreadable
})

/** What `demo.flaky` fails with: a service that is away for a moment. */
export class Unavailable extends Schema.TaggedError<Unavailable>()("Unavailable", {}) {
  override get message() {
    return "nobody answered"
  }
}

/** Fails as often as it is told to, and is saved by its retry policy. Gives the number of runs it took. */
export const flaky = Task.make("demo.flaky", {
  params: { failures: Schema.Int },
  result: Schema.Int,
  error: Unavailable,
  retry: Retry.exponential({ maxRetries: 5, base: "100 millis", cap: "2 seconds", jitter: "none" })
})

/** Sent with an ETA. Gives the time at which it ran, in milliseconds since the epoch. */
export const reminder = Task.make("demo.reminder", {
  params: { text: Schema.String },
  result: Schema.Finite
})
