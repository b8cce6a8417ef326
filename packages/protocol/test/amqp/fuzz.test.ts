import * as fs from "node:fs"
import { AmqpError } from "@apium/protocol/amqp/AmqpError"
import * as Constants from "@apium/protocol/amqp/Constants"
import * as FieldTable from "@apium/protocol/amqp/FieldTable"
import * as Method from "@apium/protocol/amqp/Method"
import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { type Random, random } from "../support/Random.ts"
import * as Frames from "./support/Frames.ts"
import { mutate } from "./support/Mutate.ts"

const sessions = 20_000
const known = new Set(Constants.replyCodes.map(({ code }) => code))

/** What became of hostile octets: `ok`, or the reply code of a typed error. Anything else is thrown. */
const outcome = (bytes: Uint8Array, r: Random): string => {
  let seen = ""
  const { parser } = Frames.listen({
    side: r.pick(["client", "server", "either"]),
    frameMax: r.pick([4096, 131_072, 0]),
    maxMessageSize: 100_000,
    copy: r.next() < 0.5,
    onCommand: ({ content }) => {
      if (content === undefined) return
      assert.isObject(content.properties)
      const headers = content.headers()
      if (Result.isFailure(headers)) {
        assert.instanceOf(headers.failure, AmqpError)
        seen += "!"
      }
    },
    onRefused: (error) => {
      assert.strictEqual(error.replyCode, Constants.contentTooLarge)
      seen += "~"
    }
  })
  for (let at = 0; at < bytes.length;) {
    const size = r.next() < 0.5 ? bytes.length : 1 + r.below(500)
    const pushed = parser.push(bytes.subarray(at, at + size))
    if (Result.isFailure(pushed)) {
      assert.instanceOf(pushed.failure, AmqpError)
      assert.isTrue(known.has(pushed.failure.replyCode))
      return `${pushed.failure.replyCode}${seen}`
    }
    at += size
  }
  return `ok${seen}`
}

describe("hostile octets", () => {
  it(`are refused with typed errors only: ${sessions} mutated sessions`, () => {
    const recorded = Frames.streams()
    const outcomes = new Map<string, number>()
    for (let seed = 0; seed < sessions; seed++) {
      const r = random(seed)
      const bytes = mutate(r.pick(recorded), r)
      let found: string
      try {
        found = outcome(bytes, r)
      } catch (error) {
        throw new Error(`seed ${seed}: ${Frames.toHex(bytes)}`, { cause: error })
      }
      const code = found.replaceAll(/[!~]+/g, (marks) => marks[0]!)
      outcomes.set(code, (outcomes.get(code) ?? 0) + 1)
    }
    // All of the ways to fail were met, and surviving, too.
    for (const code of ["ok", "501", "502", "503", "504", "505", "540", "ok!"]) {
      assert.isAbove(outcomes.get(code) ?? 0, 10, `${code} of ${JSON.stringify([...outcomes])}`)
    }
  }, 60_000)

  it("that once were found are refused the same way: corpus.txt", () => {
    const lines = fs.readFileSync(new URL("corpus.txt", import.meta.url), "utf8").split("\n")
    let count = 0
    for (const line of lines) {
      if (line === "" || line.startsWith("#")) continue
      const [expected = "", hex = ""] = line.split(" ")
      const { parser, heard } = Frames.listen({ side: "either", frameMax: 4096, maxMessageSize: 100_000 })
      const pushed = parser.push(Frames.hex(hex))
      const refused = Result.isFailure(pushed) ? pushed.failure : heard.refused[0]
      const found = refused === undefined ? "ok" : String(refused.replyCode)
      assert.strictEqual(found, expected, line)
      count++
    }
    assert.isAtLeast(count, 25)
  })

  it("in tables and methods alone are refused with typed errors only", () => {
    const table = FieldTable.encodeUnsafe({
      a: [1, { b: "x".repeat(40), c: 2n ** 60n }],
      d: 0.5,
      e: new Date(0),
      f: null
    })
    let refused = 0
    for (let seed = 0; seed < 20_000; seed++) {
      const r = random(seed)
      const bytes = Uint8Array.from(table)
      for (let count = r.below(4); count >= 0; count--) bytes[r.below(bytes.length)] = r.below(256)
      const read = FieldTable.decode(bytes)
      if (Result.isFailure(read)) {
        assert.instanceOf(read.failure, AmqpError)
        refused++
      }
      const method = Method.decode(
        Uint8Array.from([0, r.pick([10, 20, 40, 50, 60]), 0, r.pick([10, 11, 20, 30, 40]), ...bytes])
      )
      if (Result.isFailure(method)) assert.instanceOf(method.failure, AmqpError)
    }
    assert.isAbove(refused, 5000)
  }, 60_000)
})
