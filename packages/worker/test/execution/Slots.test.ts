import type { Request } from "@apium/worker/execution/Request"
import * as Slots from "@apium/worker/execution/Slots"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Scope } from "effect"
import { settle } from "../support/World.ts"

/** Only its identity matters here. */
const request = (id: number, concurrency?: number): Request =>
  ({
    id,
    delivery: {},
    registered: { task: { name: `task of ${concurrency}`, options: { concurrency } } }
  }) as unknown as Request
const idOf = (one: Request) => (one as unknown as { readonly id: number }).id

const make = (concurrency: number, run: Slots.Options["run"], died: Slots.Options["died"]) =>
  Slots.make({ concurrency, run, died })

const noDeath = () => Effect.die("nothing dies here")

describe("slots", () => {
  it.effect("a run whose fiber dies without a word is concluded in its own slot, before the next one begins", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      const slots = yield* make(
        1,
        (one) =>
          idOf(one) === 0
            ? Effect.flatMap(Effect.void, () => undefined as never)
            : Effect.sync(() => void log.push("ran")),
        (one, cause) => Effect.sync(() => void log.push(`died ${idOf(one)}: ${cause.reasons.length > 0}`))
      )
      slots.submit(request(0))
      slots.submit(request(1))
      yield* slots.idle
      assert.deepStrictEqual(log, ["died 0: true", "ran"])
    })
  )

  it.effect("a death that cannot be concluded costs its slot nothing", () =>
    Effect.gen(function* () {
      let ran = 0
      const slots = yield* make(
        1,
        (one) => (idOf(one) === 0 ? Effect.die("boom") : Effect.sync(() => void ran++)),
        () => Effect.die("again")
      )
      slots.submit(request(0))
      slots.submit(request(1))
      yield* slots.idle
      assert.strictEqual(ran, 1)
    })
  )

  it.effect(
    "begin nothing that others may have by now: asked at the last moment, and not in the place of another",
    () =>
      Effect.gen(function* () {
        const began: Array<number> = []
        const gone: Array<number> = []
        const lost = new Set<number>()
        const first = yield* Deferred.make<void>()
        const slots = yield* Slots.make({
          concurrency: 1,
          run: (one) =>
            Effect.andThen(
              Effect.sync(() => void began.push(idOf(one))),
              idOf(one) === 0 ? Deferred.await(first) : Effect.void
            ),
          died: noDeath,
          gone: (one) => void gone.push(idOf(one))
        })
        for (let id = 0; id < 6; id++) {
          slots.submit({ ...request(id, id > 3 ? 1 : undefined), delivery: { held: () => !lost.has(id) } } as never)
        }
        yield* settle
        // The first runs, and has begun: what becomes of its message is no matter any more.
        for (const id of [0, 1, 3, 4]) lost.add(id)
        yield* Deferred.succeed(first, undefined)
        yield* slots.idle
        assert.deepStrictEqual([began, gone, slots.backlog()], [[0, 2, 5], [1, 3, 4], 0])
      })
  )

  it.effect("never run more than they are, and run all in order", () =>
    Effect.gen(function* () {
      const began: Array<number> = []
      let now = 0
      let most = 0
      const slots = yield* make(
        3,
        (one) =>
          Effect.gen(function* () {
            most = Math.max(most, ++now)
            began.push(idOf(one))
            for (let turn = 0; turn <= idOf(one) % 4; turn++) yield* Effect.yieldNow
            now--
          }),
        noDeath
      )
      for (let id = 0; id < 200; id++) slots.submit(request(id))
      yield* slots.idle
      assert.deepStrictEqual(
        began,
        Array.from({ length: 200 }, (_, id) => id)
      )
      assert.strictEqual(most, 3)
    })
  )

  it.effect("a flood of 50,000 that never wait does not overflow the stack with one slot", () =>
    Effect.gen(function* () {
      let ran = 0
      const gate = yield* Deferred.make<void>()
      const slots = yield* make(
        1,
        (one) => (idOf(one) === 0 ? Deferred.await(gate) : Effect.sync(() => void ran++)),
        noDeath
      )
      for (let id = 0; id <= 50_000; id++) slots.submit(request(id))
      assert.strictEqual(ran, 0)
      yield* Deferred.succeed(gate, undefined)
      yield* slots.idle
      assert.strictEqual(ran, 50_000)
    })
  )

  it.effect("a run that submits from inside of itself is no recursion", () =>
    Effect.gen(function* () {
      let ran = 0
      const slots: Slots.Slots = yield* make(
        2,
        () =>
          Effect.sync(() => {
            if (++ran < 20_000) slots.submit(request(ran))
          }),
        noDeath
      )
      slots.submit(request(0))
      yield* slots.idle
      assert.strictEqual(ran, 20_000)
    })
  )

  it.effect("give back what has not begun, in order, and let the rest end", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      const ended: Array<number> = []
      const slots = yield* make(
        2,
        (one) =>
          Effect.andThen(
            Deferred.await(gate),
            Effect.sync(() => void ended.push(idOf(one)))
          ),
        noDeath
      )
      for (let id = 0; id < 5; id++) slots.submit(request(id))
      assert.deepStrictEqual(slots.waiting().map(idOf), [2, 3, 4])
      assert.deepStrictEqual(slots.remove((one) => idOf(one) !== 3).map(idOf), [2, 4])
      assert.strictEqual(slots.backlog(), 1)
      assert.deepStrictEqual(slots.remove(() => true).map(idOf), [3])
      assert.deepStrictEqual(slots.waiting(), [])
      const idle = yield* Effect.forkChild(slots.idle)
      yield* settle
      assert.isUndefined(idle.pollUnsafe())
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(idle)
      assert.deepStrictEqual(ended, [0, 1])
    })
  )

  it.effect("closing interrupts what runs and drops what waits, and a broken run frees its slot", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const interrupted: Array<number> = []
      const slots = yield* Scope.provide(
        make(
          1,
          (one) =>
            idOf(one) === 0
              ? Effect.die("broken")
              : Effect.onInterrupt(Effect.never, () => Effect.sync(() => void interrupted.push(idOf(one)))),
          noDeath
        ),
        scope
      )
      for (let id = 0; id < 4; id++) slots.submit(request(id))
      yield* settle
      yield* Scope.close(scope, Exit.void)
      yield* settle
      assert.deepStrictEqual(interrupted, [1])
    })
  )

  it.effect("a task with a concurrency of its own waits for itself, in order, and holds up no other", () =>
    Effect.gen(function* () {
      const began: Array<number> = []
      const gates = new Map<number, Deferred.Deferred<void>>()
      for (let id = 0; id < 8; id++) gates.set(id, yield* Deferred.make<void>())
      const slots = yield* make(
        4,
        (one) =>
          Effect.suspend(() => {
            began.push(idOf(one))
            return Deferred.await(gates.get(idOf(one))!)
          }),
        noDeath
      )
      const open = (id: number) => Effect.andThen(Deferred.succeed(gates.get(id)!, undefined), settle)
      // 0 to 3 are of a task that runs once at a time, 4 to 7 of one without a limit.
      for (let id = 0; id < 4; id++) slots.submit(request(id, 1))
      for (let id = 4; id < 8; id++) slots.submit(request(id))
      assert.deepStrictEqual(began, [0, 4, 5, 6])
      assert.deepStrictEqual(slots.waiting().map(idOf), [7, 1, 2, 3])
      // Its turn comes before that of what came later.
      yield* open(0)
      assert.deepStrictEqual(began, [0, 4, 5, 6, 1])
      yield* open(4)
      assert.deepStrictEqual(began, [0, 4, 5, 6, 1, 7])
      yield* open(5)
      assert.deepStrictEqual(began.length, 6)
      yield* open(1)
      assert.deepStrictEqual(began, [0, 4, 5, 6, 1, 7, 2])
      for (const id of [2, 3, 6, 7]) yield* open(id)
      yield* slots.idle
      assert.deepStrictEqual(began, [0, 4, 5, 6, 1, 7, 2, 3])
    })
  )

  it.effect("a death counts as an end of its task, too", () =>
    Effect.gen(function* () {
      let concluded = 0
      const slots = yield* make(
        2,
        () => Effect.die("broken"),
        () => Effect.sync(() => void concluded++)
      )
      for (let id = 0; id < 10; id++) slots.submit(request(id, 1))
      yield* slots.idle
      assert.strictEqual(concluded, 10)
    })
  )

  it.effect("grow at once, and shrink as runs end", () =>
    Effect.gen(function* () {
      const gates: Array<Deferred.Deferred<void>> = []
      const slots = yield* make(
        1,
        () =>
          Effect.suspend(() => {
            const gate = Deferred.makeUnsafe<void>()
            gates.push(gate)
            return Deferred.await(gate)
          }),
        noDeath
      )
      const end = (run: number) => Effect.andThen(Deferred.succeed(gates[run]!, undefined), settle)
      for (let id = 0; id < 10; id++) slots.submit(request(id))
      assert.strictEqual(slots.running().size, 1)
      slots.resize(4)
      assert.strictEqual(slots.running().size, 4)
      slots.resize(2)
      assert.strictEqual(slots.running().size, 4)
      yield* end(0)
      yield* end(1)
      assert.strictEqual(slots.running().size, 2)
      yield* end(2)
      assert.strictEqual(slots.running().size, 2)
      slots.resize(0)
      assert.strictEqual(slots.concurrency(), 1)
    })
  )

  it.effect("what is abandoned is nobody's business any more, and ends quietly", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      const slots = yield* make(1, () => Effect.uninterruptible(Deferred.await(gate)), noDeath)
      slots.submit(request(0))
      const idle = yield* Effect.forkChild(slots.idle)
      yield* settle
      slots.abandon()
      yield* Fiber.join(idle)
      yield* slots.idle
      yield* Deferred.succeed(gate, undefined)
      yield* settle
      assert.strictEqual(slots.running().size, 0)
    })
  )
})
