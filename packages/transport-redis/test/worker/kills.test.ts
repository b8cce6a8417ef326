import { assert, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { slack, times } from "../../../../test/support/Figures.ts"
import * as kills from "../../../../test/support/fleet/kills.ts"
import { Redis as Server } from "../../../../test/support/Redis.ts"
import { lease, World } from "./World.ts"

/** The lease, and one look for what is overdue, of three in a lease. */
const most = lease + 1000 + slack

layer(World.pipe(Layer.provideMerge(Server.layer())), { excludeTestServices: true })(
  "workers that are killed",
  (it) => {
    it.effect(
      "SIGKILL after SIGKILL while 1,000 tasks run: nothing is lost, and what runs twice says that it came before",
      () =>
        Effect.gen(function* () {
          const { recovery } = yield* kills.killed("A2", times(6, 8, 20), 21, { lease })
          // The longest is that of a task whose next worker was killed too, before it began.
          assert.isBelow(recovery.p50, most)
        })
    )

    it.effect("what a killed worker held begins again on another when its lease is over", () =>
      Effect.gen(function* () {
        assert.isBelow(yield* kills.taken("A2", { lease }), most)
      })
    )

    it.effect(
      "all connections are closed, of workers and of those who send: what runs goes on, and what is finished does not run again",
      () =>
        Effect.flatMap(Server, (server) =>
          kills.cut(
            "D15",
            { worker: { lease } },
            times(20, 30, 200),
            server.command("CLIENT", "KILL", "SKIPME", "yes"),
            { tasks: times(3000, 4000, 20_000), longest: 30, apart: 150 }
          )
        )
    )
  }
)
