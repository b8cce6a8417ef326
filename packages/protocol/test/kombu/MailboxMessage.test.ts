import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { assert, describe, it } from "@effect/vitest"
import * as MailboxMessage from "@apium/protocol/kombu/MailboxMessage"
import * as Random from "../support/Random.ts"

const request = (fields: Partial<MailboxMessage.Request> = {}): MailboxMessage.Request => ({
  method: "ping",
  arguments: {},
  destination: null,
  pattern: null,
  matcher: null,
  ticket: null,
  replyTo: null,
  ...fields
})

const failure = (body: unknown): string => {
  const result = MailboxMessage.decodeRequest(body)
  return Result.isFailure(result) ? result.failure.message : assert.fail("should have failed")
}

const refusalOf = <A, E>(result: Result.Result<A, E>): E | undefined =>
  Result.isFailure(result) ? result.failure : undefined

describe("names", () => {
  it("are kombu's", () => {
    assert.strictEqual(MailboxMessage.requestExchange(), "celery.pidbox")
    assert.strictEqual(MailboxMessage.replyExchange(), "reply.celery.pidbox")
    assert.strictEqual(MailboxMessage.nodeQueue("worker1@wire"), "worker1@wire.celery.pidbox")
    assert.strictEqual(MailboxMessage.replyQueue("oid", "other"), "oid.reply.other.pidbox")
  })
})

describe("matches", () => {
  const glob = (pattern: string, node: string) => MailboxMessage.matches(request({ pattern, matcher: "glob" }), node)
  const pcre = (pattern: string, node: string) => MailboxMessage.matches(request({ pattern, matcher: "pcre" }), node)

  it("everybody, or the destination, or the pattern", () => {
    assert.isTrue(MailboxMessage.matches(request(), "a"))
    assert.isTrue(MailboxMessage.matches(request({ destination: [] }), "a"))
    assert.isTrue(MailboxMessage.matches(request({ destination: ["b", "a"] }), "a"))
    assert.isFalse(MailboxMessage.matches(request({ destination: ["b"] }), "a"))
    assert.isFalse(MailboxMessage.matches(request({ destination: ["b"], pattern: "a*", matcher: "glob" }), "a1"))
  })

  it.each([
    ["*2@wire", "worker2@wire", true],
    ["worker*", "worker1@wire", true],
    ["worker?@*", "worker12@wire", false],
    ["worker[12]@wire", "worker2@wire", true],
    ["worker[!12]@wire", "worker2@wire", false],
    ["worker[0-9]@wire", "worker7@wire", true],
    ["w[]]x", "w]x", true],
    ["w[x", "w[x", true],
    ["(a+)+.$^", "(a+)+.$^", true],
    ["", "", true],
    ["*", "", true],
    ["?", "", false]
  ])("glob %s on %s is %s", (pattern, node, expected) => {
    // an empty pattern is none
    assert.strictEqual(MailboxMessage.matchesGlob(pattern, node), expected)
    if (pattern !== "") assert.strictEqual(glob(pattern, node), expected)
  })

  it("is fast on hostile globs and patterns", () => {
    assert.isFalse(glob(`${"*a".repeat(2000)}b`, "a".repeat(4000)))
    assert.isFalse(pcre("a*a*a*b", "a".repeat(255)))
  })

  it("anchors pcre at the start, as re.match", () => {
    assert.isTrue(pcre("worker[12]@.*", "worker2@wire"))
    assert.isTrue(pcre("worker", "worker2@wire"))
    assert.isFalse(pcre("wire", "worker2@wire"))
    assert.isTrue(pcre("(?:a|w)?orker\\d{1,2}@", "worker12@wire"))
  })

  it.each([
    ["(a+)+$"],
    ["(a|a)*b"],
    ["(?=a)"],
    ["(?P<n>a)"],
    ["(a)\\1"],
    ["(((a*)))*"],
    ["a*b*c*d*"],
    ["["],
    ["("],
    ["a".repeat(201)],
    ["(a|b){9}"]
  ])("does not run the pcre %s", (pattern) => {
    assert.isFalse(pcre(pattern, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!"))
    assert.include(failure({ method: "ping", pattern, matcher: "pcre" }), "not run")
  })
})

describe("requests and replies", () => {
  it("leave out what is not wanted", () => {
    assert.deepStrictEqual(Object.keys(MailboxMessage.encodeRequest(request())), [
      "method",
      "arguments",
      "destination",
      "pattern",
      "matcher"
    ])
    const full = request({ ticket: "t", replyTo: { exchange: "e", routingKey: "k" }, destination: ["a"] })
    assert.deepStrictEqual(Result.getOrThrow(MailboxMessage.decodeRequest(MailboxMessage.encodeRequest(full))), full)
  })

  it("say which field is wrong", () => {
    assert.include(failure(null), "A mailbox request should be an object, and is null")
    assert.include(failure({}), "method should be a name, and is missing")
    assert.include(failure({ method: "x", arguments: [] }), "arguments")
    assert.include(failure({ method: "x", destination: [1] }), "destination")
    assert.include(failure({ method: "x", matcher: "regex" }), "matcher")
    assert.include(failure({ method: "x", reply_to: {} }), "reply_to.routing_key")
    assert.isTrue(Result.isFailure(MailboxMessage.decodeReply({ a: 1, b: 2 })))
    assert.isTrue(Result.isFailure(MailboxMessage.decodeReply({})))
  })

  it("expire", () => {
    assert.isTrue(MailboxMessage.isExpired({ clock: 1, expires: 10 }, 10_001))
    assert.isFalse(MailboxMessage.isExpired({ clock: 1, expires: 10 }, 9_999))
    assert.isFalse(MailboxMessage.isExpired({ clock: 1, expires: 0 }, 10_001))
  })

  it("carry a node named __proto__", () => {
    const reply = { node: "__proto__", value: { ok: 1 } }
    assert.deepStrictEqual(Result.getOrThrow(MailboxMessage.decodeReply(MailboxMessage.encodeReply(reply))), reply)
  })

  it.prop("mutated ones are messages or typed errors", [Schema.Int], ([seed]) => {
    const r = Random.random(seed)
    const full = request({
      ticket: "t",
      replyTo: { exchange: "e", routingKey: "k" },
      destination: ["a"],
      pattern: "a*",
      matcher: "pcre"
    })
    const mutated = Random.mutate(r, MailboxMessage.encodeRequest(full))
    const results = [
      refusalOf(MailboxMessage.decodeRequest(mutated)),
      refusalOf(MailboxMessage.decodeReply(mutated)),
      refusalOf(
        MailboxMessage.decodeRequestHeaders(
          (Random.mutate(r, { clock: 1, expires: 2 }) ?? {}) as Record<string, unknown>
        )
      )
    ]
    for (const result of results) {
      assert.isTrue(result === undefined || result._tag === "InvalidMailboxMessage")
    }
  })
})
