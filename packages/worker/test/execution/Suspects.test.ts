import type { Request } from "@apium/worker/execution/Request"
import * as Slots from "@apium/worker/execution/Slots"
import * as Suspects from "@apium/worker/execution/Suspects"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Random } from "effect"
import { settle } from "../support/World.ts"

interface Options {
  /** Of our own header. */
  readonly counted?: number
  /** It comes for the first time. */
  readonly fresh?: boolean
  /** So many of its task at once. */
  readonly concurrency?: number
  readonly innocent?: boolean
}

/** What the order of suspects looks at. */
const request = (id: string, { counted, fresh = false, concurrency, innocent = false }: Options = {}): Request =>
  ({
    suspect: !innocent,
    delivery: {
      redelivered: !fresh,
      message: { headers: counted === undefined ? {} : { "x-apium-deliveries": counted } }
    },
    registered: { task: { name: "proj.work", options: { concurrency } } },
    message: { headers: { id } }
  }) as unknown as Request

const idOf = (one: Request | undefined) => one?.message.headers.id

const seeded = (seed: string) => Effect.map(Random.Random, Suspects.make).pipe(Random.withSeed(seed))

/** In the order they get their turns in. */
const turns = (suspects: Suspects.Suspects): ReadonlyArray<string | undefined> => {
  const order: Array<string | undefined> = []
  for (let next = suspects.next(); next !== undefined; next = suspects.next()) {
    order.push(idOf(next))
    suspects.ended(next)
  }
  return order
}

describe("suspects", () => {
  it.effect("are held, and others are not", () =>
    Effect.gen(function* () {
      const suspects = yield* seeded("any")
      assert.isTrue(suspects.holds(request("a")))
      assert.isFalse(suspects.holds(request("b", { innocent: true })))
      assert.deepStrictEqual(suspects.waiting().map(idOf), ["a"])
    })
  )

  it.effect("have their turn one at a time", () =>
    Effect.gen(function* () {
      const suspects = yield* seeded("any")
      suspects.holds(request("a"))
      suspects.holds(request("b"))
      const first = suspects.next()!
      assert.strictEqual(suspects.next(), undefined)
      suspects.ended(request("somebody else"))
      assert.strictEqual(suspects.next(), undefined)
      suspects.ended(first)
      assert.notStrictEqual(idOf(suspects.next()), idOf(first))
      assert.deepStrictEqual(suspects.waiting(), [])
    })
  )

  it.effect("whose turn has been counted come first, then those that had the fewest turns", () =>
    Effect.gen(function* () {
      const suspects = yield* seeded("any")
      suspects.holds(request("twice", { counted: 12 }))
      suspects.holds(request("never"))
      suspects.holds(request("once", { counted: 11 }))
      suspects.holds(request("counted", { counted: 13, fresh: true }))
      assert.deepStrictEqual(turns(suspects), ["counted", "never", "once", "twice"])
    })
  )

  it.effect("that are equal come by chance, and the same way for the same seed", () =>
    Effect.gen(function* () {
      const firsts = new Set<string | undefined>()
      for (let seed = 0; seed < 60; seed++) {
        const orders = yield* Effect.forEach([1, 2], () =>
          Effect.map(seeded(`seed ${seed}`), (suspects) => {
            for (const id of ["a", "b", "c", "d"]) suspects.holds(request(id))
            return turns(suspects)
          })
        )
        assert.deepStrictEqual(orders[0], orders[1])
        firsts.add(orders[0]![0])
      }
      // Each of four is not the first of 60 in one of 30 million cases.
      assert.strictEqual(firsts.size, 4)
    })
  )

  it.effect("can be taken out", () =>
    Effect.gen(function* () {
      const suspects = yield* seeded("any")
      for (const id of ["a", "b", "c"]) suspects.holds(request(id))
      assert.deepStrictEqual(suspects.remove((one) => idOf(one) === "b").map(idOf), ["b"])
      assert.sameMembers([...turns(suspects)], ["a", "c"])
    })
  )

  it.effect("of which a copy is on its way are waited for, until it comes for the first time", () =>
    Effect.gen(function* () {
      const suspects = yield* seeded("any")
      const waiting = yield* Effect.forkChild(suspects.back("a"))
      yield* settle
      suspects.holds(request("a"))
      suspects.holds(request("b", { fresh: true }))
      yield* settle
      assert.strictEqual(waiting.pollUnsafe(), undefined)
      suspects.holds(request("a", { counted: 10, fresh: true }))
      yield* Fiber.join(waiting)
      // It may be back before anybody waits for it.
      yield* suspects.back("a")
    })
  )
})

describe("slots with suspects", () => {
  const make = (concurrency: number) =>
    Effect.gen(function* () {
      const suspects = yield* seeded("any")
      const gates = new Map<string, Deferred.Deferred<void>>()
      const slots = yield* Slots.make({
        concurrency,
        suspects,
        run: (one) => {
          const gate = Deferred.makeUnsafe<void>()
          gates.set(idOf(one)!, gate)
          return Deferred.await(gate)
        },
        died: () => Effect.die("nothing dies here")
      })
      const running = () => Array.from(slots.running().values(), idOf)
      const end = (id: string) => Effect.andThen(Deferred.succeed(gates.get(id)!, undefined), settle)
      return { slots, running, end }
    })

  it.effect("run one of them beside all others, and before those that wait", () =>
    Effect.gen(function* () {
      const { slots, running, end } = yield* make(3)
      for (const id of ["1", "2", "3", "4"]) slots.submit(request(id, { innocent: true }))
      slots.submit(request("s1", { counted: 1 }))
      slots.submit(request("s2", { counted: 2 }))
      assert.deepStrictEqual(running(), ["1", "2", "3"])
      assert.strictEqual(slots.backlog(), 3)
      yield* end("1")
      assert.deepStrictEqual(running(), ["2", "3", "s1"])
      yield* end("2")
      assert.deepStrictEqual(running(), ["3", "s1", "4"])
      yield* end("3")
      // A slot is free, and the second suspect waits for the first.
      assert.deepStrictEqual([running(), slots.waiting().map(idOf)], [["s1", "4"], ["s2"]])
      yield* end("s1")
      assert.deepStrictEqual(running(), ["4", "s2"])
    })
  )

  it.effect(
    "of a task that runs one at a time: one that waits for its task has its turn, and gives it up when it is taken out",
    () =>
      Effect.gen(function* () {
        const { slots, running, end } = yield* make(3)
        slots.submit(request("1", { innocent: true, concurrency: 1 }))
        slots.submit(request("s1", { counted: 1, concurrency: 1 }))
        slots.submit(request("s2", { counted: 2 }))
        assert.deepStrictEqual([running(), slots.blocked()], [["1"], 1])
        assert.deepStrictEqual(slots.remove((one) => idOf(one) === "s1").map(idOf), ["s1"])
        yield* end("1")
        assert.deepStrictEqual(running(), ["s2"])
      })
  )

  it.effect("give back those that wait for their turn with all others", () =>
    Effect.gen(function* () {
      const { slots } = yield* make(1)
      slots.submit(request("1", { innocent: true }))
      slots.submit(request("2", { innocent: true }))
      slots.submit(request("s1"))
      slots.submit(request("s2"))
      assert.sameMembers(slots.remove(() => true).map(idOf), ["2", "s1", "s2"])
      assert.strictEqual(slots.backlog(), 0)
    })
  )
})
