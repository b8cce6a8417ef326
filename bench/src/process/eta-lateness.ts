/** A thousand tasks due within one second, evenly: how late each of them starts. */
import { Connection } from "@apium/hub/Connection"
import * as MemoryTransport from "@apium/hub/memory/MemoryTransport"
import * as Queue from "@apium/hub/Queue"
import * as MemoryBackend from "@apium/worker/client/backends/MemoryBackend"
import { Client } from "@apium/worker/client/Client"
import * as Task from "@apium/worker/task/Task"
import { Tasks } from "@apium/worker/task/Tasks"
import * as Worker from "@apium/worker/Worker"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"

const tasks = 1000

const due = Task.make("bench.due", { params: { at: Schema.Number } })
const late: Array<number> = []
const done = Deferred.makeUnsafe<void>()

const handler = Tasks.handle(due, ({ at }) =>
  Effect.sync(() => {
    if (late.push(Date.now() - at) === tasks) Deferred.doneUnsafe(done, Effect.void)
  })
)

const Live = Worker.layer({ queues: [Queue.make("celery")], concurrency: 10 }).pipe(
  Layer.provide([handler]),
  Layer.provide(Tasks.layer),
  Layer.provideMerge(Client.layer),
  Layer.provide([MemoryBackend.layer, Connection.layer.pipe(Layer.provide(MemoryTransport.layer))])
)

await Effect.runPromise(
  Effect.gen(function* () {
    const client = yield* Client
    const from = Date.now() + 3000
    for (let n = 0; n < tasks; n++) {
      const at = from + n
      yield* client.send(due, { at }, { eta: new Date(at), ignoreResult: true })
    }
    yield* Deferred.await(done)
    const sorted = late.toSorted((one, other) => one - other)
    console.log(
      JSON.stringify({
        p50: sorted[tasks * 0.5],
        p99: sorted[tasks * 0.99],
        max: sorted.at(-1),
        early: sorted.filter((millis) => millis < 0).length
      })
    )
  }).pipe(Effect.provide(Live))
)
