/** Chords whose parts are counted by Debian's Celery and by us, on one Redis. */
import * as Result from "@apium/protocol/celery/ResultMessage"
import { ResultBackend } from "@apium/worker"
import type { Part } from "@apium/worker/client/ResultBackend"
import { assert, layer } from "@effect/vitest"
import { Effect, Option } from "effect"
import { part } from "../../../test/support/BackendSuite.ts"
import { Redis as Server } from "../../../test/support/Redis.ts"
import { failure, python, World } from "./support/celery.ts"
import * as stores from "./support/stores.ts"

layer(World, { excludeTestServices: true })("a chord with Python's Celery", (it) => {
  /** A chord of six: the even parts are for its worker, the odd ones for ours. */
  const chordOf = (queue: string) =>
    python<{ readonly group: string; readonly body: string; readonly parts: ReadonlyArray<string> }>(
      `
header = [add.s(i, i).set(queue=args[0] if i % 2 == 0 else "ours") for i in range(6)]
sent = chord(header)(collect.s().set(queue="py"))
print(json.dumps({"group": sent.parent.id, "body": sent.id, "parts": [r.id for r in sent.parent.results]}))`,
      queue
    )

  it.effect("a chord whose other half its worker counted is fired here, once, with all results in order", () =>
    Effect.gen(function* () {
      const backend = yield* ResultBackend
      const server = yield* Server
      const { body, group, parts } = yield* chordOf("py")
      for (const index of [0, 2, 4]) assert.strictEqual((yield* backend.wait(parts[index]!)).result, index * 2)
      // Celery stores a result first, and counts the part then: who counts last fires.
      const counted = server.command("ZCARD", `celery-taskset-meta-${group}.j`)
      yield* stores.until(Effect.map(counted, (count) => count === 3))
      const fired: Array<unknown> = []
      const count = (index: number, result: number | string) =>
        backend.chords.count(part(group, index, { taskId: parts[index]!, result }), (parts) =>
          Effect.andThen(
            Effect.sync(() => void fired.push(parts.map(({ result }) => result))),
            python(
              `collect.apply_async((args[0],), task_id=args[1])\nprint("null")`,
              parts.map(({ result }) => result),
              body
            )
          ).pipe(Effect.orDie)
        )
      // Its part counted here again is no second one; nor is one of ours.
      assert.isFalse(yield* count(0, "again"))
      for (const result of [2, "again"]) assert.isFalse(yield* count(1, result))
      assert.isFalse(yield* count(3, 6))
      assert.isTrue(yield* count(5, "five"))
      assert.deepStrictEqual(fired, [[0, 2, 4, 6, 8, "five"]])
      assert.deepStrictEqual((yield* backend.wait(body)).result, [0, 2, 4, 6, 8, "five"])
    })
  )

  for (const [what, last, wanted] of [
    ["succeed", { state: "SUCCESS", result: 10 }, ["SUCCESS", [0, 2, 4, 6, 8, 10]]],
    ["fail", { state: "FAILURE", result: failure("ValueError", ["bad", 1], "builtins") }, ["FAILURE", "ChordError"]]
  ] as ReadonlyArray<[string, Partial<Part>, ReadonlyArray<unknown>]>) {
    it.effect(`a chord whose other half was counted here, and parts ${what}, is fired by its worker`, () =>
      Effect.gen(function* () {
        const backend = yield* ResultBackend
        const { body, group, parts } = yield* chordOf(`later-${what}`)
        const count = (index: number, more: Partial<Parameters<typeof backend.chords.count>[0]>) =>
          backend.chords.count(part(group, index, { taskId: parts[index]!, result: index * 2, ...more }), () =>
            Effect.die("it is not complete")
          )
        for (const result of [2, "again", "and again"]) assert.isFalse(yield* count(1, { result }))
        assert.isFalse(yield* count(3, {}))
        assert.isFalse(yield* count(5, last))
        yield* python(
          `print(json.dumps(app.control.add_consumer(args[0], destination=["py@here"], reply=True, timeout=60)))`,
          `later-${what}`
        )
        const { result, status } = yield* backend.wait(body)
        assert.deepStrictEqual([status, Result.decodeFailure(result)?.excType ?? result], wanted)
        if (status === "FAILURE") {
          assert.deepStrictEqual(Result.decodeFailure(result)?.excMessage, [
            `Dependency ${parts[5]} raised ValueError('bad', 1)`
          ])
        }
      })
    )
  }

  it.effect(
    "a chord that was fired here is left alone by its worker, to which parts of it are delivered once more",
    () =>
      Effect.gen(function* () {
        const backend = yield* ResultBackend
        const server = yield* Server
        const { body, group, parts } = yield* chordOf("late")
        let fired = 0
        for (const [index, taskId] of parts.entries()) {
          yield* backend.chords.count(part(group, index, { taskId, result: index * 2 }), () =>
            Effect.sync(() => void fired++)
          )
        }
        assert.strictEqual(fired, 1)
        yield* python(
          `print(json.dumps(app.control.add_consumer("late", destination=["py@here"], reply=True, timeout=60)))`
        )
        for (const index of [0, 2, 4]) assert.strictEqual((yield* backend.wait(parts[index]!)).result, index * 2)
        // It runs one after the other: what it makes of the last part it has made when a task behind it has ended.
        yield* python(`print(add.apply_async((1, 1), queue="late").get(timeout=60))`)
        assert.strictEqual(yield* server.command("ZCARD", `celery-taskset-meta-${group}.j`), 3)
        assert.deepStrictEqual(yield* backend.get(body), Option.none())
      })
  )
})
