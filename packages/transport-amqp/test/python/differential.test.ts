/**
 * Our codec and py-amqp's on the same random values. Both directions: Python reads what we write as what we meant, writes the same octets for it, and those
 * mean the same to us. Where the two differ by intention, a table says how and why.
 */
import * as BasicProperties from "@apium/protocol/amqp/BasicProperties"
import * as FieldTable from "@apium/protocol/amqp/FieldTable"
import * as Method from "@apium/protocol/amqp/Method"
import { Decimal } from "@apium/protocol/kombu/Json"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Result } from "effect"
import * as Values from "../../../protocol/test/amqp/support/Values.ts"
import { random } from "../../../protocol/test/support/Random.ts"
import { times } from "../../../../test/support/Times.ts"
import * as PyAmqp from "./PyAmqp.ts"

const rounds = times(2000, 20_000, 100_000)
const batch = 5000
const patience = 900_000

const hex = (octets: Uint8Array): string => Buffer.from(octets).toString("hex")

/** Each row's answer, in batches; `check` gets what Python wrote. */
const compare = (make: (seed: number) => PyAmqp.Row & { readonly check: (octets: Uint8Array) => void }) =>
  Effect.gen(function* () {
    for (let first = 0; first < rounds; first += batch) {
      const rows = Array.from({ length: Math.min(batch, rounds - first) }, (_, index) => make(first + index))
      const answers = yield* PyAmqp.answers(rows)
      for (const [index, { octets, check }] of rows.entries()) {
        const answer = answers[index]!
        const where = `seed ${first + index}: ${hex(octets)}`
        assert.isTrue(answer.same, where)
        assert.strictEqual(hex(answer.octets), hex(octets), where)
        check(answer.octets)
      }
    }
  })

const letters: Readonly<Record<Values.Spec["fields"][number]["type"], string>> = {
  bit: "b",
  octet: "o",
  short: "B",
  long: "l",
  longlong: "L",
  shortstr: "s",
  longtext: "S",
  longbytes: "x",
  table: "F"
}

const zero: Readonly<Record<string, unknown>> = { bit: false, shortstr: "", longtext: "", longbytes: new Uint8Array(0) }

describe("py-amqp and we", () => {
  it.live(
    `read each other's tables alike, and write the same octets: ${rounds}`,
    () =>
      compare((seed) => {
        const value = Values.table(random(seed), Values.all)
        return {
          what: "table",
          octets: FieldTable.encodeUnsafe(value),
          value,
          check: (octets) => assert.deepStrictEqual(FieldTable.decodeUnsafe(octets), value)
        }
      }),
    patience
  )

  it.live(
    `read each other's properties alike, and write the same octets: ${rounds}`,
    () =>
      compare((seed) => {
        const { properties, headers } = Values.content(random(seed), Values.all)
        const { deliveryMode, timestamp } = properties
        const wire: Readonly<Record<string, unknown>> = {
          ...properties,
          application_headers: headers,
          deliveryMode: deliveryMode === undefined ? undefined : deliveryMode === "persistent" ? 2 : 1,
          // A number to py-amqp, here.
          timestamp: timestamp === undefined ? undefined : timestamp.getTime() / 1000
        }
        // In the order of the wire, for Python's dictionaries have one.
        const value = Object.fromEntries(
          order
            .filter((name) => wire[name] !== undefined)
            .map((name) => [name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`), wire[name]])
        )
        return {
          what: "properties",
          octets: BasicProperties.encodeUnsafe(properties, headers),
          value,
          check: (octets) => {
            const read = BasicProperties.decodeUnsafe(octets)
            assert.deepStrictEqual(Values.given(read.properties), properties as Values.Fields)
            assert.deepStrictEqual(read.headers, headers)
          }
        }
      }),
    patience
  )

  it.live(
    `read each other's methods alike, all 66, and write the same octets: ${rounds}`,
    () =>
      compare((seed) => {
        const spec = Values.specs[seed % Values.specs.length]!
        const method = Values.method(spec, random(seed), Values.all)
        const named = method as unknown as Values.Fields
        const octets = Method.encodeUnsafe(method)
        return {
          what: spec.fields.map(({ type }) => letters[type]).join(""),
          octets: octets.subarray(4),
          value: spec.fields.map(({ name, type }) => (name === "" ? (zero[type] ?? 0) : named[name])),
          check: (written) =>
            assert.deepStrictEqual(
              Result.getOrThrow(Method.decode(Uint8Array.from([...octets.subarray(0, 4), ...written]))),
              method
            )
        }
      }),
    patience
  )

  it.live("go by the same signatures, but where py-amqp leaves out what it does not need", () =>
    Effect.gen(function* () {
      const { received, sent } = yield* PyAmqp.signatures
      const ours = new Map(
        Values.specs.map((spec) => [
          `${spec.classId}.${spec.methodId}`,
          { tag: spec.tag, letters: spec.fields.map(({ type }) => letters[type].replace("x", "S")).join("") }
        ])
      )
      const different = Object.entries(received).flatMap(([id, theirs]) => {
        const { tag, letters } = ours.get(id)!
        return theirs === letters ? [] : [[tag, letters, theirs]]
      })
      assert.deepStrictEqual(
        different.toSorted(([one = ""], [other = ""]) => one.localeCompare(other)),
        [
          // The bit `nowait` and the bit `requeue` mean nothing from a server.
          ["basic.cancel", "sb", "s"],
          ["basic.nack", "Lbb", "Lb"],
          // Reserved, and empty.
          ["channel.open-ok", "S", ""],
          // The reason is not looked at.
          ["connection.blocked", "s", ""],
          ["connection.open-ok", "s", ""],
          // A long string for the specification and RabbitMQ: py-amqp could not read one, and no mechanism of RabbitMQ's that it knows sends it.
          ["connection.secure", "S", "s"]
        ]
      )
      const tags = new Map([...ours.values()].map(({ tag, letters }) => [tag.replaceAll(/[.-]/g, "_"), letters]))
      const compared = Object.entries(sent).filter(([name]) => tags.has(name))
      for (const [name, theirs] of compared) assert.strictEqual(tags.get(name), theirs, name)
      assert.isAtLeast(compared.length, 14)
    })
  )

  it.live("differ by intention in what RabbitMQ reads otherwise than Python, and only there", () =>
    Effect.gen(function* () {
      const read = yield* PyAmqp.shown(dialects.map(([field]) => tableOf(field)))
      for (const [index, [field, ours, theirs, because]] of dialects.entries()) {
        const found = FieldTable.decode(tableOf(field))
        assert.deepStrictEqual(Result.isSuccess(found) ? found.success.k : "refused", ours, because)
        assert.strictEqual(read[index], theirs, because)
      }
    })
  )
})

const order = [
  "contentType",
  "contentEncoding",
  "application_headers",
  "deliveryMode",
  "priority",
  "correlationId",
  "replyTo",
  "expiration",
  "messageId",
  "timestamp",
  "type",
  "userId",
  "appId",
  "clusterId"
]

/** A table with one field, `k`. */
const tableOf = (value: string): Uint8Array => {
  const octets = Buffer.from(`016b${value}`, "hex")
  return Uint8Array.from([0, 0, octets.length >>> 8, octets.length & 255, ...octets])
}

/** A value's octets; what we read, what py-amqp does; why. */
const dialects: ReadonlyArray<readonly [octets: string, ours: unknown, theirs: string, because: string]> = [
  ["62ff", -1, "255", "b is signed for RabbitMQ, and unsigned for py-amqp"],
  ["42ff", 255, "-1", "B is unsigned for RabbitMQ, and signed for py-amqp"],
  ["730102", 258, "'\\x02'", "s is an int16 for RabbitMQ, and a short string for py-amqp, as in the specification"],
  [
    "6cffffffffffffffff",
    -1,
    "18446744073709551615",
    "l is signed for RabbitMQ, and unsigned for py-amqp: x-death counts come as l"
  ],
  ["55ffff", "refused", "-1", "RabbitMQ has no U, which is an int16 for py-amqp"],
  [
    "4402000003fc",
    new Decimal("10.20"),
    "Decimal('10.2')",
    "py-amqp divides, which loses the zeros at the end; equal as numbers"
  ],
  [
    "5300000003eda080",
    Uint8Array.from([0xed, 0xa0, 0x80]),
    "'\\ud800'",
    "half of a surrogate pair is no UTF-8; Python lets it pass"
  ],
  ["540000003afff44180", new Date("+010000-01-01T00:00:00Z"), "ValueError", "Python's years have four digits"],
  // And the same, where one might think otherwise.
  ["75ffff", 65_535, "65535", "u is unsigned for both"],
  ["69ffffffff", 4_294_967_295, "4294967295", "i is unsigned for both"],
  ["4cffffffffffffffff", -1, "-1", "L is signed for both"],
  ["7800000001ff", Uint8Array.from([0xff]), "b'\\xff'", "x is octets for both"],
  ["663f000000", 0.5, "0.5", "f is a float for both"]
]
