/** What a peer may send to harm: by hand, where the fuzzer would hardly come upon it. */
import * as FieldTable from "@apium/protocol/amqp/FieldTable"
import * as Frame from "@apium/protocol/amqp/Frame"
import { FrameParser } from "@apium/protocol/amqp/FrameParser"
import { FrameWriter } from "@apium/protocol/amqp/FrameWriter"
import * as Method from "@apium/protocol/amqp/Method"
import * as Trace from "@apium/protocol/amqp/Trace"
import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import * as Allocations from "./support/Allocations.ts"
import * as Frames from "./support/Frames.ts"
import { leastMilliseconds } from "./support/Fuzz.ts"

const uint32 = (value: number): ReadonlyArray<number> => [
  value >>> 24,
  (value >>> 16) & 255,
  (value >>> 8) & 255,
  value & 255
]
const table = (octets: ReadonlyArray<number>): Uint8Array => Uint8Array.from([...uint32(octets.length), ...octets])
const ascii = (text: string): ReadonlyArray<number> => Array.from(text, (letter) => letter.charCodeAt(0))

/** As much as a frame of the usual size carries. */
const room = 131_072 - 100

/** One value, as often as it fits. */
const arrayOf = (item: ReadonlyArray<number>): Uint8Array => {
  const items = Array.from({ length: Math.floor(room / item.length) }, () => item).flat()
  return table([1, 0x6b, 0x41, ...uint32(items.length), ...items])
}

const fieldsOf = (field: (index: number) => ReadonlyArray<number>): Uint8Array => {
  const octets: Array<number> = []
  for (let index = 0; octets.length < room; index++) octets.push(...field(index))
  return table(octets)
}

const named = (text: string): ReadonlyArray<number> => [text.length, ...ascii(text), 0x56]

/** What took longest of all that was tried; milliseconds on the machine of 2026 where this was written, for a frame of them. */
const costly: Readonly<Record<string, Uint8Array>> = {
  // 140 ms, when each of them was an exception of the decoder's.
  "strings that are not UTF-8": arrayOf([0x53, 0, 0, 0, 1, 0xff]),
  "strings of U+FFFD": arrayOf([0x53, 0, 0, 0, 3, 0xef, 0xbf, 0xbd]),
  "strings of two octets for a character": arrayOf([0x53, 0, 0, 0, 2, 0xc3, 0xa5]),
  // 256 characters for six octets.
  "decimals of the largest scale": arrayOf([0x44, 255, 0x7f, 255, 255, 255]),
  "octets, one at a time": arrayOf([0x78, 0, 0, 0, 1, 1]),
  nothing: arrayOf([0x56]),
  "empty tables": arrayOf([0x46, 0, 0, 0, 0]),
  "fields that are all different": fieldsOf((index) => named(`k${index.toString(36)}`)),
  "fields that look like places of an array": fieldsOf((index) => named(String((index * 104_729) % 4_294_967_290))),
  "one field again and again": fieldsOf(() => named("k")),
  "__proto__ again and again": fieldsOf(() => named("__proto__"))
}

describe("a table that is costly to read", () => {
  for (const [name, octets] of Object.entries(costly)) {
    it(`takes no longer than 50 ms for the octets of a frame: ${name}`, () => {
      assert.isBelow(
        leastMilliseconds(() => FieldTable.decodeUnsafe(octets)),
        50
      )
    })
  }
})

describe("a table that is nested", () => {
  it("ten thousand levels is refused at the 65th, of tables and of arrays, before the stack is any deeper", () => {
    const tables = [...uint32(0)]
    const arrays: Array<number> = []
    for (let level = 0; level < 64; level++) {
      // The lengths are honest.
      tables.unshift(...uint32(tables.length + 3), 1, 0x6b, 0x46)
      arrays.unshift(0x41, ...uint32(arrays.length))
    }
    for (const octets of [Uint8Array.from(tables), table([1, 0x6b, ...arrays])]) {
      const read = FieldTable.decode(octets)
      assert.isTrue(Result.isFailure(read) && read.failure.message.includes("more than 64 levels"))
    }
    // So deep that honest lengths are most of it.
    const deep: Array<number> = []
    for (let level = 10_000; level > 0; level--) deep.push(...uint32(level * 7), 1, 0x6b, 0x46)
    const read = FieldTable.decode(Uint8Array.from([...deep, 0, 0, 0, 0]))
    assert.isTrue(Result.isFailure(read) && read.failure.replyCode === 502)
  })
})

describe("a length that lies", () => {
  const lengths = [0x7fff_ffff, 0x8000_0000, 0xffff_ffff]

  it("in a table takes no memory, whatever the type", () => {
    for (const letter of "SxFA") {
      for (const length of lengths) {
        const octets = table([1, 0x6b, ...ascii(letter), ...uint32(length), 1, 2, 3])
        const taken = Allocations.count(() => assert.isTrue(Result.isFailure(FieldTable.decode(octets))))
        assert.isBelow(taken, 100)
      }
    }
    for (const length of lengths) assert.isTrue(Result.isFailure(FieldTable.decode(Uint8Array.from(uint32(length)))))
  })

  it("in a frame takes no more memory than a frame of the usual size, even where frames have no limit", () => {
    for (const cut of [7, 8, 100]) {
      const frame = Uint8Array.from([3, 0, 1, ...uint32(0x7fff_ffff), ...new Uint8Array(cut - 7)])
      const parser = new FrameParser(() => undefined, 0)
      assert.isAtMost(
        Allocations.count(() => parser.pushUnsafe(frame)),
        131_072 + 100
      )
      assert.strictEqual(parser.buffered, cut)
    }
  })

  it("does not keep a frame of a megabyte from coming whole, in pieces of any size, where frames have no limit", () => {
    const payload = Uint8Array.from({ length: 1 << 20 }, (_, index) => (index * 31) >>> 3)
    const frame = Frame.encode({ type: 3, channel: 1, payload })
    for (const size of [1000, 70_001, 131_072, 131_073, 1_000_000, frame.length - 1]) {
      const got: Array<Uint8Array> = []
      const parser = new FrameParser((_type, _channel, bytes, start, end) => void got.push(bytes.slice(start, end)), 0)
      for (let at = 0; at < frame.length; at += size) parser.pushUnsafe(frame.subarray(at, at + size))
      parser.pushUnsafe(Frame.heartbeat())
      assert.deepStrictEqual(
        got.map(({ length }) => length),
        [payload.length, 0]
      )
      assert.isTrue(got[0]!.every((octet, index) => octet === payload[index]))
    }
  })

  it("in octets that once broke a client in Go is refused, or waited for", () => {
    // The three of amqp091-go's read_test.go: a heartbeat of 808,464,432 octets, a header of 4 GB, a body whose end is missing.
    const refused = (octets: string): unknown => {
      const pushed = Frames.listen().parser.push(Uint8Array.from(Buffer.from(octets, "latin1")))
      return Result.isFailure(pushed) ? pushed.failure.replyCode : "waits"
    }
    assert.strictEqual(refused("\b000000"), 501)
    assert.strictEqual(refused("\x02\x16\x10\xef\xbf\xbd[\xef\xbf\xbd\xef\xbf\xbd\t"), 501)
    assert.strictEqual(refused("\x0300\0\0\0\x040000"), "waits")
    assert.strictEqual(refused("\x0300\0\0\0\x040000\0"), 501)
  })
})

describe("a name that an object of JavaScript has", () => {
  const names = ["__proto__", "constructor", "prototype", "toString", "hasOwnProperty", "__defineGetter__", "valueOf"]
  const hostile = (): Record<string, unknown> => {
    const fields: Record<string, unknown> = Object.fromEntries(names.map((name) => [name, { polluted: true }]))
    return Object.fromEntries([
      ...Object.entries(fields),
      ...names.map((name) => [`${name}2`, [{ [name]: 1 }, fields]])
    ])
  }
  const before = Object.getOwnPropertyNames(Object.prototype)

  it("is a key like any other, in a table and in what it holds, and comes back as it went", () => {
    const sent = hostile()
    const read = FieldTable.decodeUnsafe(FieldTable.encodeUnsafe(sent))
    assert.deepStrictEqual(read, sent)
    assert.deepStrictEqual(Object.keys(read), Object.keys(sent))
    for (const name of names) assert.isTrue(Object.hasOwn(read, name), name)
    assert.strictEqual(Object.getPrototypeOf(read), Object.prototype)
    assert.isUndefined(({} as Record<string, unknown>)["polluted"])
    assert.deepStrictEqual(Object.getOwnPropertyNames(Object.prototype), before)
  })

  it("goes through headers, arguments and the properties of a peer, and into a trace, without a change to any other object", () => {
    const writer = new FrameWriter(131_072)
    const fields = hostile()
    writer.method(0, Method.connectionStart({ serverProperties: fields }))
    writer.method(1, Method.queueDeclare({ arguments: fields }))
    writer.content(1, Method.basicDeliver(), {
      properties: { appId: "__proto__" },
      headers: fields,
      body: new Uint8Array(1)
    })
    const lines: Array<string> = []
    const { parser } = Frames.listen({
      onCommand: (command) => {
        lines.push(Trace.command("s2c", command))
        if (command.content !== undefined) assert.deepStrictEqual(command.content.headersUnsafe(), fields)
      }
    })
    parser.pushUnsafe(Frames.concat(writer.take()))
    assert.strictEqual(lines.length, 3)
    assert.isUndefined(({} as Record<string, unknown>)["polluted"])
    assert.deepStrictEqual(Object.getOwnPropertyNames(Object.prototype), before)
  })
})
