import * as Amqp from "@apium/transport-amqp/node"
import { layer } from "@effect/vitest"
import { Effect } from "effect"
import * as rpc from "../../../../test/support/fleet/rpc.ts"
import { RabbitMq, RabbitMqServer } from "../../../../test/support/RabbitMq.ts"

layer(RabbitMq.layer(), { excludeTestServices: true, timeout: "60 seconds" })(
  "results as messages over RabbitMQ",
  (it) => {
    it.effect(
      "that come in the moment they are asked for are never missed",
      () => Effect.flatMap(RabbitMq, (rabbit) => rpc.instant("RabbitMQ", () => Amqp.layer(rabbit.url()))),
      60_000
    )

    it.effect(
      "all come, though the broker was killed while they were waited for",
      () =>
        Effect.gen(function* () {
          const rabbit = yield* RabbitMq
          const server = yield* RabbitMqServer
          yield* rpc.restarted(
            "RabbitMQ",
            () => Amqp.layer(rabbit.url()),
            Effect.andThen(server.kill, server.start),
            {}
          )
        }),
      300_000
    )
  }
)
