import * as fs from "node:fs"
import { AmqpError } from "@apium/protocol/amqp/AmqpError"
import * as FieldTable from "@apium/protocol/amqp/FieldTable"
import * as Method from "@apium/protocol/amqp/Method"
import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { times } from "../../../../test/support/Times.ts"
import { random } from "../support/Random.ts"
import * as Frames from "./support/Frames.ts"
import * as Fuzz from "./support/Fuzz.ts"

const inputs = times(20_000, 200_000, 1_000_000)

/** Beside one frame: the message that is being gathered, and the slab that small ones share. */
const beside = 65_536

describe("hostile octets", () => {
  it(`are refused with typed errors only, at once, and take no memory: ${inputs} mutated sessions`, () => {
    const all = Fuzz.sessions()
    // Tables with `__proto__` are among them.
    const builtIn = Object.getOwnPropertyNames(Object.prototype)
    const outcomes = new Map<string, number>()
    const took = new Float64Array(inputs)
    let most = 0
    for (let seed = 0; seed < inputs; seed++) {
      const { bytes, r } = Fuzz.input(all, seed)
      let judged: Fuzz.Judged
      try {
        judged = Fuzz.judge(bytes, r)
        if (judged.milliseconds >= Fuzz.slowest) {
          const least = Fuzz.leastMilliseconds(() => {
            const again = Fuzz.input(all, seed)
            Fuzz.judge(again.bytes, again.r)
          })
          assert.isBelow(least, Fuzz.slowest)
          judged = { ...judged, milliseconds: least }
        }
        assert.isAtMost(judged.above, beside)
      } catch (error) {
        throw new Error(`seed ${seed}: ${Frames.toHex(bytes)}`, { cause: error })
      }
      took[seed] = judged.milliseconds
      most = Math.max(most, judged.above)
      for (const met of judged.outcome.match(/\w+|[!~]/g)!) outcomes.set(met, (outcomes.get(met) ?? 0) + 1)
    }
    assert.deepStrictEqual(Object.getOwnPropertyNames(Object.prototype), builtIn)
    took.sort()
    const shown = [0.5, 0.999, 1].map((share) => took[Math.ceil(inputs * share) - 1]!.toFixed(3))
    console.log(
      `${inputs} inputs, seeds 0 to ${inputs - 1}: median, p99.9 and longest ${shown.join(", ")} ms; ${most} octets beside a frame at the most; ${JSON.stringify(Object.fromEntries(outcomes))}`
    )
    // All of the ways to fail were met, and surviving, too.
    for (const code of ["ok", "!", "~", "501", "502", "503", "504", "505", "540"]) {
      assert.isAbove(outcomes.get(code) ?? 0, 10, code)
    }
  }, 3_600_000)

  it("that once were found are refused the same way: corpus.txt", () => {
    const lines = fs.readFileSync(new URL("corpus.txt", import.meta.url), "utf8").split("\n")
    let count = 0
    for (const line of lines) {
      if (line === "" || line.startsWith("#")) continue
      const [expected = "", hex = ""] = line.split(" ", 2)
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
  })
})
