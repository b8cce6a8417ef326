/** A worker and a client, as two programs would have them, on whatever broker: tasks go one way, and results the other. */
import { Connection } from "@apium/hub/Connection"
import * as Queue from "@apium/hub/Queue"
import { Client, type ResultBackend, Task, Tasks, Worker } from "@apium/worker"
import { assert } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Schedule, Schema } from "effect"

export const add = Task.make("proj.add", { params: { x: Schema.Number, y: Schema.Number }, result: Schema.Number })

const AddLive = Tasks.handle(add, ({ x, y }) => Effect.succeed(x + y))

/** The client, and its connection. `program` is what each of the two has for itself; `more` are handlers beside that of `add`. */
export const world = <E, R>(
  program: () => Layer.Layer<Connection | ResultBackend, E, R>,
  more: Layer.Layer<never, never, Tasks> = Layer.empty
) =>
  Layer.merge(
    Worker.layer({ queues: [Queue.make("celery")], concurrency: 8 }).pipe(
      Layer.provide([AddLive, more]),
      Layer.provide(Tasks.layer),
      Layer.provide(Client.layer),
      Layer.provide(program())
    ),
    Client.layer.pipe(Layer.provideMerge(program()))
  )

/** A thousand tasks are sent and awaited, fifty at once, and somewhere in the middle all links are cut. */
export const thousand = <A, E, R>(cut: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const connection = yield* Connection
    const some = yield* Deferred.make<void>()
    const running = yield* Effect.forkChild(
      Effect.forEach(
        Array.from({ length: 1000 }, (_, index) => index),
        (index) =>
          Effect.gen(function* () {
            const result = yield* add.delay({ x: index, y: 1 })
            if (index === 300) yield* Deferred.succeed(some, undefined)
            return yield* result.get
          }),
        { concurrency: 50 }
      )
    )
    yield* Deferred.await(some)
    yield* cut
    const results = yield* Fiber.join(running)
    assert.deepStrictEqual(
      results,
      results.map((_, index) => index + 1)
    )
    // What was cut off between its result and its acknowledgement comes once more.
    yield* Effect.repeat(
      connection.use((channel) => channel.queueDeclare(Queue.make("celery"), { passive: true })),
      { until: ({ messageCount }) => messageCount === 0, schedule: Schedule.spaced("20 millis") }
    )
  })
