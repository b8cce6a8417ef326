/** The tasks of both sides: what Python's `proj` has as well. */
import type { KombuJson } from "@apium/protocol/kombu/Json"
import * as Retry from "@apium/worker/task/Retry"
import * as Task from "@apium/worker/task/Task"
import { TaskContext } from "@apium/worker/task/TaskContext"
import { Tasks } from "@apium/worker/task/Tasks"
import * as Canvas from "@apium/worker/client/Canvas"
import { Effect, Layer, Schema } from "effect"

class ValueError extends Schema.TaggedError<ValueError>()("ValueError", { text: Schema.String }) {
  override get message() {
    return this.text
  }
}

const numbers = { x: Schema.Number, y: Schema.Number }
export const add = Task.make("proj.add", { params: numbers, result: Schema.Number })
export const sum = Task.make("proj.sum", { params: { of: Schema.Array(Schema.Number) }, result: Schema.Number })
export const echo = Task.raw("proj.echo")
export const fail = Task.make("proj.fail", { params: { text: Schema.String }, error: ValueError })
export const retry = Task.make("proj.retry", {
  params: { times: Schema.Number },
  result: Schema.Number,
  retry: Retry.fixed({ maxRetries: 5, delay: "10 millis" })
})
export const progress = Task.make("proj.progress", { params: {}, result: Schema.String })
export const sleep = Task.make("proj.sleep", { params: { seconds: Schema.Number }, result: Schema.Number })
export const ignored = Task.make("proj.ignored", { params: {}, ignoreResult: true })
export const replaced = Task.make("proj.replaced", { params: { x: Schema.Number }, result: Schema.Number })
export const info = Task.raw("proj.info")
export const tell = Task.raw("proj.tell")
/** What `proj.tell` was called with. */
export const heard = Task.raw("proj.heard")

const told: Array<KombuJson> = []

export const handlers = Layer.mergeAll(
  Tasks.handle(add, ({ x, y }) => Effect.succeed(x + y)),
  Tasks.handle(sum, ({ of }) => Effect.succeed(of.reduce((all, n) => all + n, 0))),
  Tasks.handle(echo, ({ args, kwargs }) => Effect.succeed([args, kwargs])),
  Tasks.handle(fail, ({ text }) => Effect.fail(new ValueError({ text }))),
  Tasks.handle(retry, ({ times }) =>
    Effect.flatMap(TaskContext, ({ retries }) =>
      retries < times ? Effect.die(new Error("not yet")) : Effect.succeed(retries)
    )
  ),
  Tasks.handle(progress, () =>
    Effect.gen(function* () {
      const { updateState } = yield* TaskContext
      yield* updateState("PROGRESS", { done: 1, of: 2 })
      yield* Effect.sleep("500 millis")
      return "done"
    })
  ),
  Tasks.handle(sleep, ({ seconds }) => Effect.as(Effect.sleep(seconds * 1000), seconds)),
  Tasks.handle(ignored, () => Effect.void),
  Tasks.handle(replaced, ({ x }) => Canvas.replace(Canvas.chain(add.s({ x, y: 1 }), add.partial({ y: 10 })))),
  Tasks.handle(info, () =>
    Effect.map(TaskContext, ({ delivery, headers, id, name, retries, rootId }) => ({
      id,
      name,
      retries,
      rootId,
      headers: headers as KombuJson,
      priority: delivery.priority
    }))
  ),
  Tasks.handle(tell, ({ args, kwargs }) => Effect.sync(() => told.push([args, kwargs]))),
  Tasks.handle(heard, () => Effect.succeed(told))
)
