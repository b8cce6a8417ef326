import * as Redis from "@apium/transport-redis/node"
import { RedisBackend } from "@apium/worker"
import { layer } from "@effect/vitest"
import { Effect, Layer, References } from "effect"
import * as queues from "../../../../test/support/queues.ts"
import { Redis as Server } from "../../../../test/support/Redis.ts"
import * as worker from "../../../../test/support/worker.ts"

const { live, ran } = queues.marks()

// Each change is logged.
const quiet = Layer.succeed(References.MinimumLogLevel, "Warn")

const World = Layer.unwrap(
  Effect.map(Server, (server) =>
    worker.world(() => RedisBackend.layer.pipe(Layer.provideMerge(Layer.fresh(Redis.layerAll(server.url())))), live)
  )
).pipe(Layer.provide(quiet), Layer.provideMerge(Server.layer()))

layer(World, { excludeTestServices: true, timeout: "60 seconds" })(
  "add_consumer and cancel_consumer on Redis",
  (it) => {
    it.effect("under load, over and over, lose no task and run none twice", () => queues.changing(ran), 60_000)
  }
)
