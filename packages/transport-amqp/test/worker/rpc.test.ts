import * as Amqp from "@apium/transport-amqp/node"
import { layer } from "@effect/vitest"
import { Effect } from "effect"
import * as rpc from "../../../../test/support/fleet/rpc.ts"
import { RabbitMq, RabbitMqServer } from "../../../../test/support/RabbitMq.ts"

layer(RabbitMq.layer(), { excludeTestServices: true })("results as messages over RabbitMQ", (it) => {
  it.effect("that come in the moment they are asked for are never missed", () =>
    Effect.flatMap(RabbitMq, (rabbit) => rpc.instant("RabbitMQ", () => Amqp.layer(rabbit.url())))
  )

  it.effect("all come, though the broker was killed while they were waited for", () =>
    Effect.gen(function* () {
      const rabbit = yield* RabbitMq
      const server = yield* RabbitMqServer
      yield* rpc.restarted(
        "RabbitMQ",
        // A busy machine has the broker away for longer than the 30 s after which a worker gives up a result, and says so.
        () => Amqp.layer(rabbit.url(), { patience: "5 minutes" }),
        rabbit.flush.pipe(Effect.andThen(server.kill), Effect.andThen(server.start)),
        {}
      )
    })
  )
})
