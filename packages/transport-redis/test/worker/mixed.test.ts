/** A Celery worker of Python's and one of ours on the same queue (RELIABILITY A3, D12). */
import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Scope } from "effect"
import { random } from "../../../protocol/test/support/Random.ts"
import { print, slack, timed, times, until } from "../../../../test/support/Figures.ts"
import * as Fleet from "../../../../test/support/fleet/Fleet.ts"
import { Redis as Server } from "../../../../test/support/Redis.ts"
import { renewed } from "../support/lapse.ts"
import * as stores from "../support/stores.ts"
import * as celery from "./celery.ts"
import { lease, World } from "./World.ts"

const visibility = 4000
const timeouts = times(3, 3, 10)
const many = 300

/** What Python holds, by the ids of the tasks: since when, in milliseconds. */
const held = Effect.gen(function* () {
  const { command } = yield* Server
  const [entries, scores] = (yield* command(
    "EVAL",
    "return {redis.call('HGETALL', KEYS[1]), redis.call('ZRANGE', KEYS[2], 0, -1, 'WITHSCORES')}",
    2,
    "unacked",
    "unacked_index"
  )) as readonly [ReadonlyArray<string>, ReadonlyArray<string>]
  const since = new Map<string, number>()
  for (let at = 0; at < scores.length; at += 2) since.set(scores[at]!, Number(scores[at + 1]) * 1000)
  const found = new Map<string, number>()
  for (let at = 0; at < entries.length; at += 2) {
    if (entries[at]!.startsWith("apium:")) continue
    const [{ headers }] = JSON.parse(entries[at + 1]!) as [{ readonly headers: { readonly id: string } }]
    found.set(headers.id, since.get(entries[at]!) ?? Number.NaN)
  }
  return found
})

const least = (numbers: ReadonlyArray<number>) =>
  numbers.length === 0 ? "-" : `${Math.round(Math.min(...numbers))} ms`

layer(World.pipe(Layer.provideMerge(Server.layer())), { excludeTestServices: true })(
  "a Celery worker beside one of ours",
  (it) => {
    it.effect(
      "that is killed: what it held comes back when its visibility timeout is over and not before, and nothing of ours is lost",
      () =>
        Effect.gen(function* () {
          const kills = times(1, 2, 10)
          const r = random(31)
          const fleet = yield* Fleet.make({ lease, visibilityTimeout: visibility, concurrency: 4 })
          const ours = yield* fleet.start()
          yield* ours.line("@ ready")
          const theirs = new Set<number>()
          /** Of each kill: what had begun and was held, and since when. One that met nobody at work is none. */
          const cutOff: Array<ReadonlyArray<{ readonly id: string; readonly noted: number; readonly killed: number }>> =
            []
          while (cutOff.length < kills) {
            const met = yield* Effect.scoped(
              Effect.gen(function* () {
                const python = yield* celery.start(fleet, visibility)
                yield* fleet.send(many, () => ({ wait: 20 + r.below(80) }))
                yield* python.line("@ finished")
                yield* Effect.sleep(r.below(300))
                yield* python.kill
                const killed = performance.timeOrigin + performance.now()
                // Kombu's lock of who looks for what is overdue: killed with it, it keeps others of its kind from looking for 5 minutes.
                yield* (yield* Server).command("DEL", "unacked_mutex")
                yield* fleet.fault
                const worker = fleet.heard(python.lines())
                theirs.add(worker)
                const since = yield* held
                return fleet.lines().flatMap((line) => {
                  const noted = line.worker === worker && line.what === "started" ? since.get(line.id) : undefined
                  return noted === undefined ? [] : [{ id: line.id, noted, killed }]
                })
              })
            )
            if (met.length > 0) cutOff.push(met)
          }
          yield* fleet.drained
          yield* ours.signal("SIGTERM")
          assert.strictEqual((yield* ours.ended).code, 0)
          const books = yield* fleet.books
          const starts = fleet.lines().filter(({ what }) => what === "started")
          const after = cutOff
            .flat()
            .flatMap(({ id, killed, noted }) =>
              starts.filter((line) => line.id === id && line.at > killed).map(({ at }) => at - noted)
            )
          const ran = (worker: (one: number) => boolean) =>
            fleet.lines().filter((line) => line.what === "finished" && worker(line.worker)).length
          yield* print(
            `A3 Python killed: lost=${books.lost.length} (popped by Python, and never noted) dup=${books.dup} n=${books.n} kills=${theirs.size} run by Python=${ran((one) => theirs.has(one))} by us=${ran((one) => !theirs.has(one))} cut off=${after.length} earliest again after ${least(after)}, visibility timeout ${visibility} ms`
          )
          // It pops one at a time.
          assert.isAtMost(books.lost.length, theirs.size)
          assert.isAtMost(books.dup, celery.concurrency * theirs.size)
          assert.deepStrictEqual([books.unknown, books.unmarked], [[], []])
          assert.isAbove(after.length, 0)
          assert.isAtLeast(Math.min(...after), visibility - 100)
        })
    )

    it.effect("goes on when ours are killed: what they held comes back by their leases, and nothing is lost", () =>
      Effect.gen(function* () {
        const kills = times(2, 3, 20)
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
        // The longest is that of a task whose next worker was killed too, before it began.
        assert.isBelow(books.recovery.p50, lease + 2000 + slack)
      })
    )

    it.effect(
      `restores nothing that ours hold, ${timeouts} times its visibility timeout long; and what the dead hold, when that is over`,
      () =>
        Effect.gen(function* () {
          const server = yield* Server
          const short = 2500
          const scope = yield* Effect.scope
          const { fleet, python } = yield* renewed(short, () =>
            Effect.gen(function* () {
              const fleet = yield* Scope.provide(Fleet.make({ lease, visibilityTimeout: short }), scope)
              const ours = yield* fleet.start()
              yield* ours.line("@ ready")
              yield* fleet.send(3, () => ({ wait: short * timeouts }))
              yield* ours.line("@ started")
              const python = yield* Scope.provide(celery.start(fleet, short), scope)
              yield* fleet.drained
              yield* ours.signal("SIGTERM")
              yield* ours.ended
              return { fleet, python }
            })
          )
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
            `D12 tasks of ${short * timeouts} ms beside Python's visibility timeout of ${short} ms: lost=${books.lost.length} dup=${books.dup} n=${books.n} started=${books.started}; what a dead one held Python gave back after ${Math.round(after)} ms`
          )
          assert.deepStrictEqual([books.lost, books.dup, books.unknown, books.started], [[], 0, [], 3])
        })
    )
  }
)
