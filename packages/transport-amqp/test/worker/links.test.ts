import { assert, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { random } from "../../../protocol/test/support/Random.ts"
import { RabbitMq, RabbitMqServer } from "../../../../test/support/RabbitMq.ts"
import { print, times } from "../support/Figures.ts"
import * as Fleet from "./Fleet.ts"

const World = Fleet.World.pipe(Layer.provideMerge(RabbitMq.layer()))

const many = 500

/** A classic and a quorum queue, a worker on each, and 500 tasks, while it is cut so often. */
const cutting = <E, R>(what: string, cuts: number, cut: Effect.Effect<unknown, E, R>) =>
  Effect.gen(function* () {
    const r = random(3)
    const both = [
      { type: "classic", fleet: yield* Fleet.make() },
      { type: "quorum", fleet: yield* Fleet.make({ quorum: true }) }
    ]
    const workers = yield* Effect.forEach(both, ({ fleet }) =>
      Effect.gen(function* () {
        const worker = yield* fleet.start()
        yield* worker.line("@ ready")
        yield* fleet.send(many, () => ({ wait: 20 + r.below(150) }))
        return worker
      })
    )
    for (let time = 0; time < cuts; time++) {
      yield* Effect.sleep(200 + r.below(400))
      yield* cut
    }
    for (const [index, { fleet, type }] of both.entries()) {
      yield* fleet.drained
      yield* workers[index]!.signal("SIGTERM")
      const { code } = yield* workers[index]!.ended
      const books = yield* fleet.books
      const again = fleet.lines().filter((line) => line.what === "started" && line.again).length
      yield* print(
        `${what} ${type} lost=${books.lost.length} dup=${books.dup} n=${books.n} cuts=${cuts} started=${books.started} again=${again}`
      )
      // What runs when the link goes is adopted by the next one: a process remembers what it ran.
      assert.deepStrictEqual([code, books.lost, books.unknown, books.dup], [0, [], [], 0], type)
      assert.strictEqual(books.finished, many, type)
    }
  })

layer(World, { excludeTestServices: true, timeout: "90 seconds" })("a worker whose links are lost", (it) => {
  it.effect(
    "for all connections are closed: what runs goes on, and nothing is lost or runs twice",
    () =>
      Effect.gen(function* () {
        const rabbit = yield* RabbitMq
        yield* cutting("B4", times(3, 6, 20), rabbit.closeConnections())
      }),
    90_000
  )

  it.effect(
    "for the broker is killed, and started again: what runs goes on, and nothing is lost or runs twice",
    () =>
      Effect.gen(function* () {
        const rabbit = yield* RabbitMq
        const { kill, start } = yield* RabbitMqServer
        yield* cutting("B2", times(1, 2, 5), rabbit.flush.pipe(Effect.andThen(kill), Effect.andThen(start)))
      }),
    90_000
  )
})
