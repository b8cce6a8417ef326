import { layer } from "@effect/vitest"
import { Layer } from "effect"
import * as completion from "../../../../test/support/fleet/completion.ts"
import { Redis as Server } from "../../../../test/support/Redis.ts"
import { World } from "./World.ts"

layer(World.pipe(Layer.provideMerge(Server.layer())), { excludeTestServices: true })(
  "a worker that dies on the way from its handler to the acknowledgement",
  (it) => {
    for (const [index, step] of completion.steps.entries()) {
      it.effect(`${step}: what follows a task that succeeded is sent, and twice only behind one that came before`, () =>
        completion.crashed("Redis", step, index + 1, { lease: 1500 })
      )
    }
  }
)
