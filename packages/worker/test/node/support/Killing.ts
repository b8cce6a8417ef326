/** Children that die again and again, each with a job, while the other ones work. */
import { assert } from "@effect/vitest"
import { Clock, Deferred, Effect, Fiber, References } from "effect"
import * as tasks from "../fixtures/tasks.ts"
import { lostText, run, start, success } from "./Jobs.ts"

/** Each death is a warning, and as expected. */
export const quietly = Effect.provideService(References.MinimumLogLevel, "Error")

/** In a pool of two. `kill`: how the child of the first job is killed; `text`: what the job's outcome says then. */
export const killing = Effect.fnUntraced(function* (
  times: number,
  kill: (child: number, job: Effect.Effect<void>) => Effect.Effect<void>,
  text: RegExp
) {
  const recoveries: Array<number> = []
  let failed = 0
  let died: number | undefined
  for (let time = 0; time <= times; time++) {
    const released = yield* Deferred.make<void>()
    const held = yield* Effect.replicateEffect(
      Effect.gen(function* () {
        const child = yield* Deferred.make<number>()
        const updateState = (_state: string, meta: unknown) =>
          Effect.andThen(Deferred.succeed(child, meta as number), Deferred.await(released))
        return { child, ...(yield* start(tasks.hold, {}, { updateState })) }
      }),
      2
    )
    // Two that are in their handlers at once: the pool has its full size.
    const [first, second] = yield* Effect.forEach(held, ({ child }) => Deferred.await(child))
    if (died !== undefined) recoveries.push((yield* Clock.currentTimeMillis) - died)
    assert.notStrictEqual(first, second)
    if (time === times) {
      yield* Deferred.succeed(released, undefined)
      yield* Effect.forEach(held, ({ fiber }) => Fiber.join(fiber))
      break
    }
    died = yield* Clock.currentTimeMillis
    yield* kill(first!, held[0]!.kill)
    assert.match(lostText(yield* Fiber.join(held[0]!.fiber)), text)
    yield* Deferred.succeed(released, undefined)
    assert.deepStrictEqual(yield* Fiber.join(held[1]!.fiber), success(second!))
    for (let y = 0; y < 3; y++) {
      const outcome = yield* run(tasks.add, { x: 1, y })
      if (outcome._tag !== "Success") failed++
    }
  }
  assert.strictEqual(failed, 0)
  recoveries.sort((a, b) => a - b)
  const at = (share: number) => recoveries[Math.min(times - 1, Math.floor(times * share))]
  const figures = `${times} deaths; recovered in ${at(0.5)} ms (p50), ${at(0.95)} ms (p95), ${at(1)} ms (max)`
  console.log(figures)
  // A start takes a third of a second of processor time, which at a load of twenty are five. With an hour's grace whatever waits hangs.
  assert.isBelow(at(0.5)!, 20_000, figures)
})
