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

layer(World, { excludeTestServices: true })("add_consumer and cancel_consumer on Redis", (it) => {
  it.effect("under load, over and over, lose no task and run none twice", () => queues.changing(ran))
})

const one = queues.marks()

/** One connection for both: who is exclusive here is known to this process alone. Each refusal is logged. */
const Together = Layer.unwrap(
  Effect.map(Server, (server) => {
    const program = RedisBackend.layer.pipe(Layer.provideMerge(Redis.layerAll(server.url())))
    return worker.world(() => program, one.live)
  })
).pipe(Layer.provide(Layer.succeed(References.MinimumLogLevel, "Fatal")), Layer.provideMerge(Server.layer()))

layer(Together, { excludeTestServices: true })("add_consumer on Redis of a queue where somebody is exclusive", (it) => {
  it.effect("is an answer, and stops no other queue", () => queues.refused(one.ran))
})
