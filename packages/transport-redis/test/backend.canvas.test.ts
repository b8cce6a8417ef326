import * as Redis from "@apium/transport-redis/node"
import { RedisBackend } from "@apium/worker"
import { Effect, Layer } from "effect"
import * as CanvasSuite from "../../../test/support/CanvasSuite.ts"
import { Redis as Server } from "../../../test/support/Redis.ts"

for (const [name, expires] of [
  ["Redis", undefined],
  ["Redis with result_expires=0", 0]
] as const) {
  CanvasSuite.suite(
    name,
    Layer.unwrap(
      Effect.map(Server, (server) =>
        RedisBackend.layerWith({ expires }).pipe(Layer.provideMerge(Redis.layerAll(server.url())))
      )
    ).pipe(Layer.provide(Server.shared))
  )
}
