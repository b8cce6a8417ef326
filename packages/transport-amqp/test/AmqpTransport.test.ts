import * as TransportSuite from "@apium/hub/testing/TransportSuite"
import * as Amqp from "@apium/transport-amqp/node"
import { Effect, Layer } from "effect"
import { RabbitMq } from "../../../test/support/RabbitMq.ts"

const layer = Layer.unwrap(Effect.map(RabbitMq, (rabbit) => Amqp.layerTransport(rabbit.url()))).pipe(
  Layer.provide(RabbitMq.shared),
  Layer.orDie
)

TransportSuite.suite("RabbitMQ", layer, {
  timeout: "3 minutes",
  skip: {
    "a requeued message goes behind those that wait":
      "RabbitMQ's classic queues put it back where it was, if that place is still there"
  }
})
