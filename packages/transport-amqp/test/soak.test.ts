import * as Amqp from "@apium/transport-amqp/node"
import { layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { RabbitMq } from "../../../test/support/RabbitMq.ts"
import * as soak from "../../../test/support/soak.ts"

const World = Layer.unwrap(Effect.map(RabbitMq, (rabbit) => Amqp.layerTransport(rabbit.url()))).pipe(
  Layer.provideMerge(RabbitMq.shared)
)

layer(World, { excludeTestServices: true })("a link", (it) => {
  it.effect(
    `that carried ${soak.messages} messages each way, 100 unacknowledged at the most, has the heap it began with`,
    () => soak.carries,
    600_000
  )
})
