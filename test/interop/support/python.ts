/** Definitions of what Python's `proj` has beside the tasks of `tasks.ts`. */
import * as Task from "@apium/worker/task/Task"
import { Schema } from "effect"

/** As Python raises it: its class has the module that ours have. */
export class OutOfStock extends Schema.TaggedError<OutOfStock>()("OutOfStock", { left: Schema.Number }) {}

const x = { x: Schema.Number }
const seconds = { seconds: Schema.Number }
export const order = Task.make("proj.order", { params: { left: Schema.Number }, error: OutOfStock })
export const exhausted = Task.make("proj.exhausted", { params: {} })
export const patient = Task.make("proj.patient", { params: seconds, result: Schema.String })
export const ignores = Task.make("proj.ignores", { params: {} })
export const rejects = Task.make("proj.rejects", { params: {} })
export const spread = Task.make("proj.spread", { params: x, result: Schema.Array(Schema.Number) })
export const twice = Task.make("proj.twice", { params: x, result: Schema.Number })
export const more = Task.make("proj.more", { params: x, result: Schema.Number })
/** Goes on when there is something in the list `until`. */
export const note = Task.make("proj.note", {
  params: { list: Schema.String, what: Schema.String, until: Schema.optionalKey(Schema.String) }
})
