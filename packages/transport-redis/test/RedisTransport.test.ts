import * as Redis from "@apium/transport-redis/node"
import { Effect, Layer } from "effect"
import { Redis as Server } from "../../../test/support/Redis.ts"
import { suite } from "./support/suite.ts"

const layer = Layer.unwrap(Effect.map(Server, (server) => Redis.layerTransport(server.url()))).pipe(
  Layer.provide(Server.shared),
  Layer.orDie
)

suite("Redis", layer)
