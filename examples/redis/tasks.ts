/** What both sides of this example know: a task's name, what it takes and what it gives. */
import * as Task from "@apium/worker/task/Task"
import * as Schema from "effect/Schema"

export const url = process.env["APIUM_BROKER_URL"] ?? "redis://localhost:6379/0"

/** Sums up the orders of a day. */
export const report = Task.make("shop.report", {
  params: { day: Schema.String, orders: Schema.Array(Schema.Number) },
  result: Schema.Struct({ day: Schema.String, total: Schema.Number })
})
