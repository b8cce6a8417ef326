import * as BasicProperties from "@apium/protocol/amqp/BasicProperties"
import * as FieldTable from "@apium/protocol/amqp/FieldTable"
import * as Json from "@apium/protocol/kombu/Json"
import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { hex, toHex } from "./support/Frames.ts"

const table = (fields: string): string => (fields.length / 2).toString(16).padStart(8, "0") + fields
const refusal = (text: string): string => {
  const read = FieldTable.decode(hex(text))
  if (Result.isSuccess(read)) throw new Error(`${text} should have been refused`)
  assert.strictEqual(read.failure.replyCode, 502)
  return read.failure.message
}
const nested = (levels: number): string => (levels === 0 ? table("") : table(`016b46${nested(levels - 1)}`))

describe("a field table", () => {
  it("keeps integers of 64 bits, and the sign of zero", () => {
    const values = [
      0,
      -0,
      1,
      -1,
      2 ** 31 - 1,
      2 ** 31,
      -(2 ** 31),
      -(2 ** 31) - 1,
      Number.MAX_SAFE_INTEGER,
      Number.MIN_SAFE_INTEGER
    ]
    const wide = [2n ** 53n, -(2n ** 53n), 2n ** 53n + 1n, 2n ** 63n - 1n, -(2n ** 63n)]
    const floats = [0.5, -1e300, 2 ** 60, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
    const sent = { values, wide, floats }
    assert.deepStrictEqual(FieldTable.decodeUnsafe(FieldTable.encodeUnsafe(sent)), sent)
    assert.deepStrictEqual(FieldTable.decodeUnsafe(FieldTable.encodeUnsafe({ a: 7n, b: 2n ** 40n })), {
      a: 7,
      b: 2 ** 40
    })
  })

  it("keeps text, octets, times, decimals and nothing", () => {
    const sent = {
      text: "å値🐍",
      long: "x".repeat(5000),
      octets: Uint8Array.from([0xff, 0xfe]),
      time: new Date(1_700_000_000_000),
      decimals: [new Json.Decimal("10.20"), new Json.Decimal("-0.005"), new Json.Decimal("42")],
      nothing: null,
      empty: { list: [], table: {} },
      ["__proto__"]: "a key"
    }
    const read = FieldTable.decodeUnsafe(FieldTable.encodeUnsafe({ ...sent, left: undefined }))
    assert.deepStrictEqual(read, sent)
    assert.deepStrictEqual(Object.keys(read), Object.keys(sent))
  })

  it("cuts a time to its second, and gives octets that are text back as text, as Python does", () => {
    const sent = { time: new Date(1_700_000_000_999), octets: new TextEncoder().encode("plain") }
    const read = FieldTable.decodeUnsafe(FieldTable.encodeUnsafe(sent))
    assert.deepStrictEqual(read, { time: new Date(1_700_000_000_000), octets: "plain" })
  })

  it("takes the last of two equal keys", () => {
    assert.deepStrictEqual(FieldTable.decodeUnsafe(hex(table("016b7400016b7401"))), { k: true })
  })

  it("gives the same text from every path of the reader, short or long, known or not, among octets that are no text", () => {
    for (const noise of [0, -1, 2 ** 40 - 1]) {
      for (let round = 0; round < 3; round++) {
        for (let length = 0; length < 70; length++) {
          const sent = {
            noise,
            a: "k".repeat(length),
            b: "å".repeat(length % 40),
            noise2: noise,
            c: `${length}-${round}`
          }
          assert.deepStrictEqual(FieldTable.decodeUnsafe(FieldTable.encodeUnsafe(sent)), sent)
        }
      }
    }
  })

  it("has 64 levels at the most, both ways", () => {
    assert.isTrue(Result.isSuccess(FieldTable.decode(hex(nested(63)))))
    assert.include(refusal(nested(64)), "more than 64 levels")
    let deep: Record<string, unknown> = {}
    for (let level = 1; level < 64; level++) deep = { deep }
    assert.isTrue(Result.isSuccess(FieldTable.encode(deep)))
    assert.isTrue(Result.isFailure(FieldTable.encode({ deep })))
    const cycle: Record<string, unknown> = {}
    cycle.self = [cycle]
    assert.isTrue(Result.isFailure(FieldTable.encode(cycle)))
  })

  it("refuses hostile lengths before it takes memory", () => {
    assert.include(refusal("ffffffff"), "4294967295 octets are announced, 0 are left")
    for (const letter of ["78", "53", "46", "41"]) {
      for (const length of ["ffffffff", "80000000", "7fffffff", "00000001"]) refusal(table(`016b${letter}${length}`))
    }
    refusal(table("ff6b"))
    refusal(table("016b"))
    refusal(table("016b49000000"))
    refusal(`${table("016b7401")}00`)
    refusal("0000")
  })

  it("refuses a letter that nobody has, and a key that is not UTF-8", () => {
    assert.include(refusal(table("016b7a00")), "unknown type 122")
    assert.include(refusal(table("02fffe56")), "not UTF-8")
  })

  it("does not let an inner table reach beyond its own end", () => {
    // The inner table says 3 octets, and its string wants more.
    assert.include(refusal(table("016b46000000030161530000000161")), "octets are announced")
  })

  it("reads an array of a million voids, for its octets are there", () => {
    const voids = 1 << 20
    const read = FieldTable.decodeUnsafe(
      hex(table(`016b41${voids.toString(16).padStart(8, "0")}${"56".repeat(voids)}`))
    )
    assert.strictEqual((read.k as ReadonlyArray<null>).length, voids)
  })

  it("reads a moment beyond what a Date holds as the last one", () => {
    const read = FieldTable.decodeUnsafe(hex(table("016b54ffffffffffffffff")))
    assert.deepStrictEqual(read, { k: new Date(8.64e15) })
  })

  it("refuses what it cannot carry, and says where", () => {
    const bad: ReadonlyArray<readonly [unknown, string]> = [
      [new Map(), "Map"],
      [2n ** 63n, "64 bits"],
      [() => 1, "function"],
      [new Date(Number.NaN), "1970"],
      [new Date(-1000), "1970"],
      [new Json.Decimal("1E+400"), "32 bits"],
      [new Json.Decimal("99999999999"), "32 bits"],
      [new Json.Uuid("12345678-1234-5678-abcd-ef0123456789"), "send its text"]
    ]
    for (const [value, text] of bad) {
      const encoded = FieldTable.encode({ a: [{ b: value }] })
      if (Result.isSuccess(encoded)) throw new Error(`${String(value)} should have been refused`)
      assert.include(encoded.failure.message, text)
      assert.strictEqual(encoded.failure.path, "table.a[0].b")
    }
  })
})

describe("properties", () => {
  const all: BasicProperties.Properties = {
    contentType: "application/json",
    contentEncoding: "utf-8",
    deliveryMode: "persistent",
    priority: 9,
    correlationId: "7b0e7d3c-6c1f-4f0e-9d43-0b6a2f1f9f11",
    replyTo: "å",
    expiration: "60000",
    messageId: "m",
    timestamp: new Date(1_700_000_000_000),
    type: "t",
    userId: "guest",
    appId: "app",
    clusterId: "c"
  }

  it("come back the same, all of them and each alone", () => {
    const [complete, ...single] = [all, ...Object.entries(all).map(([key, value]) => ({ [key]: value }))]
    for (const properties of [complete, ...single]) {
      for (const headers of [undefined, {}, { a: 1 }]) {
        const read = BasicProperties.decodeUnsafe(BasicProperties.encodeUnsafe(properties, headers))
        const given = Object.fromEntries(Object.entries(read.properties).filter(([, value]) => value !== undefined))
        assert.deepStrictEqual(given, properties)
        assert.deepStrictEqual(read.headers, headers)
      }
    }
  })

  it("read a delivery mode other than 2 as transient, as RabbitMQ does", () => {
    for (const [mode, expected] of [
      ["00", "transient"],
      ["01", "transient"],
      ["02", "persistent"],
      ["ff", "transient"]
    ] as const) {
      assert.strictEqual(BasicProperties.decodeUnsafe(hex(`1000${mode}`)).properties.deliveryMode, expected)
    }
  })

  it("are refused with a flag that no property has", () => {
    for (const flags of ["0001", "0002", "8003"]) assert.isTrue(Result.isFailure(BasicProperties.decode(hex(flags))))
  })

  it("refuse what they cannot carry, by its name", () => {
    const bad: ReadonlyArray<readonly [BasicProperties.Properties, string]> = [
      [{ priority: 256 }, "priority"],
      [{ priority: 0.5 }, "priority"],
      [{ correlationId: "x".repeat(256) }, "correlationId"],
      [{ timestamp: new Date(-1) }, "timestamp"],
      [{ deliveryMode: 2 as never }, "deliveryMode"],
      [{ expiration: 60_000 as never }, "expiration"]
    ]
    for (const [properties, path] of bad) {
      const encoded = BasicProperties.encode(properties)
      assert.isTrue(Result.isFailure(encoded) && encoded.failure.path === path, path)
    }
    assert.strictEqual(toHex(BasicProperties.encodeUnsafe({})), "0000")
  })
})
