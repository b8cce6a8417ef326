import { layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { times } from "../../../../test/support/Figures.ts"
import * as kills from "../../../../test/support/fleet/kills.ts"
import { RabbitMq, RabbitMqServer } from "../../../../test/support/RabbitMq.ts"
import { World } from "./World.ts"

const kinds = { classic: {}, quorum: { quorum: true } } as const

const load = { tasks: times(350, 350, 500), longest: 170, apart: 600 }

layer(World.pipe(Layer.provideMerge(RabbitMq.layer())), { excludeTestServices: true })(
  "a worker whose links are lost",
  (it) => {
    it.effect("for all connections are closed: what runs goes on, and nothing is lost or runs twice", () =>
      Effect.gen(function* () {
        const rabbit = yield* RabbitMq
        yield* kills.cut("B4", kinds, times(3, 4, 20), rabbit.closeConnections(), load)
      })
    )

    it.effect("for the broker is killed, and started again: what runs goes on, and nothing is lost or runs twice", () =>
      Effect.gen(function* () {
        const rabbit = yield* RabbitMq
        const { kill, start } = yield* RabbitMqServer
        const again = rabbit.flush.pipe(Effect.andThen(kill), Effect.andThen(start))
        yield* kills.cut("B2", kinds, times(1, 1, 5), again, load)
      })
    )
  }
)
