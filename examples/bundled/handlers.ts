/** The tasks of `worker.ts`, and their handlers, which a thread or a process of its pool loads by this module's URL. */
import * as Task from "@apium/worker/task/Task"
import { Tasks } from "@apium/worker/task/Tasks"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Threads from "node:worker_threads"

export const place = Task.make("bundled.place", { params: { word: Schema.String }, result: Schema.String })

/** Says where it ran. */
export default Tasks.handle(place, ({ word }) =>
  Effect.sync(() => {
    const where = !Threads.isMainThread ? "a thread" : process.send === undefined ? "the worker" : "a process"
    return `${word} in ${where}`
  })
)
