/** Chords whose parts are counted by many, twice, and by who dies (RELIABILITY E4), on a real Redis. */
import { fail, Nacked } from "@apium/hub/HubError"
import type { ChordPart } from "@apium/protocol/celery/ResultMessage"
import { assert, layer } from "@effect/vitest"
import { Effect, Random } from "effect"
import { part } from "../../../test/support/BackendSuite.ts"
import { print, timed, times } from "../../../test/support/Figures.ts"
import { Redis as Server } from "../../../test/support/Redis.ts"
import { ids, open } from "./support/backends.ts"

layer(Server.shared, { excludeTestServices: true })("a chord on Redis", (it) => {
  it.effect(
    "fires once, though four workers count its parts up to three times, with other results, and some fail to fire",
    () =>
      Effect.gen(function* () {
        const server = yield* Server
        const workers = yield* Effect.forEach([1, 2, 3, 4], () => open(server.url()))
        const chords = ids("many", times(100, 1000))
        const fired = new Map<string, Array<ReadonlyArray<ChordPart>>>()
        let failures = 0
        yield* Effect.forEach(chords, (id) => workers[0]!.chords.size(id, 10), { concurrency: 100, discard: true })
        const deliveries = yield* Effect.map(
          Effect.forEach(
            chords.flatMap((id) => Array.from({ length: 10 }, (_, index) => ({ id, index }))),
            (one) => Effect.map(Random.nextIntBetween(1, 3), (count) => Array.from({ length: count }, () => one))
          ),
          (all) => Random.shuffle(all.flat())
        )
        const deliver = ({ id, index }: { readonly id: string; readonly index: number }): Effect.Effect<void> =>
          Effect.gen(function* () {
            const { chords } = workers[yield* Random.nextIntBetween(0, 3)]!
            const loses = (yield* Random.next) < 0.2
            yield* chords.count(part(id, index, { result: yield* Random.next }), (parts) =>
              loses
                ? Effect.suspend(() => (failures++, fail(new Nacked({ exchange: "", routingKey: "body" }))))
                : Effect.sync(() => void fired.set(id, [...(fired.get(id) ?? []), parts]))
            )
          }).pipe(
            // As a worker does: it comes again.
            Effect.catch(() => deliver({ id, index }))
          )
        const all = yield* deliveries
        const took = yield* timed(Effect.forEach(all, deliver, { concurrency: 200, discard: true }))
        for (const id of chords) {
          assert.lengthOf(fired.get(id) ?? [], 1, id)
          assert.deepStrictEqual(
            fired.get(id)![0]!.map(({ taskId }) => taskId),
            Array.from({ length: 10 }, (_, index) => `${id}-${index}`)
          )
        }
        const left = (yield* server.command("KEYS", "celery-taskset-meta-many-*")) as ReadonlyArray<string>
        assert.deepStrictEqual(
          left.filter((key) => !key.endsWith(".apium")),
          []
        )
        yield* print(
          `chords: ${chords.length}/${chords.length} fired once; ${all.length} deliveries of ${chords.length * 10} parts, ${failures} failed to fire, ${Math.round((all.length / took) * 1000)}/s`
        )
      })
  )

  it.effect("whose worker died while it fired is fired when its lease is over", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const { chords } = yield* open(server.url())
      const own = "celery-taskset-meta-died.apium"
      yield* chords.size("died", 2)
      yield* chords.count(part("died", 0), () => Effect.void)
      // What a worker leaves behind that counted the second part, and died before the end of its `fire`.
      yield* Effect.exit(chords.count(part("died", 1), () => Effect.die("nobody fired yet")))
      let fired = 0
      const took = yield* timed(
        Effect.gen(function* () {
          yield* server.command(
            "EVAL",
            `local time = redis.call('TIME')
return redis.call('HSET', KEYS[1], 'claim', 'the dead', 'until', time[1] * 1000 + math.floor(time[2] / 1000) + 2500)`,
            1,
            own
          )
          yield* Effect.forEach(
            [0, 1, 1],
            (index) => chords.count(part("died", index), () => Effect.sync(() => void fired++)),
            { concurrency: "unbounded" }
          )
        })
      )
      assert.strictEqual(fired, 1)
      assert.isAtLeast(took, 2450)
      assert.isFalse(yield* chords.count(part("died", 1), () => Effect.die("it has fired")))
    })
  )

  it.effect("whose worker died when it had sent the body does not fire again, once that is known", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const { chords } = yield* open(server.url())
      yield* chords.size("sent", 2)
      yield* chords.count(part("sent", 0), () => Effect.void)
      const [seconds] = (yield* server.command("TIME")) as [string]
      const dies = Effect.exit(chords.count(part("sent", 1), () => Effect.die("it has sent the body")))
      const left = { own: "celery-taskset-meta-sent.apium", until: Number(seconds) * 1000 + 60_000 }
      yield* dies
      yield* server.command("HSET", left.own, "claim", "the dead", "until", left.until)
      let asked = 0
      const took = yield* timed(
        Effect.forEach([0, 1], (index) =>
          chords.count(
            part("sent", index),
            () => Effect.die("it was sent"),
            // The body waits in its queue at first.
            Effect.sync(() => ++asked > 3)
          )
        )
      )
      assert.isBelow(took, 30_000)
      assert.strictEqual(yield* server.command("HGET", left.own, "fired"), "1")
      // Behind the lease, too.
      yield* chords.size("over", 1)
      yield* Effect.exit(chords.count(part("over", 0), () => Effect.die("it has sent the body")))
      assert.isFalse(yield* chords.count(part("over", 0), () => Effect.die("it was sent"), Effect.succeed(true)))
      assert.isFalse(yield* chords.count(part("over", 0), () => Effect.die("it has fired")))
    })
  )

  it.effect("keeps its keys as long as results, and leaves none behind for ever", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const ttl = (key: string) => Effect.map(server.command("TTL", `celery-taskset-meta-${key}`), Number)
      const hour = yield* open(server.url(), { expires: "1 hour" })
      yield* hour.chords.add("hour")
      yield* hour.chords.size("hour", 2)
      yield* hour.chords.count(part("hour", null), () => Effect.void)
      for (const suffix of [".j", ".t", ".s", ".apium"]) assert.closeTo(yield* ttl(`hour${suffix}`), 3600, 60)
      const ever = yield* open(server.url(), { expires: 0 })
      yield* ever.chords.size("ever", 2)
      yield* ever.chords.count(part("ever", null), () => Effect.void)
      for (const suffix of [".j", ".s"]) assert.strictEqual(yield* ttl(`ever${suffix}`), -1)
      assert.closeTo(yield* ttl("ever.apium"), 86_400, 60)
    })
  )

  it.effect("that has fired leaves nothing behind for ever, though it is sent, and added to, once more", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const { chords } = yield* open(server.url(), { expires: 0 })
      yield* chords.size("twice", 1)
      assert.isTrue(yield* chords.count(part("twice", 0), () => Effect.void))
      // As the body of a chord that fired twice.
      yield* chords.size("twice", 1)
      yield* (yield* chords.add("twice")).takeBack
      yield* chords.add("twice")
      assert.isFalse(yield* chords.count(part("twice", 0), () => Effect.die("it has fired")))
      assert.deepStrictEqual(yield* server.command("KEYS", "celery-taskset-meta-twice*"), [
        "celery-taskset-meta-twice.apium"
      ])
      assert.closeTo(Number(yield* server.command("TTL", "celery-taskset-meta-twice.apium")), 86_400, 60)
    })
  )

  it.effect("whose count of members added has expired when one of them is taken back is left no count below none", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const { chords } = yield* open(server.url(), {})
      const { takeBack } = yield* chords.add("late")
      assert.strictEqual(yield* server.command("DEL", "celery-taskset-meta-late.t"), 1)
      yield* takeBack
      assert.strictEqual(yield* server.command("EXISTS", "celery-taskset-meta-late.t"), 0)
    })
  )

  it.effect("in a list, where order does not matter, counts and fires the same", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const { chords } = yield* open(server.url(), { chordOrdered: false })
      yield* chords.size("list", 3)
      let results: ReadonlyArray<unknown> = []
      const count = (index: number, result = index) =>
        chords.count(part("list", index, { result }), (parts) =>
          Effect.sync(() => void (results = parts.map(({ result }) => result)))
        )
      for (const index of [2, 2, 0, 2]) assert.isFalse(yield* count(index))
      assert.strictEqual(yield* server.command("TYPE", "celery-taskset-meta-list.j"), "list")
      // Python's: a part that it counted once more, with another result.
      yield* server.command("RPUSH", "celery-taskset-meta-list.j", '[1, "list-0", "SUCCESS", "again"]')
      assert.isTrue(yield* count(1))
      assert.deepStrictEqual(results, [2, 0, 1])
    })
  )

  it.effect("of which a part cannot be read fails, and is not lost with it", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const { chords } = yield* open(server.url())
      yield* chords.size("torn", 2)
      yield* server.command("ZADD", "celery-taskset-meta-torn.j", "0", "[1, 2")
      const { message, reason } = yield* Effect.flip(chords.count(part("torn", 1), () => Effect.void))
      assert.strictEqual(reason._tag, "DecodeFailed")
      assert.include(message, "a part of the chord torn")
      yield* server.command("ZREM", "celery-taskset-meta-torn.j", "[1, 2")
      assert.isTrue(yield* chords.count(part("torn", 0), () => Effect.void))
    })
  )
})
