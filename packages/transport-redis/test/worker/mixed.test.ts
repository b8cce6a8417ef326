/** A Celery worker of Python's and one of ours on the same queue (RELIABILITY A3, D12). */
import { assert, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { random } from "../../../protocol/test/support/Random.ts"
import { print, timed, times, until } from "../../../../test/support/Figures.ts"
import * as Fleet from "../../../../test/support/fleet/Fleet.ts"
import { Redis as Server } from "../../../../test/support/Redis.ts"
import * as stores from "../support/stores.ts"
import * as celery from "./celery.ts"
import { lease, World } from "./World.ts"

const visibility = 4000
const many = 300

/** Milliseconds from each start of a task to its next one. */
const gaps = (lines: ReadonlyArray<Fleet.Line>, first: (line: Fleet.Line) => boolean): ReadonlyArray<number> => {
  const before = new Map<string, Fleet.Line>()
  const found: Array<number> = []
  for (const line of lines) {
    if (line.what !== "started") continue
    const last = before.get(line.id)
    if (last !== undefined && first(last)) found.push(line.at - last.at)
    before.set(line.id, line)
  }
  return found
}

const least = (numbers: ReadonlyArray<number>) => (numbers.length === 0 ? "-" : `${Math.min(...numbers)} ms`)

layer(World.pipe(Layer.provideMerge(Server.layer())), { excludeTestServices: true, timeout: "60 seconds" })(
  "a Celery worker beside one of ours",
  (it) => {
    it.effect(
      "that is killed: what it held comes back when its visibility timeout is over and not before, and nothing of ours is lost",
      () =>
        Effect.gen(function* () {
          const kills = times(1, 3, 10)
          const r = random(31)
          const fleet = yield* Fleet.make({ lease, visibilityTimeout: visibility, concurrency: 4 })
          const ours = yield* fleet.start()
          yield* ours.line("@ ready")
          const theirs = new Set<number>()
          for (let kill = 0; kill < kills; kill++) {
            yield* Effect.scoped(
              Effect.gen(function* () {
                const python = yield* celery.start(fleet, visibility)
                yield* fleet.send(many, () => ({ wait: 20 + r.below(80) }))
                yield* python.line("@ finished")
                yield* Effect.sleep(r.below(300))
                yield* python.kill
                yield* fleet.fault
                theirs.add(fleet.heard(python.lines()))
              })
            )
          }
          yield* fleet.drained
          yield* ours.signal("SIGTERM")
          assert.strictEqual((yield* ours.ended).code, 0)
          const books = yield* fleet.books
          const after = gaps(fleet.lines(), ({ worker }) => theirs.has(worker))
          const ran = (worker: (one: number) => boolean) =>
            fleet.lines().filter((line) => line.what === "finished" && worker(line.worker)).length
          yield* print(
            `A3 Python killed: lost=${books.lost.length} (popped by Python, and never noted) dup=${books.dup} n=${books.n} kills=${kills} run by Python=${ran((one) => theirs.has(one))} by us=${ran((one) => !theirs.has(one))} cut off=${after.length} earliest again after ${least(after)}, visibility timeout ${visibility} ms`
          )
          // It pops one at a time.
          assert.isAtMost(books.lost.length, kills)
          assert.isAtMost(books.dup, celery.concurrency * kills)
          assert.deepStrictEqual([books.unknown, books.unmarked], [[], []])
          assert.isAbove(after.length, 0)
          assert.isAtLeast(Math.min(...after), visibility - 100)
        }),
      60_000
    )

    it.effect(
      "goes on when ours are killed: what they held comes back by their leases, and nothing is lost",
      () =>
        Effect.gen(function* () {
          const kills = times(2, 5, 20)
          const r = random(32)
          const fleet = yield* Fleet.make({ lease, visibilityTimeout: 60_000, concurrency: 4 })
          const python = yield* celery.start(fleet, 60_000)
          for (let kill = 0; kill < kills; kill++) {
            const victim = yield* fleet.start()
            yield* victim.line("@ ready")
            yield* fleet.send(many / 2, () => ({ wait: 20 + r.below(80) }))
            yield* victim.line("@ finished")
            yield* Effect.sleep(r.below(300))
            yield* victim.signal("SIGKILL")
            yield* fleet.fault
            yield* victim.ended
          }
          yield* fleet.drained
          yield* python.signal("SIGTERM")
          yield* python.ended
          fleet.heard(python.lines())
          const books = yield* fleet.books
          yield* print(`A3 ours killed: ${books.line} kills=${kills} lease ${lease} ms`)
          assert.deepStrictEqual([books.lost, books.unknown, books.unmarked], [[], [], []])
          assert.isAtMost(books.dup, 4 * kills)
          assert.isBelow(books.recovery.max, lease + 2000 + 1000)
        }),
      60_000
    )

    it.effect(
      "restores nothing that ours hold, ten times its visibility timeout long; and what the dead hold, when that is over",
      () =>
        Effect.gen(function* () {
          const server = yield* Server
          const short = 1000
          const fleet = yield* Fleet.make({ lease, visibilityTimeout: short })
          const ours = yield* fleet.start()
          yield* ours.line("@ ready")
          yield* fleet.send(3, () => ({ wait: short * 10 }))
          yield* ours.line("@ started")
          const python = yield* celery.start(fleet, short)
          yield* fleet.drained
          yield* ours.signal("SIGTERM")
          yield* ours.ended
          // Nobody but Python gives this back: its owner lives for an hour yet, as far as ours know.
          yield* Effect.scoped(
            Effect.gen(function* () {
              const { link, store } = yield* stores.open(server.url(), { lease: "1 hour" })
              yield* store.put("orphan", [stores.put("1", "orphan")])
              assert.lengthOf(yield* store.take(["orphan"], 1), 1)
              yield* link.cut
            })
          )
          const after = yield* timed(until(Effect.map(server.command("LLEN", "orphan"), (length) => length === 1)))
          yield* python.signal("SIGTERM")
          yield* python.ended
          fleet.heard(python.lines())
          const books = yield* fleet.books
          yield* print(
            `D12 tasks of ${short * 10} ms beside Python's visibility timeout of ${short} ms: lost=${books.lost.length} dup=${books.dup} n=${books.n} started=${books.started}; what a dead one held Python gave back after ${Math.round(after)} ms`
          )
          assert.deepStrictEqual([books.lost, books.dup, books.unknown, books.started], [[], 0, [], 3])
        }),
      60_000
    )
  }
)
