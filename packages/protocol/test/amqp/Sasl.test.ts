import * as Method from "@apium/protocol/amqp/Method"
import * as Sasl from "@apium/protocol/amqp/Sasl"
import { assert, describe, it } from "@effect/vitest"
import { Redacted, Result } from "effect"
import * as Frames from "./support/Frames.ts"

const guest: Sasl.Credentials = { username: "guest", password: Redacted.make("guest") }

const captured = (file: string): Method.ConnectionStartOk => {
  const frame = Frames.files()
    .get(file)!
    .find(({ method }) => method === "connection.start-ok")!
  return Method.decodeUnsafe(frame.bytes!.subarray(7, -1)) as Method.ConnectionStartOk
}

describe("logging in", () => {
  it("writes the responses that py-amqp writes", () => {
    for (const file of ["5.6.3/session_login_amqplain.json", "5.6.3/producer_delay.json"]) {
      const { mechanism, response } = captured(file)
      const known = mechanism as Sasl.Mechanism
      const { username, password } = Result.getOrThrow(Sasl.identify(known, response))!
      assert.deepStrictEqual(Sasl.respond(known, { username, password }), response, file)
    }
    assert.strictEqual(captured("5.6.3/session_login_amqplain.json").mechanism, "AMQPLAIN")
    assert.deepStrictEqual(Sasl.respond("PLAIN", guest), new TextEncoder().encode("\0guest\0guest"))
    assert.strictEqual(Sasl.respond("EXTERNAL").length, 0)
    assert.strictEqual(Sasl.respond("ANONYMOUS").length, 0)
  })

  it("chooses by what there is to say, and what the server offers", () => {
    const rows: ReadonlyArray<
      readonly [string, Sasl.Credentials | undefined, ReadonlyArray<string> | undefined, string]
    > = [
      ["PLAIN AMQPLAIN", guest, undefined, "PLAIN"],
      ["AMQPLAIN", guest, undefined, "AMQPLAIN"],
      ["AMQPLAIN PLAIN EXTERNAL", guest, ["EXTERNAL", "PLAIN"], "EXTERNAL"],
      ["PLAIN EXTERNAL", undefined, undefined, "EXTERNAL"],
      ["ANONYMOUS PLAIN", undefined, undefined, "ANONYMOUS"],
      ["PLAIN EXTERNAL", undefined, ["PLAIN", "EXTERNAL"], "EXTERNAL"]
    ]
    for (const [offered, credentials, wanted, expected] of rows) {
      assert.strictEqual(Result.getOrThrow(Sasl.choose(offered, credentials, wanted)), expected)
    }
  })

  it("fails with both lists where they have nothing in common", () => {
    for (const wanted of [["GSSAPI"], [], ["PLAIN"]]) {
      const chosen = Sasl.choose("EXTERNAL RABBIT-CR-DEMO", guest, wanted)
      if (Result.isSuccess(chosen)) throw new Error("This should have failed")
      assert.deepStrictEqual(chosen.failure.offered, ["EXTERNAL", "RABBIT-CR-DEMO"])
      assert.deepStrictEqual(chosen.failure.wanted, wanted)
    }
    assert.isTrue(Result.isFailure(Sasl.choose("PLAIN", undefined)))
  })

  it("refuses a response that names nobody, and shows nothing of it", () => {
    for (const mechanism of ["PLAIN", "AMQPLAIN"] as const) {
      for (const response of ["", "hunter2", "\0hunter2", "\0a\0b\0hunter2", "\u0005LOGINS\0\0\0\u0001ahunter2"]) {
        const read = Sasl.identify(mechanism, new TextEncoder().encode(response))
        if (Result.isSuccess(read)) throw new Error(`${JSON.stringify(response)} should have been refused`)
        assert.strictEqual(read.failure.replyCode, 403)
        assert.notInclude(JSON.stringify(read.failure), "hunter2")
      }
    }
  })
})
