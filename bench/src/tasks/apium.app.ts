/**
 * What `apium worker -A` loads, and no more than Celery's `start.py` has: one task, which says when its handler began, and how much processor time there was
 * until then.
 */
import * as Task from "@apium/worker/task/Task"
import { Tasks } from "@apium/worker/task/Tasks"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

const mark = Task.make("bench.mark", { params: { at: Schema.Number } })

export default Tasks.handle(mark, () =>
  Effect.sync(() => {
    const { system, user } = process.cpuUsage()
    process.stdout.write(`mark ${Number(process.hrtime.bigint()) / 1e6} ${user + system}\n`)
  })
)
