/** Random values, as ours writes and shows them and as Debian's Python does: its json of them, its `repr`, and Celery's `saferepr`. */
import * as PythonRepr from "@apium/protocol/celery/PythonRepr"
import * as Json from "@apium/protocol/kombu/Json"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { type Random, random } from "../../packages/protocol/test/support/Random.ts"
import * as Python from "../support/Python.ts"

const seeds = Array.from({ length: 400 }, (_, seed) => seed)

// Only characters that both have heard of: what is printable differs with the Unicode of the two.
const words = [
  "",
  "a",
  "ab cd",
  "it's",
  '"',
  "\\",
  "\n",
  "\t\r\u0000",
  "ü",
  "世界",
  "\u2028",
  "\u00a0",
  "__proto__",
  "1e3"
]
const numbers = [
  0,
  -1,
  255,
  2 ** 53 - 1,
  2 ** 53,
  1e16,
  -(2 ** 60),
  1e20,
  1e21,
  1e308,
  5e-324,
  0.0001,
  0.00001,
  0.1 + 0.2
]
const integers = [2n ** 53n + 1n, -(2n ** 63n), 10n ** 40n]
const special = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]

const text = (r: Random): string => {
  const parts = Array.from({ length: r.below(4) }, () => r.pick(words)).join("")
  return r.below(12) === 0 ? parts + r.pick(["x", "ab ", "'", "é"]).repeat(r.below(600)) : parts
}

const leaf = (r: Random): Json.KombuJson =>
  r.pick<() => Json.KombuJson>([
    () => r.pick([null, true, false]),
    () => r.pick<number | bigint>([...numbers, ...integers, ...special]),
    () => (r.next() - 0.5) * 10 ** (r.below(600) - 300),
    () => text(r)
  ])()

const value = (r: Random, depth: number): Json.KombuJson => {
  if (depth === 0 || r.below(3) === 0) return leaf(r)
  const size = r.below(20) === 0 ? 150 : r.below(5)
  const below = size > 5 ? 0 : depth - 1
  return r.below(2) === 0
    ? Array.from({ length: size }, () => value(r, below))
    : // As a message has them: not by assignment, which takes `__proto__` for something else.
      Object.fromEntries(Array.from({ length: size }, () => [text(r), value(r, below)]))
}

const call = (seed: number) => {
  const r = random(seed)
  const args = Array.from({ length: r.below(4) }, () => value(r, 5))
  return { args, kwargs: Object.fromEntries(Array.from({ length: r.below(4) }, () => [text(r), value(r, 5)])) }
}

const script = `
import json, sys
from celery.utils.saferepr import saferepr
from kombu.utils.json import dumps, loads
for line in sys.stdin:
    body = loads(json.loads(line))
    args, kwargs = body
    print(json.dumps([dumps(body), saferepr(tuple(args), 1024), saferepr(kwargs, 1024), repr(body)]))
`

it.effect("400 random calls are to Python what they are here: values, argsrepr, kwargsrepr, and repr", () =>
  Effect.gen(function* () {
    const calls = seeds.map(call)
    const sent = calls.map(({ args, kwargs }) => JSON.stringify(Json.stringify([args, kwargs])))
    const answers = (yield* Python.run(script, { input: `${sent.join("\n")}\n` })).trim().split("\n")
    assert.strictEqual(answers.length, seeds.length)
    for (const seed of seeds) {
      const { args, kwargs } = calls[seed]!
      const [back, argsrepr, kwargsrepr, repr] = JSON.parse(answers[seed]!) as readonly [string, string, string, string]
      assert.deepStrictEqual(Json.parse(back), [args, kwargs], `the value of seed ${seed}: ${back}`)
      assert.strictEqual(PythonRepr.argsRepr(args), argsrepr, `argsrepr of seed ${seed}: ${back}`)
      assert.strictEqual(PythonRepr.kwargsRepr(kwargs), kwargsrepr, `kwargsrepr of seed ${seed}: ${back}`)
      assert.strictEqual(PythonRepr.repr([args, kwargs]), repr, `repr of seed ${seed}: ${back}`)
    }
  })
)
