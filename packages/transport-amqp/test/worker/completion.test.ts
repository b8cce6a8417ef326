import { layer } from "@effect/vitest"
import { Layer } from "effect"
import * as completion from "../../../../test/support/fleet/completion.ts"
import { RabbitMq } from "../../../../test/support/RabbitMq.ts"
import { Redis } from "../../../../test/support/Redis.ts"
import { World } from "./World.ts"

layer(World.pipe(Layer.provideMerge(Layer.merge(RabbitMq.shared, Redis.layer()))), {
  excludeTestServices: true
})("a worker that dies on the way from its handler to the acknowledgement", (it) => {
  for (const [index, step] of completion.steps.entries()) {
    it.effect(`${step}: what follows a task that succeeded is sent, and twice only behind one that came before`, () =>
      completion.crashed("RabbitMQ", step, index + 1)
    )
  }
})
