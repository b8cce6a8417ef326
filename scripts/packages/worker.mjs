// A client sends a task through the embedded broker, a worker runs it, and its result comes back.
import { Connection } from "@apium/hub/Connection"
import * as MemoryTransport from "@apium/hub/memory/MemoryTransport"
import * as Queue from "@apium/hub/Queue"
import { Client, MemoryBackend, Task, Tasks, Worker } from "@apium/worker"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"

const add = Task.make("proj.add", { params: { x: Schema.Number, y: Schema.Number }, result: Schema.Number })

const Broker = Layer.merge(Connection.layer.pipe(Layer.provide(MemoryTransport.layer)), MemoryBackend.layer)
const Main = Worker.layer({ queues: [Queue.make("celery")], concurrency: 2 }).pipe(
  Layer.provide(Tasks.handle(add, ({ x, y }) => Effect.succeed(x + y))),
  Layer.provide(Tasks.layer),
  Layer.merge(Client.layer),
  Layer.provide(Broker)
)

const program = Effect.flatMap(add.delay({ x: 2, y: 3 }), (result) => result.get)
const sum = await Effect.runPromise(program.pipe(Effect.provide(Main)))
if (sum !== 5) throw new Error(`2 + 3 = ${sum}`)
console.log(`2 + 3 = ${sum}`)
