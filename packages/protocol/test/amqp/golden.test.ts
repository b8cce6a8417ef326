import type * as Command from "@apium/protocol/amqp/Command"
import * as FieldTable from "@apium/protocol/amqp/FieldTable"
import * as BasicProperties from "@apium/protocol/amqp/BasicProperties"
import * as FrameParser from "@apium/protocol/amqp/FrameParser"
import { type ContentMethod, FrameWriter } from "@apium/protocol/amqp/FrameWriter"
import * as Json from "@apium/protocol/kombu/Json"
import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { fixture } from "../support/Captures.ts"
import * as Frames from "./support/Frames.ts"

type Fields = Readonly<Record<string, unknown>>

const revive = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(revive)
  if (typeof value !== "object" || value === null) return value
  const record = value as Fields
  if (typeof record.$bytes === "string") return Uint8Array.from(Buffer.from(record.$bytes, "base64"))
  if (typeof record.$timestamp === "string")
    return new Date(/[Z+]/.test(record.$timestamp) ? record.$timestamp : `${record.$timestamp}Z`)
  if (typeof record.$decimal === "string") return new Json.Decimal(record.$decimal)
  if (typeof record.$float === "string") return { nan: Number.NaN, inf: Number.POSITIVE_INFINITY }[record.$float]
  return Object.fromEntries(Object.entries(record).map(([key, item]) => [key, revive(item)]))
}

describe("captured frames", () => {
  it("come back with the same octets", () => {
    const counts = { frames: 0, commands: 0, cut: 0 }
    for (const [file, frames] of Frames.files()) {
      for (const dir of ["c2s", "s2c"] as const) {
        for (const side of Map.groupBy(
          frames.filter((frame) => frame.dir === dir),
          ({ conn }) => conn
        ).values()) {
          const sent = side.filter(({ type }) => type !== "protocol-header")
          counts.frames += sent.length
          const commands: Array<Command.Command> = []
          const { parser } = Frames.listen({
            side: dir === "s2c" ? "client" : "server",
            onCommand: (command) => void commands.push(command)
          })
          let expected: Array<Uint8Array> = []
          const writer = new FrameWriter(131_072)
          for (const frame of sent) {
            if (frame.bytes === undefined) {
              // The capture kept a checksum: what its channel had begun is lost with it.
              counts.cut++
              parser.forget(frame.channel)
              expected = []
              continue
            }
            if (frame.type === "body" && expected.length === 0) continue
            parser.pushUnsafe(frame.bytes)
            if (frame.type === "heartbeat") {
              writer.heartbeat()
              assert.deepStrictEqual(Frames.concat(writer.take()), frame.bytes)
              continue
            }
            expected.push(frame.bytes)
            for (const { channel, method, content } of commands.splice(0)) {
              counts.commands++
              if (content === undefined) writer.method(channel, method)
              else writer.content(channel, method as ContentMethod, content.toWritten())
              const ours = Frames.toHex(Frames.concat(writer.take()))
              assert.strictEqual(ours, Frames.toHex(Frames.concat(expected)), `${file} ${method._tag}`)
              expected = []
            }
          }
        }
      }
    }
    assert.deepStrictEqual(counts, { frames: 596, commands: 482, cut: 9 })
  })

  it("name the method that was captured", () => {
    const tags = new Set<string>()
    for (const frames of Frames.files().values()) {
      for (const { bytes, method, type } of frames) {
        if (type !== "method" || bytes === undefined) continue
        const { commands } = pushed(bytes)
        const tag = commands[0]?.method._tag ?? method
        assert.strictEqual(tag, method)
        tags.add(tag!)
      }
    }
    assert.isAbove(tags.size, 40)
  })

  const pushed = (bytes: Uint8Array): { readonly commands: ReadonlyArray<Command.Command> } => {
    const commands: Array<Command.Command> = []
    Frames.listen({ onCommand: (command) => void commands.push(command) }).parser.pushUnsafe(bytes)
    return { commands }
  }

  it("are found in whole sessions", () => {
    for (const stream of Frames.streams()) {
      const frames = Result.getOrThrow(FrameParser.parseAll(stream))
      assert.strictEqual(
        frames.reduce((sum, { payload }) => sum + payload.length + 8, 0),
        stream.length
      )
    }
  })
})

describe("captured tables", () => {
  /** What JavaScript cannot tell apart. */
  const exceptions: Readonly<Record<string, string>> = {
    float_integral: "1.0 is 1 here, and goes as an integer",
    timestamp_usec_lost: "py-amqp's own loss"
  }

  it("of RabbitMQ's dialect mean what RabbitMQ says", () => {
    const { vectors } = fixture("5.6.3/codec/table_decode.json") as { readonly vectors: ReadonlyArray<Fields> }
    for (const { tableHex, expected, tag } of vectors) {
      const table = Result.getOrThrow(FieldTable.decode(Frames.hex(String(tableHex))))
      assert.deepStrictEqual(table, { k: revive(expected) }, String(tag))
    }
    assert.isAtLeast(vectors.length, 25)
  })

  it("of py-amqp are read, and written octet for octet", () => {
    const { vectors } = fixture("5.6.3/codec/table_encode.json") as { readonly vectors: ReadonlyArray<Fields> }
    let same = 0
    for (const { name, tableHex } of vectors) {
      if (typeof tableHex !== "string") continue
      const table = Result.getOrThrow(FieldTable.decode(Frames.hex(tableHex)))
      if (String(name) in exceptions) continue
      assert.strictEqual(Frames.toHex(FieldTable.encodeUnsafe(table)), tableHex, String(name))
      same++
    }
    assert.isAbove(same, 30)
  })

  it("of values Python has are what Python writes", () => {
    const { vectors } = fixture("5.6.3/codec/table_encode.json") as { readonly vectors: ReadonlyArray<Fields> }
    for (const { name, value, tableHex } of vectors) {
      if (typeof tableHex !== "string" || String(name) in exceptions) continue
      assert.strictEqual(Frames.toHex(FieldTable.encodeUnsafe({ k: revive(value) })), tableHex, String(name))
    }
  })

  it("of properties come back the same", () => {
    const { vectors } = fixture("5.6.3/codec/basic_properties.json") as { readonly vectors: ReadonlyArray<Fields> }
    for (const { flagsAndPropertiesHex } of vectors) {
      if (typeof flagsAndPropertiesHex !== "string") continue
      const { properties, headers } = Result.getOrThrow(BasicProperties.decode(Frames.hex(flagsAndPropertiesHex)))
      assert.strictEqual(Frames.toHex(BasicProperties.encodeUnsafe(properties, headers)), flagsAndPropertiesHex)
    }
  })
})
