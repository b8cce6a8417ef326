import { Connection, MemoryTransport, Queue } from "@apium/hub"
import { TaskState } from "@apium/protocol"
import { Client, MemoryBackend, Task, Tasks, Worker } from "@apium/worker"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"

const add = Task.make("proj.add", { params: { x: Schema.Finite, y: Schema.Finite }, result: Schema.Finite })
const AddLive = Tasks.handle(add, ({ x, y }) => Effect.succeed(x + y))

const Broker = Layer.merge(Connection.layer.pipe(Layer.provide(MemoryTransport.layer)), MemoryBackend.layer)
const Main = Worker.layer({ queues: [Queue.make("celery")], concurrency: 2 }).pipe(
  Layer.provide(AddLive),
  Layer.provide(Tasks.layer),
  Layer.merge(Client.layer),
  Layer.provide(Broker)
)

const program = Effect.gen(function* () {
  const result = yield* add.delay({ x: 2, y: 3 })
  const sum = yield* result.get
  const state = yield* result.state
  return { sum, state, ready: TaskState.isReady(state) }
})

/** A worker, its client and their broker that live for one request. */
export default {
  fetch: async (): Promise<Response> => Response.json(await Effect.runPromise(program.pipe(Effect.provide(Main))))
}
