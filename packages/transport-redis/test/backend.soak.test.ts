import { ResultBackend } from "@apium/worker"
import { layer } from "@effect/vitest"
import { Effect } from "effect"
import * as awaited from "../../../test/support/fleet/awaited.ts"
import { Redis as Server } from "../../../test/support/Redis.ts"
import { open, subscribed } from "./support/backends.ts"

layer(Server.layer(), { excludeTestServices: true })("results in Redis", (it) => {
  it.effect(
    "that were awaited, given up or watched leave nothing behind, and no channel",
    () =>
      Effect.gen(function* () {
        const server = yield* Server
        const backend = yield* open(server.url())
        const worker = yield* open(server.url())
        yield* awaited
          .soak("Redis", {
            store: worker.store,
            idle: Effect.provideService(Effect.orDie(subscribed(0)), Server, server)
          })
          .pipe(Effect.provideService(ResultBackend, backend))
      }),
    900_000
  )
})
