/** What waits in the lattice is on disk (RELIABILITY B1). */
import { Connection } from "@apium/hub/Connection"
import * as Message from "@apium/hub/Message"
import * as HubQueue from "@apium/hub/Queue"
import * as Amqp from "@apium/transport-amqp/node"
import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Option } from "effect"
import { RabbitMq, RabbitMqServer } from "../../../../test/support/RabbitMq.ts"
import * as Figures from "../../../../test/support/Figures.ts"
import { earliest } from "./Arrivals.ts"

const queue = HubQueue.quorum(HubQueue.make("waited-for"))

const World = Layer.unwrap(Effect.map(RabbitMq, (rabbit) => Amqp.layer(rabbit.url()))).pipe(
  Layer.provideMerge(RabbitMq.layer())
)

layer(World, { excludeTestServices: true })("messages that wait in a broker that is killed", (it) => {
  it.effect("arrive after its return, each once, and none before its time", () =>
    Effect.gen(function* () {
      const connection = yield* Connection
      const rabbit = yield* RabbitMq
      const { kill, start } = yield* RabbitMqServer
      const count = Figures.times(100, 1000)
      yield* connection.declare({ queues: [queue] })
      const now = Date.now()
      // Bits of several levels, and longer than the broker is away as a rule.
      const due = (index: number) => now + 9000 + (index % 4) * 1000
      yield* connection.publishAll(
        Array.from({ length: count }, (_, index) => [
          Message.make(new TextEncoder().encode(String(index)), { deliveryMode: "persistent" }),
          { exchange: "", routingKey: queue.name, mandatory: true, notBefore: due(index) }
        ])
      )
      yield* rabbit.flush
      yield* kill
      yield* start
      const seen = new Map<number, number>()
      yield* connection.recover(
        Effect.scoped(
          Effect.gen(function* () {
            const channel = yield* connection.channel
            while (seen.size < count) {
              const delivery = yield* channel.get(queue.name)
              if (Option.isNone(delivery)) {
                yield* Effect.sleep("50 millis")
                continue
              }
              const index = Number(new TextDecoder().decode(delivery.value.message.body))
              assert.isAtLeast(Date.now(), earliest({ notBefore: due(index) }))
              seen.set(index, (seen.get(index) ?? 0) + 1)
              yield* delivery.value.ack
            }
          })
        )
      )
      const twice = [...seen.values()].filter((times) => times > 1).length
      yield* Figures.print(`${count} messages waited through a kill, ${twice} of them arrived twice`)
      assert.strictEqual(seen.size, count)
    })
  )
})
