import * as Amqp from "@apium/transport-amqp/node"
import { Effect, Layer } from "effect"
import * as Fleet from "../../../../test/support/fleet/Fleet.ts"
import { RabbitMq } from "../../../../test/support/RabbitMq.ts"

/** A connection to the broker of the layer, and fleets on it. */
export const World = Layer.unwrap(
  Effect.map(RabbitMq, (rabbit) =>
    Layer.merge(
      Amqp.layer(rabbit.url()),
      Fleet.Broker.layer({
        url: rabbit.url(),
        counts: (queue) =>
          rabbit.queues.pipe(
            Effect.orDie,
            Effect.map((all) => all.find(({ name }) => name === queue) ?? { ready: 0, unacked: 0 })
          )
      })
    )
  )
)
