import { assert, describe, it } from "@effect/vitest"
import * as PythonRepr from "@apium/protocol/celery/PythonRepr"
import * as Json from "@apium/protocol/kombu/Json"
import * as Captures from "../support/Captures.ts"

/** Cases whose captured repr holds what JSON does not: why, and how many. */
const untellable = {
  "sent as a list, not a tuple": 0,
  "given by the sender (argsrepr=)": 0,
  "a tuple or a float inside": 0
}

describe("argsRepr and kwargsRepr", () => {
  it("are what Celery sent, wherever JSON tells", () => {
    const counts = { ...untellable }
    let same = 0
    for (const message of Captures.load().amqp) {
      const { argsrepr, kwargsrepr, compression } = message.headers
      if (message.contentType !== "application/json" || message.body === undefined) continue
      if (typeof argsrepr !== "string" || typeof kwargsrepr !== "string" || compression !== undefined) continue
      const [args, kwargs] = Json.parse(new TextDecoder().decode(message.body)) as [
        Array<unknown>,
        Record<string, unknown>
      ]
      const ours = [PythonRepr.argsRepr(args), PythonRepr.kwargsRepr(kwargs)]
      if (argsrepr.startsWith("[")) counts["sent as a list, not a tuple"]++
      else if (argsrepr.includes("<secret>")) counts["given by the sender (argsrepr=)"]++
      else if (/\(\)|\(\d+, \d+\)\]|\b\d+\.0\b/.test(kwargsrepr + argsrepr.slice(1)))
        counts["a tuple or a float inside"]++
      else {
        assert.deepStrictEqual(ours, [argsrepr, kwargsrepr], message.where)
        same++
      }
    }
    console.log(`golden: ${same} argsrepr and kwargsrepr are Celery's; ${JSON.stringify(counts)}`)
    assert.isAbove(same, 200)
  })

  it("show tuples, and cut where Celery cuts", () => {
    assert.strictEqual(PythonRepr.argsRepr([]), "()")
    assert.strictEqual(PythonRepr.argsRepr([2]), "(2,)")
    assert.strictEqual(PythonRepr.argsRepr([2, 3]), "(2, 3)")
    assert.strictEqual(PythonRepr.kwargsRepr({ a: 1, b: undefined }), "{'a': 1}")
    assert.strictEqual(PythonRepr.argsRepr(["it's \n"]), "('it\\'s \n',)")
    assert.strictEqual(PythonRepr.argsRepr([[[[1]]]]), "([[[...]]],)".replace("[[[...]]]", "[[[...]]]"))
    assert.strictEqual(PythonRepr.argsRepr([Uint8Array.of(0, 255, 254)]), "(b'00fffe',)")
    const long = PythonRepr.argsRepr(["x".repeat(200_000), 1])
    assert.strictEqual(long, `('${"x".repeat(1023)}...', ...)`)
    assert.strictEqual(PythonRepr.argsRepr(["x".repeat(200_000)]), `('${"x".repeat(1023)}...', ...`)
    // What stands for a level that is not shown is cut as anything else.
    for (const [length, shown] of [
      [1000, "....."],
      [1001, "...."],
      [1002, "..."]
    ] as const) {
      const cut = PythonRepr.argsRepr([{ ["a".repeat(length)]: [[1]], b: [[]] }])
      assert.isTrue(cut.endsWith(`aaa': [[...]], 'b': [[${shown}, ...},)`), cut.slice(-40))
    }
    assert.isTrue(PythonRepr.argsRepr([["🐍".repeat(1000), { a: 1 }]]).isWellFormed())
    assert.isBelow(PythonRepr.argsRepr([Array.from({ length: 100_000 }, (_, index) => index)]).length, 1100)
  })

  it("ends at a cycle", () => {
    const cycle: Array<unknown> = [1]
    cycle.push(cycle)
    assert.strictEqual(PythonRepr.argsRepr([cycle]), "([1, [1, [...]]],)")
    assert.isString(PythonRepr.repr(cycle))
  })
})

describe("repr", () => {
  it.each<readonly [unknown, string]>([
    [null, "None"],
    [undefined, "None"],
    [true, "True"],
    [false, "False"],
    [1, "1"],
    [-0, "0"],
    [2.5, "2.5"],
    [1e300, "1e+300"],
    [2 ** 53, "9007199254740992.0"],
    [1e16, "1e+16"],
    [-(2 ** 60), "-1.152921504606847e+18"],
    [1e-7, "1e-07"],
    [0.00001234, "1.234e-05"],
    [0.0001, "0.0001"],
    [1e-300, "1e-300"],
    [Number.NaN, "nan"],
    [Number.NEGATIVE_INFINITY, "-inf"],
    [2n ** 70n, "1180591620717411303424"],
    ["a", "'a'"],
    ["it's", '"it\'s"'],
    ['it\'s "x"', "'it\\'s \"x\"'"],
    ["\n\t\r\\\u0000\u007f\u00a0\u2028å🐍\ud800", "'\\n\\t\\r\\\\\\x00\\x7f\\xa0\\u2028å🐍\\ud800'"],
    [Uint8Array.of(97, 0, 255, 39, 10), 'b"a\\x00\\xff\'\\n"'],
    [[1, [], {}], "[1, [], {}]"],
    [{ a: [null] }, "{'a': [None]}"],
    [
      new Date("2031-05-06T07:08:09.123Z"),
      "datetime.datetime(2031, 5, 6, 7, 8, 9, 123000, tzinfo=datetime.timezone.utc)"
    ],
    [new Date("2031-05-06T07:00:00Z"), "datetime.datetime(2031, 5, 6, 7, 0, tzinfo=datetime.timezone.utc)"],
    [new Json.PyDateTime("2031-05-06T07:08:09"), "datetime.datetime(2031, 5, 6, 7, 8, 9)"],
    [
      new Json.PyDateTime("2031-05-06T07:08:09.123456-02:30"),
      "datetime.datetime(2031, 5, 6, 7, 8, 9, 123456, tzinfo=datetime.timezone(datetime.timedelta(days=-1, seconds=77400)))"
    ],
    [new Json.LocalDate("2031-05-06"), "datetime.date(2031, 5, 6)"],
    [new Json.LocalTime("07:08"), "datetime.time(7, 8)"],
    [new Json.Decimal("10.20"), "Decimal('10.20')"],
    [new Json.Uuid("12345678-1234-5678-abcd-ef0123456789"), "UUID('12345678-1234-5678-abcd-ef0123456789')"],
    [new Map(), "<Map>"],
    [() => 1, "<function>"]
  ])("of %o is %s", (value, expected) => {
    assert.strictEqual(PythonRepr.repr(value), expected)
  })

  it("shows exceptions", () => {
    assert.strictEqual(PythonRepr.exceptionRepr("ValueError", ["bad", 1]), "ValueError('bad', 1)")
    assert.strictEqual(PythonRepr.exceptionRepr("KeyError", []), "KeyError()")
    assert.strictEqual(PythonRepr.exceptionRepr("Order.Refused", ["late"]), "Refused('late')")
  })
})
