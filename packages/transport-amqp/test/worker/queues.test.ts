import * as Amqp from "@apium/transport-amqp/node"
import { MemoryBackend } from "@apium/worker"
import { layer } from "@effect/vitest"
import { Effect, Layer, References } from "effect"
import * as queues from "../../../../test/support/queues.ts"
import { RabbitMq } from "../../../../test/support/RabbitMq.ts"
import * as worker from "../../../../test/support/worker.ts"

const { live, ran } = queues.marks()

// Each change is logged, and each refusal.
const quiet = Layer.succeed(References.MinimumLogLevel, "Fatal")

const World = Layer.unwrap(
  Effect.map(RabbitMq, (rabbit) => {
    const results = Layer.suspend(() => MemoryBackend.layer)
    return worker.world(() => Layer.merge(Layer.fresh(Amqp.layer(rabbit.url())), results), live)
  })
).pipe(Layer.provide(quiet), Layer.provideMerge(RabbitMq.shared))

layer(World, { excludeTestServices: true })("add_consumer and cancel_consumer on RabbitMQ", (it) => {
  it.effect("under load, over and over, lose no task and run none twice", () => queues.changing(ran))
  it.effect("of a queue where somebody else is exclusive are an answer, and stop no other", () => queues.refused(ran))
})
