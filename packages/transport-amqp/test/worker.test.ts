import * as Amqp from "@apium/transport-amqp/node"
import { MemoryBackend } from "@apium/worker"
import { assert, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { RabbitMq } from "../../../test/support/RabbitMq.ts"
import * as worker from "../../../test/support/worker.ts"

/** Two links, and a place for results that both share. */
const World = Layer.unwrap(
  Effect.map(RabbitMq, (rabbit) => {
    const results = Layer.suspend(() => MemoryBackend.layer)
    return worker.world(() => Layer.merge(Layer.fresh(Amqp.layer(rabbit.url())), results))
  })
).pipe(Layer.provideMerge(RabbitMq.shared))

layer(World, { excludeTestServices: true })("a worker and a client on RabbitMQ", (it) => {
  it.effect("a task is sent, run, and its result comes back", () =>
    Effect.gen(function* () {
      const result = yield* worker.add.delay({ x: 2, y: 3 })
      assert.strictEqual(yield* result.get, 5)
    })
  )

  it.effect("a thousand tasks run though all links are cut in the middle, and nothing is left in the queue", () =>
    Effect.flatMap(RabbitMq, (rabbit) => worker.thousand(rabbit.closeConnections()))
  )
})
