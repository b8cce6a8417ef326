import { Connection } from "@apium/hub/Connection"
import * as Message from "@apium/hub/Message"
import * as HubQueue from "@apium/hub/Queue"
import * as Amqp from "@apium/transport-amqp/node"
import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Option } from "effect"
import { RabbitMq, RabbitMqServer } from "../../../test/support/RabbitMq.ts"

const queue = HubQueue.make("durable")

const World = Layer.unwrap(Effect.map(RabbitMq, (rabbit) => Amqp.layer(rabbit.url()))).pipe(
  Layer.provideMerge(RabbitMq.layer())
)

layer(World, { excludeTestServices: true, timeout: "90 seconds" })("a broker that is killed", (it) => {
  it.effect(
    "has all that it confirmed, and whoever publishes meanwhile waits for its return",
    () =>
      Effect.gen(function* () {
        const connection = yield* Connection
        const rabbit = yield* RabbitMq
        const { kill, start } = yield* RabbitMqServer
        yield* connection.declare({ queues: [queue] })
        yield* rabbit.flush
        const confirmed = new Set<string>()
        const publish = (index: number) =>
          Effect.gen(function* () {
            const body = new TextEncoder().encode(String(index))
            yield* connection.publish(
              Message.make(body, { deliveryMode: "persistent" }),
              { exchange: "", routingKey: queue.name, mandatory: true },
              { queues: [queue] }
            )
            confirmed.add(String(index))
            if (confirmed.size === 800) yield* Effect.andThen(kill, start)
          })
        yield* Effect.forEach(
          Array.from({ length: 4000 }, (_, index) => index),
          publish,
          { concurrency: 64, discard: true }
        )
        assert.strictEqual(confirmed.size, 4000)
        const there = new Set<string>()
        yield* connection.use((channel) =>
          Effect.gen(function* () {
            for (;;) {
              const delivery = yield* channel.get(queue.name)
              if (Option.isNone(delivery)) return
              there.add(new TextDecoder().decode(delivery.value.message.body))
              yield* delivery.value.ack
            }
          })
        )
        assert.strictEqual([...confirmed].filter((index) => !there.has(index)).length, 0)
      }),
    90_000
  )
})
