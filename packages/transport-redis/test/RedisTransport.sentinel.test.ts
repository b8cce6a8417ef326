import * as Redis from "@apium/transport-redis/node"
import { Effect, Layer } from "effect"
import { masterName, RedisSentinel } from "../../../test/support/RedisSentinel.ts"
import { suite } from "./support/suite.ts"

const layer = Layer.unwrap(Effect.map(RedisSentinel, ({ url }) => Redis.layerTransport(url(), { masterName }))).pipe(
  Layer.provide(RedisSentinel.layer()),
  Layer.orDie
)

suite("Redis behind Sentinel", layer)
