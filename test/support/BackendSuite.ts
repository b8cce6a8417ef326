/**
 * What every result backend has to do, as tests: one call makes a block of a layer. It runs in real time, and every id is its own.
 *
 * ```ts
 * BackendSuite.suite("memory", MemoryBackend.layer)
 * ```
 */
import { fail, Nacked } from "@apium/hub/HubError"
import type { ChordPart, ResultMessage, ResultTuple } from "@apium/protocol/celery/ResultMessage"
import { type Part, ResultBackend } from "@apium/worker/client/ResultBackend"
import { assert, layer as withLayer } from "@effect/vitest"
import { Deferred, Effect, Fiber, type Layer, Option, Stream } from "effect"

/** A result, with nothing in it that is not given. */
export const message = (
  taskId: string,
  status = "SUCCESS",
  result: ResultMessage["result"] = null,
  more: Partial<ResultMessage> = {}
): ResultMessage => ({
  taskId,
  status,
  result,
  traceback: null,
  children: [],
  dateDone: status === "SUCCESS" ? "2026-11-21T02:00:03.631000+00:00" : null,
  ...more
})

export const part = (groupId: string, groupIndex: number | null, more: Partial<Part> = {}): Part => ({
  groupId,
  groupIndex,
  taskId: `${groupId}-${groupIndex}`,
  state: "SUCCESS",
  result: groupIndex,
  ...more
})

let last = 0
const fresh = (): string => `suite-${last++}`

const single = (id: string, parent: ResultTuple | null = null): ResultTuple => ({ id, parent, children: null })

/** Everything a result can hold. */
const whole = (taskId: string): ResultMessage =>
  message(
    taskId,
    "SUCCESS",
    {
      text: "Grüße, 世界 🎉 \u2028\u007f\ud800",
      big: 9007199254740993n,
      at: new Date(5),
      bytes: new Uint8Array([1, 255])
    },
    {
      traceback: 'Traceback:\n  "x"\\',
      children: [single("a"), { id: "g", parent: single("p", single("q")), children: [single("b", single("c"))] }],
      groupId: "g",
      parentId: "p",
      name: "proj.add",
      args: [1, [2]],
      kwargs: { x: { y: null } },
      worker: "celery@here",
      retries: 3,
      queue: "celery"
    }
  )

export interface Options {
  /** A backend that only looks now and then may miss what a task says in between. */
  readonly looks?: boolean
}

export const suite = <E>(name: string, layer: Layer.Layer<ResultBackend, E>, { looks = false }: Options = {}): void => {
  withLayer(layer, { excludeTestServices: true })(`${name}: a result backend`, (it) => {
    const status = (id: string) =>
      Effect.flatMap(ResultBackend, (backend) =>
        Effect.map(backend.get(id), (found) => Option.getOrUndefined(Option.map(found, ({ status }) => status)))
      )

    it.effect("keeps the newest state, and a SUCCESS for good", () =>
      Effect.gen(function* () {
        const backend = yield* ResultBackend
        const id = fresh()
        assert.isTrue(Option.isNone(yield* backend.get(id)))
        for (const state of ["STARTED", "RETRY", "FAILURE", "STARTED", "PROGRESS", "SUCCESS"]) {
          yield* backend.store(message(id, state, state))
          assert.strictEqual(yield* status(id), state)
        }
        for (const state of ["FAILURE", "STARTED", "REVOKED", "SUCCESS"]) yield* backend.store(message(id, state, 5))
        assert.strictEqual(Option.getOrThrow(yield* backend.get(id)).result, "SUCCESS")
      })
    )

    it.effect("gives back what it was given, and nothing after it was forgotten", () =>
      Effect.gen(function* () {
        const backend = yield* ResultBackend
        const id = fresh()
        yield* backend.store(whole(id))
        assert.deepStrictEqual(Option.getOrThrow(yield* backend.get(id)), whole(id))
        assert.deepStrictEqual(yield* backend.wait(id), whole(id))
        yield* backend.forget(id)
        assert.isTrue(Option.isNone(yield* backend.get(id)))
        yield* backend.forget(id)
      })
    )

    it.effect("a wait ends with a final state, whether it is there or comes, and for all who wait", () =>
      Effect.gen(function* () {
        const backend = yield* ResultBackend
        for (const state of ["SUCCESS", "FAILURE", "REVOKED"]) {
          const id = fresh()
          const early = yield* Effect.forEach([1, 2, 3], () =>
            Effect.forkChild(backend.wait(id), { startImmediately: true })
          )
          yield* Fiber.interrupt(early[1]!)
          yield* backend.store(message(id, "STARTED"))
          const later = yield* Effect.forkChild(backend.wait(id), { startImmediately: true })
          yield* backend.store(message(id, state, 7))
          for (const fiber of [early[0]!, early[2]!, later]) {
            const found = yield* Fiber.join(fiber)
            assert.deepStrictEqual([found.status, found.result], [state, 7])
          }
          assert.strictEqual((yield* backend.wait(id)).status, state)
        }
      })
    )

    it.effect("whoever waits again for what he left gets it", () =>
      Effect.gen(function* () {
        const backend = yield* ResultBackend
        for (let pause = 0; pause < 20; pause++) {
          const id = fresh()
          const left = yield* Effect.forkChild(backend.wait(id), { startImmediately: true })
          for (let turn = 0; turn < pause; turn++) yield* Effect.yieldNow
          yield* Fiber.interrupt(left)
          for (let turn = 0; turn < pause % 4; turn++) yield* Effect.yieldNow
          const waiting = yield* Effect.forkChild(backend.wait(id), { startImmediately: true })
          yield* backend.store(message(id))
          yield* Fiber.join(waiting)
        }
      })
    )

    it.effect("changes show every state to who is there, and end with the final one", () =>
      Effect.gen(function* () {
        const backend = yield* ResultBackend
        const id = fresh()
        yield* backend.store(message(id, "STARTED"))
        const first = yield* Deferred.make<void>()
        const watching = yield* Effect.forkChild(
          Stream.runCollect(Stream.tap(backend.changes(id), () => Deferred.succeed(first, undefined)))
        )
        yield* Deferred.await(first)
        for (let done = 0; done < 20; done++) yield* backend.store(message(id, "PROGRESS", done))
        // Somebody else who begins to wait repeats nothing.
        const other = yield* Effect.forkChild(backend.wait(id), { startImmediately: true })
        yield* backend.store(message(id))
        yield* Fiber.join(other)
        const seen = (yield* Fiber.join(watching)).map(({ result, status }) =>
          status === "PROGRESS" ? result : status
        )
        const all = ["STARTED", ...Array.from({ length: 20 }, (_, index) => index), "SUCCESS"]
        assert.deepStrictEqual(seen, looks ? all.filter((state) => seen.includes(state)) : all)
        assert.deepStrictEqual([seen[0], seen.at(-1)], ["STARTED", "SUCCESS"])
        assert.deepStrictEqual(
          (yield* Stream.runCollect(backend.changes(id))).map(({ status }) => status),
          ["SUCCESS"]
        )
      })
    )

    it.effect("keeps a group, and forgets it", () =>
      Effect.gen(function* () {
        const { groups } = yield* ResultBackend
        const id = fresh()
        const group: ResultTuple = {
          id,
          parent: single("p"),
          children: [single("a"), { id: "nested", parent: null, children: [single("b"), single("c", single("d"))] }]
        }
        assert.isTrue(Option.isNone(yield* groups.restore(id)))
        yield* groups.save(group)
        assert.deepStrictEqual(Option.getOrThrow(yield* groups.restore(id)), group)
        yield* groups.forget(id)
        assert.isTrue(Option.isNone(yield* groups.restore(id)))
      })
    )
  })

  withLayer(layer, { excludeTestServices: true })(`${name}: a chord`, (it) => {
    const chord = Effect.gen(function* () {
      const { chords } = yield* ResultBackend
      const id = fresh()
      const fired: Array<ReadonlyArray<ChordPart>> = []
      const count = (one: Part) => chords.count(one, (parts) => Effect.sync(() => void fired.push(parts)))
      return { chords, count, fired, id }
    })
    const results = (parts: ReadonlyArray<ChordPart> | undefined) => parts?.map(({ result }) => result)

    it.effect("fires with its last part, in the order of the header, and is gone then", () =>
      Effect.gen(function* () {
        const { chords, count, fired, id } = yield* chord
        assert.isFalse(yield* count(part(id, 11)))
        yield* chords.size(id, 5)
        const failure = { exc_type: "ValueError", exc_message: ["bad", 1], exc_module: "builtins" }
        assert.isFalse(yield* count(part(id, null, { taskId: `${id}-none`, result: "last" })))
        assert.isFalse(yield* count(part(id, 2, { state: "FAILURE", result: failure })))
        assert.isFalse(yield* count(part(id, 0, { result: { deep: ["ü"] } })))
        assert.lengthOf(fired, 0)
        assert.isTrue(yield* count(part(id, 1)))
        assert.lengthOf(fired, 1)
        assert.deepStrictEqual(results(fired[0]), [{ deep: ["ü"] }, 1, failure, 11, "last"])
        assert.deepStrictEqual(fired[0]![2], { taskId: `${id}-2`, state: "FAILURE", result: failure })
        for (const index of [0, 1, 2, 11]) assert.isFalse(yield* count(part(id, index)))
        assert.lengthOf(fired, 1)
      })
    )

    it.effect("counts a part once, however often and with whatever results it is delivered", () =>
      Effect.gen(function* () {
        const { chords, count, fired, id } = yield* chord
        yield* chords.size(id, 3)
        for (const result of ["first", "second", "third"]) {
          assert.isFalse(yield* count(part(id, 0, { result })))
          assert.isFalse(yield* count(part(id, null, { taskId: `${id}-none`, result })))
        }
        assert.isTrue(yield* count(part(id, 1)))
        assert.deepStrictEqual(results(fired[0]), ["first", 1, "first"])
      })
    )

    it.effect("two tasks of one place are two parts, and members that were added are waited for", () =>
      Effect.gen(function* () {
        const { chords, count, fired, id } = yield* chord
        yield* chords.size(id, 2)
        yield* chords.add(id)
        assert.isFalse(yield* count(part(id, 0)))
        assert.isFalse(yield* count(part(id, 0, { taskId: `${id}-added`, result: "added" })))
        assert.isTrue(yield* count(part(id, 1)))
        assert.deepStrictEqual(results(fired[0]), [0, "added", 1])
      })
    )

    it.effect("a member that was added and taken back is not waited for, however often that is said", () =>
      Effect.gen(function* () {
        const { chords, count, fired, id } = yield* chord
        yield* chords.size(id, 2)
        const [{ takeBack }] = [yield* chords.add(id), yield* chords.add(id)]
        for (let times = 0; times < 2; times++) yield* takeBack
        assert.isFalse(yield* count(part(id, 0)))
        assert.isFalse(yield* count(part(id, 1)))
        assert.isTrue(yield* count(part(id, 1, { taskId: `${id}-added`, result: "added" })))
        assert.deepStrictEqual(results(fired[0]), [0, 1, "added"])
        yield* takeBack
        assert.isFalse(yield* count(part(id, 1)))
      })
    )

    it.effect("fires once, though its last part is delivered ten times at once", () =>
      Effect.gen(function* () {
        const { chords, count, fired, id } = yield* chord
        yield* chords.size(id, 2)
        yield* count(part(id, 0))
        const fires = yield* Effect.forEach(
          Array.from({ length: 10 }, (_, index) => index % 2),
          (index) => count(part(id, index)),
          { concurrency: "unbounded" }
        )
        assert.lengthOf(
          fires.filter((fired) => fired),
          1
        )
        assert.lengthOf(fired, 1)
      })
    )

    it.effect("fires again when that failed, was interrupted or died, with the next delivery of any part", () =>
      Effect.gen(function* () {
        const { chords, count, fired, id } = yield* chord
        yield* chords.size(id, 2)
        yield* count(part(id, 0))
        const nacked = new Nacked({ exchange: "", routingKey: "q" })
        const failed = yield* Effect.flip(chords.count(part(id, 1), () => fail(nacked)))
        assert.deepStrictEqual(failed.reason, nacked)
        yield* Effect.exit(chords.count(part(id, 1), () => Effect.die("a defect")))
        const begun = yield* Deferred.make<void>()
        const slow = yield* Effect.forkChild(
          chords.count(part(id, 1), () => Effect.andThen(Deferred.succeed(begun, undefined), Effect.never))
        )
        yield* Deferred.await(begun)
        // Whoever comes meanwhile waits for how it ends.
        const second = yield* Effect.forkChild(count(part(id, 0)), { startImmediately: true })
        yield* Fiber.interrupt(slow)
        assert.isTrue(yield* Fiber.join(second))
        assert.lengthOf(fired, 1)
        assert.isFalse(yield* count(part(id, 1)))
      })
    )

    it.effect(
      "that fired twice has one message of its body that runs: the first that begins, however often it comes",
      () =>
        Effect.gen(function* () {
          const { chords, id } = yield* chord
          const begin = (taskId: string, firing: string) => chords.begin({ groupId: id, taskId, firing })
          assert.isTrue(yield* begin("body", "one"))
          assert.isFalse(yield* begin("body", "two"))
          assert.isTrue(yield* begin("body", "one"))
          // A body of several tasks; and that of another chord, which has the same id of its own.
          assert.isTrue(yield* begin("beside", "two"))
          assert.isTrue(yield* chords.begin({ groupId: `${id} again`, taskId: "body", firing: "two" }))
          const asked = yield* Effect.forEach(
            Array.from({ length: 20 }, (_, index) => String(index)),
            (firing) => begin("at once", firing),
            { concurrency: "unbounded" }
          )
          assert.lengthOf(
            asked.filter((runs) => runs),
            1
          )
        })
    )

    it.effect("of a thousand parts at once fires once, with all of them in order", () =>
      Effect.gen(function* () {
        const { chords, count, fired, id } = yield* chord
        yield* chords.size(id, 1000)
        const order = Array.from({ length: 1000 }, (_, index) => (index * 7) % 1000)
        const fires = yield* Effect.forEach(order, (index) => count(part(id, index)), { concurrency: 100 })
        assert.lengthOf(
          fires.filter((fired) => fired),
          1
        )
        assert.deepStrictEqual(
          results(fired[0]),
          Array.from({ length: 1000 }, (_, index) => index)
        )
      })
    )
  })
}
