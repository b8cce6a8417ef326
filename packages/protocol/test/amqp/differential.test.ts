/** Our codec and amqplib's on the same random values: what one writes the other reads, and means the same by it. */
import { createRequire } from "node:module"
import * as path from "node:path"
import * as BasicProperties from "@apium/protocol/amqp/BasicProperties"
import * as FieldTable from "@apium/protocol/amqp/FieldTable"
import * as Method from "@apium/protocol/amqp/Method"
import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { classes } from "../../spec/methods.ts"
import { type Random, random } from "../support/Random.ts"

type Fields = Readonly<Record<string, unknown>>

interface Amqplib {
  readonly encodeTable: (buffer: Buffer, table: Fields, offset: number) => number
  readonly decodeFields: (bytes: Buffer) => Fields
  readonly decode: (id: number, bytes: Buffer) => Fields
  readonly encodeMethod: (id: number, channel: number, fields: Fields) => Buffer
  readonly encodeProperties: (id: number, channel: number, size: number, fields: Fields) => Buffer
}

const load = (): Amqplib => {
  const require = createRequire(import.meta.url)
  // Not among its exports: by its place.
  const lib = path.join(path.dirname(require.resolve("amqplib")), "lib")
  return { ...require(path.join(lib, "codec.js")), ...require(path.join(lib, "defs.js")) } as Amqplib
}

const amqplib = load()
const rounds = 5000

const text = (r: Random, most: number): string =>
  Array.from({ length: r.below(most) }, () => r.pick(["a", "b", "-", "å", "値", "🐍", "\0", "9"])).join("")

/**
 * Values that both can say. Not: bytes (amqplib writes `x`), times and decimals (it has no plain value for them), integers beyond 32 bits (it cannot read the
 * `L` that Python and we write).
 */
const value = (r: Random, depth: number): unknown => {
  switch (r.below(depth > 3 ? 6 : 8)) {
    case 0:
      return null
    case 1:
      return r.next() < 0.5
    case 2:
      return r.below(2 ** 31) * r.pick([1, -1, 0.001]) || 0
    case 3:
      return (r.next() - 0.5) * 10 ** -r.below(300) || 0
    case 4:
      return text(r, 20)
    case 5:
      return text(r, 400)
    case 6:
      return Array.from({ length: r.below(5) }, () => value(r, depth + 1))
    default:
      return table(r, depth + 1)
  }
}

const table = (r: Random, depth = 0): Fields =>
  Object.fromEntries(Array.from({ length: r.below(8) }, () => [text(r, 30), value(r, depth)]))

const scratch = Buffer.alloc(1 << 22)

describe("amqplib and we", () => {
  it(`read each other's tables alike: ${rounds}`, () => {
    for (let seed = 0; seed < rounds; seed++) {
      const sent = table(random(seed))
      assert.deepStrictEqual(
        amqplib.decodeFields(Buffer.from(FieldTable.encodeUnsafe(sent)).subarray(4)),
        sent,
        `seed ${seed}`
      )
      const size = amqplib.encodeTable(scratch, sent, 0)
      assert.deepStrictEqual(FieldTable.decodeUnsafe(scratch.subarray(0, size)), sent, `seed ${seed}`)
    }
  }, 60_000)

  it("mean the same by integers of 64 bits, which amqplib writes as l", () => {
    for (const integer of [2 ** 31, -(2 ** 31) - 1, 2 ** 40, -(2 ** 50), Number.MAX_SAFE_INTEGER]) {
      const size = amqplib.encodeTable(scratch, { integer }, 0)
      assert.deepStrictEqual(FieldTable.decodeUnsafe(scratch.subarray(0, size)), { integer })
    }
  })

  it(`read each other's properties alike: ${rounds}`, () => {
    const names = [
      "contentType",
      "contentEncoding",
      "correlationId",
      "replyTo",
      "expiration",
      "messageId",
      "type",
      "userId",
      "appId",
      "clusterId"
    ]
    for (let seed = 0; seed < rounds; seed++) {
      const r = random(seed)
      const ours: Record<string, unknown> = Object.fromEntries(
        names.filter(() => r.next() < 0.4).map((name) => [name, text(r, 60)])
      )
      if (r.next() < 0.5) ours.deliveryMode = r.pick(["transient", "persistent"])
      if (r.next() < 0.5) ours.priority = r.below(256)
      if (r.next() < 0.5) ours.timestamp = new Date(r.below(2e9) * 1000)
      const headers = r.next() < 0.5 ? table(r) : undefined
      const theirs = {
        ...ours,
        ...("deliveryMode" in ours ? { deliveryMode: ours.deliveryMode === "persistent" ? 2 : 1 } : {}),
        ...("timestamp" in ours ? { timestamp: (ours.timestamp as Date).getTime() / 1000 } : {}),
        ...(headers === undefined ? {} : { headers })
      }
      const payload = amqplib.encodeProperties(60, 1, 0, theirs).subarray(7 + 12, -1)
      const read = Result.getOrThrow(BasicProperties.decode(payload))
      assert.deepStrictEqual(given(read.properties), ours, `seed ${seed}`)
      assert.deepStrictEqual(read.headers, headers, `seed ${seed}`)
      const written = BasicProperties.encodeUnsafe(ours, headers)
      assert.deepStrictEqual(given(amqplib.decode(60, Buffer.from(written))), theirs, `seed ${seed}`)
    }
  }, 60_000)

  it("read each other's methods alike, and write the same octets where there is no table", () => {
    let compared = 0
    for (const klass of classes) {
      // Of AMQP 0-8, and not in amqplib.
      if (klass.name === "access") continue
      for (const spec of klass.methods) {
        const id = klass.id * 0x1_0000 + spec.id
        const fields =
          spec.fields === "" ? [] : spec.fields.split(" ").map((field) => field.split(":") as [string, string])
        for (let seed = 0; seed < 200; seed++) {
          const r = random(seed)
          const ours = Object.fromEntries(
            fields.filter(([name]) => name !== "").map(([name, type]) => [name, argument(type, r)])
          )
          const method = { _tag: `${klass.name}.${spec.name}`, ...ours } as Method.Method
          const theirs = Object.fromEntries(
            Object.entries(ours).map(([name, value]) => [name, forAmqplib(method._tag, name, value)])
          )
          const frame = amqplib.encodeMethod(id, 1, theirs)
          assert.deepStrictEqual(
            Result.getOrThrow(Method.decode(frame.subarray(7, -1))),
            method,
            `${method._tag} seed ${seed}`
          )
          const written = Method.encodeUnsafe(method)
          const read = amqplib.decode(id, Buffer.from(written.subarray(4)))
          for (const [name, value] of Object.entries(theirs))
            assert.deepStrictEqual(read[name], value, `${method._tag}.${name}`)
          if (!spec.fields.includes(":table")) {
            assert.strictEqual(Buffer.from(written).toString("hex"), frame.subarray(7, -1).toString("hex"), method._tag)
          }
          compared++
        }
      }
    }
    assert.strictEqual(compared, 64 * 200)
  }, 60_000)
})

const given = (properties: object): Fields =>
  Object.fromEntries(Object.entries(properties).filter(([, value]) => value !== undefined))

const argument = (type: string, r: Random): unknown => {
  switch (type) {
    case "bit":
      return r.next() < 0.5
    case "octet":
      return r.below(256)
    case "short":
      return r.below(65_536)
    case "long":
      return r.below(2 ** 32)
    case "longlong":
      return r.below(2 ** 32) * r.below(2 ** 20)
    case "longbytes":
      return Uint8Array.from({ length: r.below(40) }, () => r.below(256))
    case "table":
      return table(r)
    default:
      return text(r, 60)
  }
}

/** amqplib takes long strings as Buffers, which text is not. */
const forAmqplib = (tag: string, name: string, value: unknown): unknown =>
  value instanceof Uint8Array || (tag === "connection.start" && (name === "mechanisms" || name === "locales"))
    ? Buffer.from(value as Uint8Array)
    : value
