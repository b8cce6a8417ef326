/** Results in a real Redis, by the client that comes back and by one that subscribes to nothing. */
import * as Redis from "@apium/transport-redis/node"
import { RedisBackend } from "@apium/worker"
import { Effect, Layer } from "effect"
import { Redis as EffectRedis } from "effect/persistence"
import { suite } from "../../../test/support/BackendSuite.ts"
import { Redis as Server } from "../../../test/support/Redis.ts"

const client = Layer.unwrap(Effect.map(Server, (server) => Redis.layerRedis(server.url()))).pipe(
  Layer.provide(Server.shared)
)
/** Any `Redis`: what Apium's own says of its gaps is not passed on. */
const plain = Layer.effect(EffectRedis.Redis, EffectRedis.Redis).pipe(Layer.provide(client))

suite("Redis", RedisBackend.layer.pipe(Layer.provide(client)))
suite("Redis without subscriptions", RedisBackend.layer.pipe(Layer.provide(plain)), { looks: true })
