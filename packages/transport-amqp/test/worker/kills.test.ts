import { layer } from "@effect/vitest"
import { Layer } from "effect"
import * as kills from "../../../../test/support/fleet/kills.ts"
import { times } from "../../../../test/support/Figures.ts"
import { RabbitMq } from "../../../../test/support/RabbitMq.ts"
import { World } from "./World.ts"

layer(World.pipe(Layer.provideMerge(RabbitMq.shared)), { excludeTestServices: true })(
  "workers that are killed",
  (it) => {
    for (const [type, script] of [
      ["classic", {}],
      ["quorum", { quorum: true }]
    ] as const) {
      it.effect(
        `SIGKILL after SIGKILL while 1,000 tasks run, on a durable ${type} queue: nothing is lost, and what runs twice says that it came before`,
        () => kills.killed(`A1 ${type}`, times(6, 10, 20), type === "classic" ? 11 : 12, script)
      )

      it.effect(`what a killed worker held begins again at once on another, from a ${type} queue`, () =>
        kills.taken(`A1 ${type}`, script)
      )
    }
  }
)
