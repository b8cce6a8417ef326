import { assert, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as Fleet from "../../../../test/support/fleet/Fleet.ts"
import { RabbitMq } from "../../../../test/support/RabbitMq.ts"
import { print } from "../../../../test/support/Figures.ts"
import { World } from "./World.ts"

// It looks once a minute for who is late, if not told otherwise.
const impatient = { config: ["consumer_timeout = 5000"], erl: "-rabbit channel_tick_interval 1000" }

layer(World.pipe(Layer.provideMerge(RabbitMq.layer(impatient))), { excludeTestServices: true })(
  "a broker that waits 5 s for an acknowledgement",
  (it) => {
    it.effect("closes the channel of a task that takes 8 s: it goes on, runs once, and so do others", () =>
      Effect.gen(function* () {
        const fleet = yield* Fleet.make()
        const worker = yield* fleet.start()
        yield* worker.line("@ ready")
        const [long] = yield* fleet.send(1, () => ({ wait: 8000 }))
        yield* worker.line("The broker has closed the channel")
        yield* fleet.send(32, () => ({ wait: 50 }))
        yield* fleet.drained
        yield* worker.signal("SIGTERM")
        const { code, lines } = yield* worker.ended
        const books = yield* fleet.books
        const runs = fleet.lines().filter(({ id, what }) => what === "started" && id === long).length
        const cut = lines.filter((line) => line.includes("The broker has closed the channel")).length
        yield* print(`consumer_timeout=5 s, a task of 8 s: ${books.line} runs=${runs} channels closed=${cut}`)
        assert.deepStrictEqual([code, books.lost, books.dup, books.finished, runs], [0, [], 0, 33, 1])
        assert.isAtLeast(cut, 1)
      })
    )
  }
)
