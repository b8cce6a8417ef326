import * as Redis from "@apium/transport-redis/node"
import { Effect, Layer } from "effect"
import { RedisCluster } from "../../../test/support/RedisCluster.ts"
import { suite } from "./support/suite.ts"

const globalKeyprefix = "{apium}"

const layer = Layer.unwrap(Effect.map(RedisCluster, ({ url }) => Redis.layerTransport(url, { globalKeyprefix }))).pipe(
  Layer.provide(RedisCluster.layer),
  Layer.orDie
)

suite("Redis Cluster", layer)
