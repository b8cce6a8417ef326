import * as Binding from "@apium/worker/task/Binding"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { random } from "../../../protocol/test/support/Random.ts"

const N = Schema.Number
const optional = Schema.optionalKey(N)

const signatures = {
  none: {},
  one: { a: N },
  opt: { a: optional },
  opts: { a: optional, b: optional },
  def: { a: N, b: N.pipe(Schema.withDecodingDefaultKey(Effect.succeed(7))) },
  add: { x: N, y: N, scale: optional },
  three: { a: N, b: N, c: N },
  four: { a: N, b: N, c: N, d: N },
  mix: { a: N, b: N, c: optional, d: optional }
}

type Row = readonly [
  name: keyof typeof signatures,
  args: ReadonlyArray<number>,
  kwargs: Readonly<Record<string, number>>,
  text: string
]

/** What CPython 3.11 says to the same calls of functions with these parameters. */
const table: ReadonlyArray<Row> = [
  ["none", [1], {}, "none() takes 0 positional arguments but 1 was given"],
  ["none", [1, 2], {}, "none() takes 0 positional arguments but 2 were given"],
  ["none", [], { a: 1 }, "none() got an unexpected keyword argument 'a'"],
  ["one", [], {}, "one() missing 1 required positional argument: 'a'"],
  ["one", [1, 2], {}, "one() takes 1 positional argument but 2 were given"],
  ["one", [1, 2, 3], {}, "one() takes 1 positional argument but 3 were given"],
  ["one", [1], { a: 2 }, "one() got multiple values for argument 'a'"],
  ["one", [], { b: 2 }, "one() got an unexpected keyword argument 'b'"],
  ["one", [1], { b: 2 }, "one() got an unexpected keyword argument 'b'"],
  ["opt", [1, 2], {}, "opt() takes from 0 to 1 positional arguments but 2 were given"],
  ["opt", [1, 2, 3], {}, "opt() takes from 0 to 1 positional arguments but 3 were given"],
  ["opt", [1], { a: 1 }, "opt() got multiple values for argument 'a'"],
  ["opts", [1, 2, 3], {}, "opts() takes from 0 to 2 positional arguments but 3 were given"],
  ["opts", [1, 2, 3], { a: 1 }, "opts() got multiple values for argument 'a'"],
  ["opts", [1, 2, 3], { c: 1 }, "opts() got an unexpected keyword argument 'c'"],
  ["def", [], {}, "def() missing 1 required positional argument: 'a'"],
  ["def", [1, 2, 3], {}, "def() takes from 1 to 2 positional arguments but 3 were given"],
  ["add", [], {}, "add() missing 2 required positional arguments: 'x' and 'y'"],
  ["add", [1], {}, "add() missing 1 required positional argument: 'y'"],
  ["add", [1, 2, 3, 4], {}, "add() takes from 2 to 3 positional arguments but 4 were given"],
  ["add", [1, 2], { x: 3 }, "add() got multiple values for argument 'x'"],
  ["add", [1, 2], { x: 3, z: 1 }, "add() got multiple values for argument 'x'"],
  ["add", [1, 2], { z: 1, x: 3 }, "add() got an unexpected keyword argument 'z'"],
  ["add", [], { y: 1 }, "add() missing 1 required positional argument: 'x'"],
  ["add", [], { scale: 1 }, "add() missing 2 required positional arguments: 'x' and 'y'"],
  ["add", [1, 2, 3], { scale: 1 }, "add() got multiple values for argument 'scale'"],
  ["add", [1, 2, 3, 4], { scale: 1 }, "add() got multiple values for argument 'scale'"],
  ["add", [1], { x: 1 }, "add() got multiple values for argument 'x'"],
  ["add", [1, 2, 3, 4, 5], { q: 1 }, "add() got an unexpected keyword argument 'q'"],
  ["three", [], {}, "three() missing 3 required positional arguments: 'a', 'b', and 'c'"],
  ["three", [], { b: 1 }, "three() missing 2 required positional arguments: 'a' and 'c'"],
  ["four", [], {}, "four() missing 4 required positional arguments: 'a', 'b', 'c', and 'd'"],
  ["four", [1], {}, "four() missing 3 required positional arguments: 'b', 'c', and 'd'"],
  ["mix", [], { c: 1 }, "mix() missing 2 required positional arguments: 'a' and 'b'"],
  ["mix", [1, 2, 3, 4, 5], {}, "mix() takes from 2 to 4 positional arguments but 5 were given"],
  ["mix", [1], { d: 1 }, "mix() missing 1 required positional argument: 'b'"],
  ["one", [], { "a b": 1, a: 2 }, "one() got an unexpected keyword argument 'a b'"],
  ["one", [], { "": 1 }, "one() got an unexpected keyword argument ''"],
  ["one", [], { å: 1 }, "one() got an unexpected keyword argument 'å'"],
  ["one", [], { ["__proto__"]: 1 }, "one() got an unexpected keyword argument '__proto__'"],
  ["one", [], { constructor: 1 }, "one() got an unexpected keyword argument 'constructor'"],
  ["one", [], { "it's": 1, a: 1 }, "one() got an unexpected keyword argument 'it's'"]
]

const bind = (
  name: string,
  params: Binding.Params,
  args: ReadonlyArray<number>,
  kwargs: Readonly<Record<string, number>>
) => Binding.bindUnsafe(Binding.signature(`proj.${name}`, params), args, kwargs)

describe("what does not fit", () => {
  it.each(table)("%s(*%j, **%j) says what Python says", (name, args, kwargs, text) => {
    try {
      bind(name, signatures[name], args, kwargs)
    } catch (error) {
      assert.instanceOf(error, Binding.BindingError)
      assert.strictEqual(error.message, text)
      return
    }
    assert.fail("was bound")
  })

  it("a keyword of a megabyte does not become a text of a megabyte", () => {
    assert.throws(() => bind("one", signatures.one, [], { ["k".repeat(1_000_000)]: 1 }), /^.{1,200}$/)
  })
})

describe("what fits", () => {
  it("a parameter whose schema has a default may be left out", () => {
    assert.deepStrictEqual({ ...bind("def", signatures.def, [1], {}) }, { a: 1 })
    assert.deepStrictEqual({ ...bind("def", signatures.def, [], { b: 2, a: 1 }) }, { a: 1, b: 2 })
  })

  it("whatever way Python passes arguments, the same payload arrives", () => {
    const r = random(7)
    for (let round = 0; round < 2000; round++) {
      const count = r.below(6)
      const names = Array.from({ length: count }, (_, index) => `p${index}`)
      const firstOptional = r.below(count + 1)
      const params = Object.fromEntries(names.map((name, index) => [name, index < firstOptional ? N : optional]))
      // Parameters with a default may be left out, from any place.
      const given = names.filter((_, index) => index < firstOptional || r.next() < 0.6)
      const values = Object.fromEntries(given.map((name) => [name, r.below(1000)]))
      const longestPositional = names.findIndex((name) => !(name in values))
      const positional = r.below((longestPositional < 0 ? count : longestPositional) + 1)
      const args = names.slice(0, positional).map((name) => values[name]!)
      const byName = given.slice(positional).toSorted(() => r.next() - 0.5)
      const kwargs = Object.fromEntries(byName.map((name) => [name, values[name]!]))
      assert.deepEqual({ ...bind("f", params, args, kwargs) }, values, `round ${round}`)
    }
  })

  it("a parameter may be named like something every object has", () => {
    const params = { ["__proto__"]: N, constructor: N, toString: optional }
    for (const [args, kwargs] of [
      [[1, 2], {}],
      [[1], { constructor: 2 }],
      [[], { constructor: 2, ["__proto__"]: 1 }]
    ] as const) {
      const bound = bind("f", params, args, kwargs)
      assert.deepStrictEqual(
        new Map(Object.entries(bound)),
        new Map([
          ["__proto__", 1],
          ["constructor", 2]
        ])
      )
    }
  })

  it("names in texts are the last part of the task's, and the whole of one without dots", () => {
    assert.strictEqual(Binding.signature("a.b.c", {}).name, "c")
    assert.strictEqual(Binding.signature("add", {}).name, "add")
  })
})
