import { layer } from "@effect/vitest"
import { Layer } from "effect"
import * as results from "../../../../test/support/fleet/results.ts"
import { Redis as Server } from "../../../../test/support/Redis.ts"
import { lease, World } from "./World.ts"

layer(World.pipe(Layer.provideMerge(Server.layer())), { excludeTestServices: true })(
  "tasks that finish while the results' Redis",
  (it) => {
    for (const how of ["stopped", "frozen"] as const) {
      it.effect(
        `is ${how}: all results are stored when it is back, none before is acknowledged, and no task runs again`,
        () => results.away("Redis", how, { lease })
      )
    }

    it.effect("does not come back: each says in its log that its result is lost, and the worker counts them", () =>
      results.lost("Redis", { lease })
    )
  }
)
