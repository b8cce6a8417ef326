/** Chords that both languages count, in the same keys of Redis. */
import * as Canvas from "@apium/worker/client/Canvas"
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { random } from "../../packages/protocol/test/support/Random.ts"
import { print, timed, times, until } from "../support/Figures.ts"
import { Redis } from "../support/Redis.ts"
import { get } from "./support/asked.ts"
import { type Check, onEach } from "./support/suites.ts"
import * as Visits from "./support/Visits.ts"
import { on } from "./support/Visits.ts"

const many = times(60, 120, 1000)

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
    const lengths =
      "local all = {} for chord = 1, tonumber(ARGV[1]) do all[chord] = redis.call('LLEN', 'bodies:' .. chord - 1) end return all"
    const ran = (yield* command("EVAL", lengths, 0, many)) as ReadonlyArray<number>
    assert.deepStrictEqual(
      ran,
      sizes.map(() => 1)
    )
    yield* print(
      `chords of both languages: n=${many} parts=${sizes.reduce((all, size) => all + size, 0)} bodies=${ran.reduce((all, one) => all + one, 0)} twice=0 in ${Math.round(took)} ms`
    )
    // What they were counted in goes: Python's worker removes it when it has sent the body, which may have run by then.
    yield* until(
      Effect.map(command("KEYS", "celery-taskset-meta-*.[jst]"), (keys) => (keys as Array<string>).length === 0)
    )
  })
}

onEach("chords of both languages", { stored }, { peers: Visits.both })
