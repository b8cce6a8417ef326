import * as Schema from "effect/Schema"
import { assert, describe, it } from "@effect/vitest"
import * as Json from "@apium/protocol/kombu/Json"
import * as Random from "../support/Random.ts"

const failure = (run: () => unknown): Json.JsonError => {
  try {
    run()
  } catch (error) {
    assert.instanceOf(error, Json.JsonError)
    return error
  }
  return assert.fail("should have failed")
}

describe("parse", () => {
  it("reads what Python writes beyond JSON", () => {
    assert.deepStrictEqual(Json.parse("[NaN, Infinity, -Infinity, 1.0, 1e300]"), [
      Number.NaN,
      Number.POSITIVE_INFINITY,
      Number.NEGATIVE_INFINITY,
      1,
      1e300
    ])
    assert.deepStrictEqual(
      Json.parse("[9007199254740991, 9007199254740992, -9007199254740993, 1180591620717411303424]"),
      [9007199254740991, 9007199254740992n, -9007199254740993n, 1180591620717411303424n]
    )
  })

  it("reads typed values", () => {
    const read = (type: string, value: unknown) => Json.parse(JSON.stringify({ __type__: type, __value__: value }))
    assert.deepStrictEqual(read("datetime", "2031-05-06T07:08:09.123000+00:00"), new Date("2031-05-06T07:08:09.123Z"))
    assert.deepStrictEqual(read("datetime", "2031-05-06T09:08:09+02:00"), new Date("2031-05-06T07:08:09Z"))
    assert.deepStrictEqual(read("datetime", "2031-05-06T07:08:09"), new Json.PyDateTime("2031-05-06T07:08:09"))
    const micros = "2031-05-06T07:08:09.123456+00:00"
    assert.deepStrictEqual(read("datetime", micros), new Json.PyDateTime(micros))
    assert.strictEqual(new Json.PyDateTime(micros).toDate().getTime(), Date.UTC(2031, 4, 6, 7, 8, 9, 124))
    assert.deepStrictEqual(read("date", "2031-05-06"), new Json.LocalDate("2031-05-06"))
    assert.deepStrictEqual(read("time", "07:08:09"), new Json.LocalTime("07:08:09"))
    assert.deepStrictEqual(read("decimal", "10.20"), new Json.Decimal("10.20"))
    assert.deepStrictEqual(
      read("uuid", { hex: "1234567812345678ABCDef0123456789" }),
      new Json.Uuid("12345678-1234-5678-abcd-ef0123456789")
    )
    assert.deepStrictEqual(read("bytes", "plain"), new TextEncoder().encode("plain"))
    assert.deepStrictEqual(read("base64", "AP/+"), Uint8Array.of(0, 255, 254))
    assert.deepStrictEqual(read("money", 1), { __type__: "money", __value__: 1 })
    assert.deepStrictEqual(Json.parse('{"__type__": "uuid"}'), { __type__: "uuid" })
    assert.deepStrictEqual(Json.parse('{"__type__": "date", "__value__": "x", "more": 1}'), {
      __type__: "date",
      __value__: "x",
      more: 1
    })
  })

  it.each([
    ["datetime", "2031-13-06T07:08:09"],
    ["datetime", 5],
    ["date", "2031-02-30"],
    ["time", "25:00"],
    ["decimal", "ten"],
    ["uuid", "1234"],
    ["uuid", { hex: "zz" }],
    ["bytes", 1],
    ["base64", "!"]
  ])("says where a %s of %o makes no sense", (type, value) => {
    const error = failure(() => Json.parse(`[1, {"__type__": "${type}", "__value__": ${JSON.stringify(value)}}]`))
    assert.strictEqual(error.offset, 4)
    assert.include(error.message, type)
  })

  // the cases of JSONTestSuite in small: what every parser has to take and to refuse
  it.each([
    '""',
    "0",
    "-0",
    "-1",
    "1E5",
    "1e-2",
    "[]",
    "{}",
    " [1 , 2 ] ",
    '{"a":{}}',
    "true",
    "false",
    "null",
    '"\\u00e5\\n"',
    '"\\ud83d\\udc0d"',
    '"\\ud800"',
    "[[[]]]",
    '{"":0}',
    "\t\n\r 1",
    "1.5e+10",
    '"\u007f"',
    '"/"',
    '"\\/"'
  ])("accepts %s as JSON does", (text) => {
    const exactly = Json.parse(`[${text}, NaN]`) as ReadonlyArray<unknown>
    assert.deepStrictEqual(Json.parse(text), JSON.parse(text))
    assert.deepStrictEqual(exactly[0], JSON.parse(text))
  })

  it.each([
    "",
    " ",
    "[",
    "]",
    "[1,]",
    "[,1]",
    "[1 2]",
    "{",
    '{"a"}',
    '{"a":}',
    '{"a":1,}',
    "{a:1}",
    "{1:1}",
    "'a'",
    '"',
    '"\\x"',
    '"\\u12"',
    '"\n"',
    "01",
    "-",
    "+1",
    ".5",
    "1.",
    "1e",
    "1e+",
    "0x1",
    "nan",
    "-NaN",
    "inf",
    "Infinit",
    "tru",
    "nul",
    "1 1",
    "[1]]",
    '{"a":1 "b":2}',
    "/* */1",
    "\ufeff1",
    "undefined",
    "[1,\u00a02]",
    '{"a":1,"a"}',
    "--1",
    "-Infinit",
    '"\t"'
  ])("refuses %s", (text) => {
    const error = failure(() => Json.parse(text))
    assert.isAtMost(error.offset!, text.length)
    assert.match(error.message, /at offset \d+$/)
  })

  it("keeps __proto__ as data, and takes the last of two equal keys", () => {
    for (const text of ['{"__proto__": {"polluted": 1}}', '{"n": NaN, "__proto__": {"polluted": 1}}']) {
      const value = Json.parse(text) as object
      assert.isTrue(Object.hasOwn(value, "__proto__"))
      assert.strictEqual(Object.getPrototypeOf(value), Object.prototype)
      assert.isUndefined(({} as Record<string, unknown>).polluted)
      assert.include(Json.stringify(value), '"__proto__":')
    }
    assert.deepStrictEqual(Json.parse('{"a": 1, "a": 2}'), { a: 2 })
    assert.deepStrictEqual(Json.parse('{"a": NaN, "a": 2}'), { a: 2 })
  })

  it("bounds depth and digits", () => {
    const nest = (depth: number, open = "[", close = "]") => open.repeat(depth) + close.repeat(depth)
    assert.doesNotThrow(() => Json.parse(nest(Json.maxDepth)))
    assert.doesNotThrow(() => Json.parse(`[NaN, ${nest(Json.maxDepth - 1)}]`))
    for (const text of [nest(Json.maxDepth + 1), nest(100_000), "[".repeat(100_000), nest(100_000, '{"a":[', "]}")]) {
      assert.include(failure(() => Json.parse(text)).message, "512 levels")
    }
    assert.strictEqual(typeof Json.parse("1".repeat(Json.maxDigits)), "bigint")
    assert.include(failure(() => Json.parse("1".repeat(1_000_000))).message, "4300 digits")
  })
})

describe("stringify", () => {
  it("writes what Python reads", () => {
    assert.strictEqual(Json.stringify({ a: [1, "å", null, true], b: undefined }), '{"a":[1,"å",null,true]}')
    assert.strictEqual(
      Json.stringify([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 2n ** 70n]),
      "[NaN, Infinity, -Infinity, 1180591620717411303424]"
    )
    assert.strictEqual(
      Json.stringify(new Date("2031-05-06T07:08:09.120Z")),
      '{"__type__": "datetime", "__value__": "2031-05-06T07:08:09.120000+00:00"}'
    )
    assert.include(Json.stringify(new Date("2031-05-06T07:08:09Z")), '"2031-05-06T07:08:09+00:00"')
    assert.strictEqual(Json.stringify(Uint8Array.of(0, 255, 254)), '{"__type__": "base64", "__value__": "AP/+"}')
    assert.strictEqual(Json.stringify(Uint8Array.of(97)), '{"__type__": "bytes", "__value__": "a"}')
    assert.strictEqual(
      Json.stringify(new Json.Uuid("12345678-1234-5678-abcd-ef0123456789")),
      '{"__type__": "uuid", "__value__": {"hex": "12345678123456781234567812345678"}}'.replace(
        "12345678123456781234567812345678",
        "1234567812345678abcdef0123456789"
      )
    )
  })

  it("writes to the byte what Python's json.dumps does, where bytes are compared", () => {
    assert.strictEqual(
      Json.stringifyAscii({ a: [1, 2.5, 'å\u007f\u2028🎉\ud800"\\\n\u0001'], b: {}, c: [], d: undefined, e: null }),
      String.raw`{"a": [1, 2.5, "\u00e5\u007f\u2028\ud83c\udf89\ud800\"\\\n\u0001"], "b": {}, "c": [], "e": null}`
    )
    assert.throws(() => Json.stringifyAscii([() => {}]), Json.JsonError)
  })

  it("keeps keys that are escaped apart, which the native parser takes for one it has seen before", () => {
    for (const key of ["\n", "\ucab8", '"', "ü"]) {
      for (const seen of ["\\", "\\u", "a\\"]) {
        const [first, second] = [
          { [`seen ${key}`]: 1, [seen]: 2 },
          { [`seen ${key}`]: 1, [key]: 2 }
        ]
        assert.deepStrictEqual(Json.parse(Json.stringifyAscii(first)), first)
        assert.deepStrictEqual(Json.parse(Json.stringifyAscii(second)), second)
        const third = { [`seen ${key}`]: 1, [`a${key}`]: 2 }
        assert.deepStrictEqual(Json.parse(Json.stringifyAscii(third)), third)
      }
    }
  })

  it("writes whole numbers beyond 2^53 as the floats that they are, and a bigint as an integer", () => {
    const numbers = [2 ** 53 - 1, 2 ** 53, -(2 ** 53), 1e17, 1e20, 1e21, 1.5e300]
    const text =
      "[9007199254740991, 9007199254740992.0, -9007199254740992.0, 100000000000000000.0, 100000000000000000000.0, 1e+21, 1.5e+300]"
    assert.strictEqual(Json.stringify(numbers), text)
    assert.deepStrictEqual(Json.parse(text), numbers)
    assert.deepStrictEqual(Json.parse(Json.stringify([10n ** 17n, 1e17])), [10n ** 17n, 1e17])
  })

  it("honours toJSON, and writes the fields of an instance", () => {
    class Point {
      readonly x = 1
    }
    assert.strictEqual(
      Json.stringify({ at: new URL("http://h/"), point: new Point() }),
      '{"at": "http://h/", "point": {"x": 1}}'
    )
  })

  it.each([
    ["a function", { kwargs: { x: [0, () => 1] } }, "$.kwargs.x[1]"],
    ["a symbol", [Symbol.iterator], "$[0]"],
    ["undefined in an array", [1, undefined], "$[1]"],
    ["undefined", undefined, "$"],
    ["a Map", { "a b": new Map([[1, 2]]) }, '$["a b"]'],
    ["a Promise", [Promise.resolve(1)], "$[0]"],
    ["an invalid Date", { at: new Date(Number.NaN) }, "$.at"],
    ["a Date that Python cannot hold", new Date(8e15), "$"],
    ["a Float32Array", [new Float32Array(2)], "$[0]"],
    ["too large an integer", [10n ** 5000n], "$[0]"]
  ])("refuses %s with its path", (_, value, path) => {
    const error = failure(() => Json.stringify(value))
    assert.strictEqual(error.path, path)
    assert.include(error.message, path)
  })

  it("refuses cycles and depth", () => {
    const cycle: Record<string, unknown> = { a: { b: [] } }
    ;(cycle.a as Record<string, unknown>).b = [1, cycle]
    assert.strictEqual(failure(() => Json.stringify(cycle)).message, "JSON cannot carry a cycle at $.a.b[1]")
    let deep: unknown = 1
    for (let level = 0; level < 100_000; level++) deep = [deep]
    assert.include(failure(() => Json.stringify(deep)).message, "512 levels")
    const shared = [1]
    assert.strictEqual(Json.stringify([shared, shared, Number.NaN]), "[[1], [1], NaN]")
    const endless = new (class {
      toJSON(): unknown {
        return endless
      }
    })()
    assert.throws(() => Json.stringify(endless))
  })

  it.prop("comes back the same", [Schema.Int], ([seed]) => {
    const value = Random.kombuJson(Random.random(seed))
    assert.deepStrictEqual(Json.parse(Json.stringify(value)), value)
  })

  it.prop("agrees with JSON on plain values", [Schema.Json], ([drawn]) => {
    // Integers beyond 2^53 are where the two are meant to differ: JSON rounds them.
    const text = JSON.stringify(drawn, (_, value: unknown) =>
      Number.isInteger(value) && !Number.isSafeInteger(value) ? 0 : value
    )
    const value = JSON.parse(text) as unknown
    assert.deepStrictEqual(Json.parse(text), value)
    assert.deepStrictEqual(JSON.parse(Json.stringify(value)), value)
  })
})
