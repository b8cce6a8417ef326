import * as Redis from "@apium/transport-redis/node"
import { layer } from "@effect/vitest"
import { Effect } from "effect"
import * as rpc from "../../../../test/support/fleet/rpc.ts"
import { Redis as Server, RedisServer } from "../../../../test/support/Redis.ts"
import { lease } from "./World.ts"

layer(Server.layer({ appendfsync: "always" }), { excludeTestServices: true })(
  "results as messages over Redis",
  (it) => {
    it.effect("that come in the moment they are asked for are never missed", () =>
      Effect.flatMap(Server, (server) => rpc.instant("Redis", () => Redis.layer(server.url(), { lease })))
    )

    it.effect("all come, though the broker was killed while they were waited for", () =>
      Effect.gen(function* () {
        const server = yield* Server
        const process = yield* RedisServer
        yield* rpc.restarted(
          "Redis",
          () => Redis.layer(server.url(), { lease }),
          Effect.andThen(process.kill, process.start),
          {}
        )
      })
    )
  }
)
