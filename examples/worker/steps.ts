/**
 * A worker with a step of your own, another one in place of one, and one away.
 *
 * A step is a layer with a name: it starts when what it requires is there, and stops before it. Run it with
 * `node --conditions=@apium/source examples/worker/steps.ts`.
 */
import { Connection } from "@apium/hub/Connection"
import * as MemoryTransport from "@apium/hub/memory/MemoryTransport"
import * as Queue from "@apium/hub/Queue"
import { Blueprint, Client, MemoryBackend, Requests, Task, Tasks, Worker } from "@apium/worker"
import * as HeartStep from "@apium/worker/steps/Heart"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"

const add = Task.make("proj.add", { params: { x: Schema.Number, y: Schema.Number }, result: Schema.Number })

/** Says what the worker has run when it stops: a step stops before those that it requires. */
const Report = Layer.effectDiscard(
  Effect.gen(function* () {
    const requests = yield* Requests
    yield* Effect.addFinalizer(() =>
      Console.log(`ran ${[...requests.totals()].map(([task, count]) => `${count} x ${task}`).join(", ")}`)
    )
  })
)

const blueprint = Worker.blueprint({ queues: [Queue.make("celery")], concurrency: 10 }).pipe(
  Blueprint.add("Report", { requires: ["Tasks"], layer: Report }),
  Blueprint.replace("Heart", { requires: ["Events", "Tasks"], layer: HeartStep.layer({ interval: "10 seconds" }) }),
  // Nobody is to stop this one from outside.
  Blueprint.remove("Control")
)

const Live = Worker.layerOf(blueprint).pipe(
  Layer.provide([Tasks.handle(add, ({ x, y }) => Effect.succeed(x + y))]),
  Layer.provide(Tasks.layer),
  Layer.provideMerge(Client.layer),
  Layer.provide([MemoryBackend.layer, Connection.layer.pipe(Layer.provide(MemoryTransport.layer))])
)

export const program = Effect.gen(function* () {
  yield* Console.log(Result.getOrThrow(Blueprint.graph(blueprint)))
  const results = yield* Effect.forEach([1, 2, 3], (x) => add.delay({ x, y: 10 }))
  yield* Console.log(yield* Effect.forEach(results, (result) => result.get))
}).pipe(Effect.provide(Live))

if (import.meta.main) await Effect.runPromise(program)

// prints:
// Shutdown
// Clock
// Timer
// Pool
// Connection
// Events      <- Connection, Clock
// State       <- Clock
// Tasks       <- Shutdown, Timer, Pool, Connection, Events, State
// Heart       <- Events, Tasks
// Autoscale   <- Tasks, Timer
// Mingle      <- Clock, Connection, Tasks
// Report      <- Tasks
// [ 11, 12, 13 ]
// ran 3 x proj.add
