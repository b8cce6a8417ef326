import * as fs from "node:fs"
import * as Constants from "@apium/protocol/amqp/Constants"
import * as Method from "@apium/protocol/amqp/Method"
import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { source, target } from "../../spec/generate.ts"
import { classes } from "../../spec/methods.ts"
import { random } from "../support/Random.ts"

/** The formatter's share taken away. */
const bare = (text: string): string => text.replaceAll(/[\s,;"|()]/g, "")

const specs = classes.flatMap((klass) =>
  klass.methods.map((spec) => ({ klass, spec, tag: `${klass.name}.${spec.name}` }))
)

const valueOf = (type: string, next: () => number): unknown => {
  switch (type) {
    case "bit":
      return next() < 0.5
    case "octet":
      return Math.floor(next() * 256)
    case "short":
      return Math.floor(next() * 65_536)
    case "long":
      return Math.floor(next() * 2 ** 32)
    case "longlong":
      return Math.floor(next() * Number.MAX_SAFE_INTEGER)
    case "shortstr":
      return "å".repeat(Math.floor(next() * 100))
    case "longtext":
      return "x".repeat(Math.floor(next() * 1000))
    case "longbytes":
      return Uint8Array.from({ length: Math.floor(next() * 300) }, () => Math.floor(next() * 256))
    default:
      return { a: 1, b: [true, null, "x"] }
  }
}

describe("methods", () => {
  it("are generated from the table: run packages/protocol/spec/generate.ts and the formatter", () => {
    assert.strictEqual(bare(fs.readFileSync(target, "utf8")), bare(source()))
  })

  it("are the 66 that RabbitMQ knows, each with numbers of its own", () => {
    assert.strictEqual(specs.length, 66)
    assert.strictEqual(new Set(specs.map(({ klass, spec }) => `${klass.id}.${spec.id}`)).size, 66)
    assert.deepStrictEqual(Object.keys(Method.infos).toSorted(), specs.map(({ tag }) => tag).toSorted())
    for (const { klass, spec, tag } of specs) assert.strictEqual(Method.nameOf(klass.id, spec.id), tag)
    assert.strictEqual(Method.nameOf(50, 99), "50.99")
  })

  it("come back the same, each of them with any value in any field", () => {
    const { next } = random(7)
    for (const { klass, spec, tag } of specs) {
      for (let round = 0; round < 50; round++) {
        const fields = spec.fields.split(" ").flatMap((field) => {
          const [name, type] = field.split(":")
          return name === "" || type === undefined ? [] : [[name, valueOf(type, next)] as const]
        })
        const method = { _tag: tag, ...Object.fromEntries(fields) } as Method.Method
        const bytes = Result.getOrThrow(Method.encode(method))
        assert.deepStrictEqual([bytes[1], bytes[3]], [klass.id, spec.id])
        assert.deepStrictEqual(Result.getOrThrow(Method.decode(bytes)), method)
      }
    }
  })

  it("that end early or late are refused with 502, whatever the place", () => {
    for (const { tag } of specs) {
      const bytes = Method.encodeUnsafe({ ...defaults(tag) })
      for (let length = 4; length < bytes.length; length++) {
        const read = Method.decode(bytes.subarray(0, length))
        assert.isTrue(Result.isFailure(read) && read.failure.replyCode === Constants.syntaxError, `${tag} ${length}`)
      }
      const longer = Method.decode(Uint8Array.from([...bytes, 0]))
      assert.isTrue(Result.isFailure(longer) && longer.failure.replyCode === Constants.syntaxError, tag)
    }
  })

  const defaults = (tag: string): Method.Method => {
    const name = tag.replaceAll(/[.-]([a-z])/g, (_, letter: string) => letter.toUpperCase())
    const make = (Method as unknown as Record<string, (() => Method.Method) | Method.Method>)[name]!
    return typeof make === "function" ? make() : make
  }

  it("that nobody knows are refused with 540", () => {
    const read = Method.decode(Uint8Array.from([0, 60, 0, 99]))
    assert.isTrue(Result.isFailure(read))
    if (Result.isFailure(read)) assert.include(read.failure, { replyCode: 540, classId: 60, methodId: 99 })
  })

  it("refuse a field that cannot be written, by its name", () => {
    const tooLong = Method.encode(Method.queueDeclare({ queue: "q".repeat(256) }))
    assert.isTrue(Result.isFailure(tooLong) && tooLong.failure.path === "queue")
    for (const prefetchCount of [-1, 1.5, 65_536, Number.NaN, Number.POSITIVE_INFINITY]) {
      const count = Method.encode(Method.basicQos({ prefetchCount }))
      assert.isTrue(Result.isFailure(count) && count.failure.path === "prefetchCount", String(prefetchCount))
    }
    const deep = Method.encode(Method.queueDeclare({ arguments: { a: [{ b: () => 1 }] } }))
    assert.isTrue(Result.isFailure(deep) && deep.failure.path === "arguments.a[0].b")
  })

  it("say who sends them and what answers them", () => {
    assert.deepInclude(Method.infos["basic.get"], { sentBy: "client", replies: ["basic.get-ok", "basic.get-empty"] })
    for (const [tag, { replies }] of Object.entries(Method.infos)) {
      for (const reply of replies) assert.property(Method.infos, reply, tag)
    }
  })
})

describe("constants", () => {
  it("are the 25 of the specification", () => {
    const frames = [1, 2, 3, 8, 206, 4096]
    const { frameMethod, frameHeader, frameBody, frameHeartbeat, frameEnd, frameMinSize } = Constants
    assert.deepStrictEqual([frameMethod, frameHeader, frameBody, frameHeartbeat, frameEnd, frameMinSize], frames)
    assert.strictEqual(frames.length + Constants.replyCodes.length, 25)
    assert.strictEqual(Constants.replyName(404), "NOT_FOUND")
    assert.strictEqual(Constants.replyScope(406), "channel")
    assert.strictEqual(Constants.replyScope(501), "connection")
  })
})
