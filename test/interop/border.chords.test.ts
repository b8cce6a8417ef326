/** Chords that both languages count, in the same keys of Redis. */
import * as Canvas from "@apium/worker/client/Canvas"
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { random } from "../../packages/protocol/test/support/Random.ts"
import { print, timed, times } from "../support/Figures.ts"
import { Redis } from "../support/Redis.ts"
import { get } from "./support/asked.ts"
import { type Check, onEach } from "./support/suites.ts"
import * as Visits from "./support/Visits.ts"
import { on } from "./support/Visits.ts"

const many = times(100, 300, 1000)

const stored: Readonly<Record<string, Check>> = {
  "with parts and bodies in either: each body runs once, with all results": Effect.gen(function* () {
    const { command } = yield* Redis
    const r = random(6)
    const side = () => r.pick(["typescript", "python"] as const)
    const sizes = Array.from({ length: many }, () => 1 + r.below(8))
    const took = yield* timed(
      Effect.forEach(
        sizes,
        (size, chord) =>
          Effect.gen(function* () {
            const header = Array.from({ length: size }, (_, x) => on(side(), "add", [chord, x]))
            const body = on(side(), "counted", [`bodies:${chord}`])
            const all = size * chord + (size * (size - 1)) / 2
            assert.strictEqual(yield* get(Canvas.delay(Canvas.chord(header, body))), all, `chord ${chord}`)
          }),
        { concurrency: 20, discard: true }
      )
    )
    const ran = yield* Effect.forEach(sizes, (_, chord) => command("LLEN", `bodies:${chord}`), { concurrency: 8 })
    assert.deepStrictEqual(
      ran,
      sizes.map(() => 1)
    )
    yield* print(
      `chords of both languages: n=${many} parts=${sizes.reduce((all, size) => all + size, 0)} bodies=${ran.reduce<number>((all, one) => all + Number(one), 0)} twice=0 in ${Math.round(took)} ms`
    )
    // What they were counted in is gone.
    assert.deepStrictEqual(yield* command("KEYS", "celery-taskset-meta-*.[jst]"), [])
  })
}

onEach("chords of both languages", { stored }, { peers: Visits.both })
