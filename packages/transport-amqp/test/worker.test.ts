import { Connection } from "@apium/hub/Connection"
import * as Queue from "@apium/hub/Queue"
import * as Amqp from "@apium/transport-amqp/node"
import { Client, MemoryBackend, Task, Tasks, Worker } from "@apium/worker"
import { assert, layer } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Schema } from "effect"
import { RabbitMq } from "../../../test/support/RabbitMq.ts"

const add = Task.make("proj.add", { params: { x: Schema.Number, y: Schema.Number }, result: Schema.Number })

/** Two connections, as two programs would have, and a place for results that they share. */
const World = Layer.unwrap(
  Effect.map(RabbitMq, (rabbit) => {
    const connection = () => Layer.fresh(Amqp.layer(rabbit.url()))
    const AddLive = Tasks.handle(add, ({ x, y }) => Effect.succeed(x + y))
    return Layer.mergeAll(
      Worker.layer({ queues: [Queue.make("celery")], concurrency: 8 }).pipe(
        Layer.provide([AddLive]),
        Layer.provide(Tasks.layer),
        Layer.provide(Client.layer),
        Layer.provide(connection())
      ),
      Client.layer.pipe(Layer.provideMerge(connection()))
    )
  })
).pipe(Layer.provide(Layer.suspend(() => MemoryBackend.layer)), Layer.provideMerge(RabbitMq.shared))

const waiting = Effect.flatMap(Connection, (connection) =>
  connection.use((channel) => channel.queueDeclare(Queue.make("celery"), { passive: true }))
)

layer(World, { excludeTestServices: true, timeout: "60 seconds" })("a worker and a client on RabbitMQ", (it) => {
  it.effect("a task is sent, run, and its result comes back", () =>
    Effect.gen(function* () {
      const result = yield* add.delay({ x: 2, y: 3 })
      assert.strictEqual(yield* result.get, 5)
    })
  )

  it.effect(
    "a thousand tasks run though all links are cut in the middle, and nothing is left in the queue",
    () =>
      Effect.gen(function* () {
        const rabbit = yield* RabbitMq
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
        yield* rabbit.closeConnections()
        const results = yield* Fiber.join(running)
        assert.deepStrictEqual(
          results,
          results.map((_, index) => index + 1)
        )
        assert.strictEqual((yield* waiting).messageCount, 0)
      }),
    60_000
  )
})
