import { assert, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as Fleet from "../../../../test/support/fleet/Fleet.ts"
import { RabbitMq } from "../../../../test/support/RabbitMq.ts"
import { print, times } from "../../../../test/support/Figures.ts"
import { World } from "./World.ts"

/** With 40 tasks, of which a worker of 4 slots takes 20. */
const many = 40

layer(World.pipe(Layer.provideMerge(RabbitMq.shared)), { excludeTestServices: true })(
  "a task that kills every worker that runs it",
  (it) => {
    for (const type of ["classic", "quorum"] as const) {
      for (let seed = 1; seed <= times(1, 3, 10); seed++) {
        it.effect(`alone is dead-lettered, from a ${type} queue, with prefetch 20: all others run (${seed})`, () =>
          Effect.gen(function* () {
            const poisoned = 3 + seed
            const fleet = yield* Fleet.make({
              ...(type === "quorum" ? { quorum: true } : {}),
              concurrency: 4,
              prefetchMultiplier: 5,
              maxDeliveries: 6
            })
            const ids = yield* fleet.send(many, (index) => ({ wait: 10, dies: index === poisoned }))
            let deaths = 0
            for (;;) {
              const worker = yield* fleet.start()
              const drained = yield* Effect.raceFirst(Effect.as(worker.ended, false), Effect.as(fleet.drained, true))
              if (drained) {
                yield* worker.signal("SIGTERM")
                assert.strictEqual((yield* worker.ended).code, 0)
                break
              }
              deaths++
              assert.isAtMost(deaths, 20, "it goes on for ever")
            }
            const dead = yield* fleet.dead
            const books = yield* fleet.books
            const lost = books.lost.filter((id) => id !== ids[poisoned])
            const ran = fleet.lines().filter(({ id, what }) => what === "started" && id === ids[poisoned]).length
            yield* print(
              `C13 ${type} n=${many} lost=${lost.length} dup=${books.dup} dead=${dead.length} innocent dead=${dead.filter(({ headers }) => headers["id"] !== ids[poisoned]).length} workers killed=${deaths} runs of the poison=${ran}`
            )
            assert.deepStrictEqual(
              dead.map(({ headers }) => [headers["id"], headers["x-apium-reason"], headers["x-apium-deliveries"]]),
              [[ids[poisoned], "deliveries", undefined]]
            )
            assert.deepStrictEqual([lost, books.finished, books.unmarked], [[], many - 1, []])
            assert.deepStrictEqual([ran, deaths], [deaths, deaths])
          })
        )
      }
    }
  }
)
