import { Connection } from "@apium/hub/Connection"
import * as DeadLetter from "@apium/hub/DeadLetter"
import * as Queue from "@apium/hub/Queue"
import * as Amqp from "@apium/transport-amqp/node"
import { Client, MemoryBackend, Tasks, Worker } from "@apium/worker"
import { layerProcessPool } from "@apium/worker/node"
import { assert, layer } from "@effect/vitest"
import { Effect, Exit, Layer, References } from "effect"
import { RabbitMq } from "../../../../test/support/RabbitMq.ts"
import { print, times } from "../../../../test/support/Figures.ts"
import Handlers, * as children from "./children.ts"

const queue = Queue.make("children")

const World = Layer.unwrap(
  Effect.map(RabbitMq, (rabbit) => {
    const connection = () => Layer.fresh(Amqp.layer(rabbit.url()))
    const pool = layerProcessPool({ module: new URL("./children.ts", import.meta.url), size: 2 })
    return Layer.mergeAll(
      Worker.layer({ queues: [queue], concurrency: 2, pool }).pipe(
        Layer.provide(Handlers),
        Layer.provide([Tasks.layer, Client.layer]),
        Layer.provide(connection())
      ),
      Client.layerWith({ queues: [queue], defaultQueue: queue.name }).pipe(Layer.provideMerge(connection()))
    )
  })
).pipe(
  Layer.provide(Layer.suspend(() => MemoryBackend.layer)),
  Layer.provideMerge(RabbitMq.shared),
  // Each death is a warning, and as expected.
  Layer.provide(Layer.succeed(References.MinimumLogLevel, "Fatal"))
)

layer(World, { excludeTestServices: true })("children of a pool that are killed", (it) => {
  it.effect("take their own task along and no other; one that is given back each time is dead-lettered", () =>
    Effect.gen(function* () {
      const connection = yield* Connection
      const deaths = times(5, 20, 200)
      const dead = Queue.make(DeadLetter.queueOf(queue.name))
      yield* connection.declare({ queues: [dead] })
      const poison = yield* children.diesAgain.delay({})
      const results = yield* Effect.forEach(
        Array.from({ length: deaths * 10 }, (_, index) => index),
        (index) => (index % 10 === 3 ? children.dies.delay({}) : children.lives.delay({}))
      )
      const exits = yield* Effect.forEach(results, ({ get }) => Effect.exit(get), { concurrency: "unbounded" })
      const failed = exits.filter(Exit.isFailure)
      assert.strictEqual(failed.length, deaths)
      const failures = yield* Effect.forEach(
        results.filter((_, index) => index % 10 === 3),
        ({ get }) => Effect.flip(get)
      )
      for (const failure of failures) assert.strictEqual((failure as { excType?: string }).excType, "WorkerLostError")
      const last = (yield* Effect.flip(poison.get)) as { excType?: string }
      assert.strictEqual(last.excType, "TooManyDeliveries")
      // It comes there after its result.
      const state = yield* connection.use((channel) =>
        Effect.repeat(Effect.all([queue, dead].map((one) => channel.queueDeclare(one, { passive: true }))), {
          until: ([, { messageCount } = { messageCount: 0 }]) => messageCount > 0
        })
      )
      yield* print(
        `A4 n=${results.length} deaths=${deaths} failed=${failed.length} others failed=${failed.length - failures.length} left=${state[0]!.messageCount} dead=${state[1]!.messageCount}`
      )
      assert.deepStrictEqual(
        state.map(({ messageCount }) => messageCount),
        [0, 1]
      )
    })
  )
})
