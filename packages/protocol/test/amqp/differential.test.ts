/**
 * Our codec and amqplib's on the same random values: what one writes the other reads, and means the same by it. Python's py-amqp is compared in
 * transport-amqp/test/python, where there is a Python.
 */
import { createRequire } from "node:module"
import * as path from "node:path"
import * as BasicProperties from "@apium/protocol/amqp/BasicProperties"
import * as FieldTable from "@apium/protocol/amqp/FieldTable"
import * as Method from "@apium/protocol/amqp/Method"
import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { times } from "../../../../test/support/Times.ts"
import { random } from "../support/Random.ts"
import * as Values from "./support/Values.ts"

interface Amqplib {
  readonly encodeTable: (buffer: Buffer, table: Values.Fields, offset: number) => number
  readonly decodeFields: (bytes: Buffer) => Values.Fields
  readonly decode: (id: number, bytes: Buffer) => Values.Fields
  readonly encodeMethod: (id: number, channel: number, fields: Values.Fields) => Buffer
  readonly encodeProperties: (id: number, channel: number, size: number, fields: Values.Fields) => Buffer
}

const load = (): Amqplib => {
  const require = createRequire(import.meta.url)
  // Not among its exports: by its place.
  const lib = path.join(path.dirname(require.resolve("amqplib")), "lib")
  return { ...require(path.join(lib, "codec.js")), ...require(path.join(lib, "defs.js")) } as Amqplib
}

const amqplib = load()
const rounds = times(2000, 20_000, 100_000)
const patience = 900_000

const scratch = Buffer.alloc(1 << 22)

describe("amqplib and we", () => {
  it(
    `read each other's tables alike: ${rounds}`,
    () => {
      for (let seed = 0; seed < rounds; seed++) {
        const sent = Values.table(random(seed), Values.amqplib)
        const ours = Buffer.from(FieldTable.encodeUnsafe(sent))
        assert.deepStrictEqual(amqplib.decodeFields(ours.subarray(4)), sent, `seed ${seed}`)
        const size = amqplib.encodeTable(scratch, sent, 0)
        assert.deepStrictEqual(FieldTable.decodeUnsafe(scratch.subarray(0, size)), sent, `seed ${seed}`)
      }
    },
    patience
  )

  it("mean the same by integers of 64 bits, which amqplib writes as l", () => {
    for (const integer of [2 ** 31, -(2 ** 31) - 1, 2 ** 40, -(2 ** 50), Number.MAX_SAFE_INTEGER]) {
      const size = amqplib.encodeTable(scratch, { integer }, 0)
      assert.deepStrictEqual(FieldTable.decodeUnsafe(scratch.subarray(0, size)), { integer })
    }
  })

  it(
    `read each other's properties alike: ${rounds}`,
    () => {
      for (let seed = 0; seed < rounds; seed++) {
        const { properties, headers } = Values.content(random(seed), Values.amqplib)
        const { deliveryMode, timestamp } = properties
        const theirs = {
          ...properties,
          ...(deliveryMode === undefined ? {} : { deliveryMode: deliveryMode === "persistent" ? 2 : 1 }),
          ...(timestamp === undefined ? {} : { timestamp: timestamp.getTime() / 1000 }),
          ...(headers === undefined ? {} : { headers })
        }
        const payload = amqplib.encodeProperties(60, 1, 0, theirs).subarray(7 + 12, -1)
        const read = Result.getOrThrow(BasicProperties.decode(payload))
        assert.deepStrictEqual(Values.given(read.properties), properties as Values.Fields, `seed ${seed}`)
        assert.deepStrictEqual(read.headers, headers, `seed ${seed}`)
        const written = BasicProperties.encodeUnsafe(properties, headers)
        assert.deepStrictEqual(Values.given(amqplib.decode(60, Buffer.from(written))), theirs, `seed ${seed}`)
      }
    },
    patience
  )

  it(
    `read each other's methods alike, and write the same octets where there is no table: ${rounds}`,
    () => {
      // Those of `access` are of AMQP 0-8, and not in amqplib.
      const specs = Values.specs.filter(({ classId }) => classId !== 30)
      assert.strictEqual(specs.length, 64)
      for (let seed = 0; seed < rounds; seed++) {
        const spec = specs[seed % specs.length]!
        const id = spec.classId * 0x1_0000 + spec.methodId
        const method = Values.method(spec, random(seed), Values.amqplib)
        const theirs = Object.fromEntries(
          Object.entries(method)
            .filter(([name]) => name !== "_tag")
            .map(([name, value]) => [name, forAmqplib(method._tag, name, value)])
        )
        const payload = amqplib.encodeMethod(id, 1, theirs).subarray(7, -1)
        assert.deepStrictEqual(Result.getOrThrow(Method.decode(payload)), method, `${method._tag} seed ${seed}`)
        const written = Method.encodeUnsafe(method)
        const read = amqplib.decode(id, Buffer.from(written.subarray(4)))
        for (const [name, value] of Object.entries(theirs)) {
          assert.deepStrictEqual(read[name], value, `${method._tag}.${name} seed ${seed}`)
        }
        if (spec.fields.every(({ type }) => type !== "table")) {
          assert.strictEqual(Buffer.from(written).toString("hex"), Buffer.from(payload).toString("hex"), method._tag)
        }
      }
    },
    patience
  )
})

/** amqplib takes long strings as Buffers, which text is not. */
const forAmqplib = (tag: string, name: string, value: unknown): unknown =>
  value instanceof Uint8Array || (tag === "connection.start" && (name === "mechanisms" || name === "locales"))
    ? Buffer.from(value as Uint8Array)
    : value
