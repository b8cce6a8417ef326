/** What the children of a process pool run: tasks that end the child they are in, and others. */
import * as Task from "@apium/worker/task/Task"
import { Tasks } from "@apium/worker/task/Tasks"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"

const result = Schema.Null

export const lives = Task.make("children.lives", { params: {}, result })
export const dies = Task.make("children.dies", { params: {}, result })
/** Each time it is run. */
export const diesAgain = Task.make("children.diesAgain", {
  params: {},
  result,
  rejectOnWorkerLost: true,
  maxDeliveries: 3
})

const die = Effect.andThen(
  Effect.sync(() => process.kill(process.pid, "SIGKILL")),
  Effect.never
)

export default Layer.mergeAll(
  Tasks.handle(lives, () => Effect.as(Effect.sleep("20 millis"), null)),
  Tasks.handle(dies, () => die),
  Tasks.handle(diesAgain, () => die)
)
