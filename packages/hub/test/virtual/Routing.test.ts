import { topicTable } from "@apium/hub/testing/TransportSuite"
import * as Routing from "@apium/hub/virtual/Routing"
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Schema } from "effect"

/** As the definition reads, and as slow as that is. */
const naive = (pattern: ReadonlyArray<string>, words: ReadonlyArray<string>): boolean => {
  const [part, ...parts] = pattern
  if (part === undefined) return words.length === 0
  if (part === "#") return naive(parts, words) || (words.length > 0 && naive(pattern, words.slice(1)))
  return words.length > 0 && (part === "*" || part === words[0]) && naive(parts, words.slice(1))
}

/** Of few letters, so that things match; with empty words; and the empty key, which has no words. */
const words = Arbitrary.array(Arbitrary.schema(Schema.Literals(["a", "b", ""])), { maxLength: 6 })
const pattern = Arbitrary.array(Arbitrary.schema(Schema.Literals(["a", "b", "", "*", "#"])), { maxLength: 6 })

const split = (text: string) => (text === "" ? [] : text.split("."))

describe("topic patterns", () => {
  it.each(topicTable)("%j matches as RabbitMQ does", (pattern, matches, misses) => {
    for (const key of matches) assert.isTrue(Routing.topicMatches(pattern, key), JSON.stringify(key))
    for (const key of misses) assert.isFalse(Routing.topicMatches(pattern, key), JSON.stringify(key))
  })

  it.prop(
    "match what a naive matcher matches",
    { pattern, words },
    ({ pattern, words }) => {
      const [left, right] = [pattern.join("."), words.join(".")]
      assert.strictEqual(Routing.topicMatches(left, right), naive(split(left), split(right)), `${left} and ${right}`)
    },
    { arbitrary: { runs: 5000 } }
  )

  it("do not take for ever, whatever they are made of", () => {
    const pattern = "#.a.".repeat(200) + "b"
    const key = "a.".repeat(5000) + "c"
    assert.isFalse(Routing.topicMatches(pattern, key))
    assert.isTrue(Routing.topicMatches(pattern, `${"a.".repeat(5000)}b`))
  })

  it("are never a regular expression", () => {
    assert.isFalse(Routing.topicMatches("a.b", "axb"))
    assert.isFalse(Routing.topicMatches("(a+)+.b", "aaaa.b"))
    assert.isTrue(Routing.topicMatches("(a+)+.*", "(a+)+.b"))
  })
})

describe("exchange types", () => {
  const bound = { routingKey: "a.*", arguments: { a: 1 } }

  it("decide what a binding means", () => {
    assert.isTrue(Routing.matches("fanout", bound, "whatever", {}))
    assert.isTrue(Routing.matches("topic", bound, "a.b", {}))
    assert.isFalse(Routing.matches("direct", bound, "a.b", {}))
    assert.isTrue(Routing.matches("direct", bound, "a.*", {}))
    assert.isTrue(Routing.matches("headers", bound, "whatever", { a: 1 }))
    assert.isFalse(Routing.matches("headers", bound, "a.*", {}))
  })

  it("that nobody knows route as direct, as in kombu", () => {
    assert.isTrue(Routing.matches("x-own", bound, "a.*", {}))
    assert.isFalse(Routing.matches("x-own", bound, "a.b", {}))
  })

  it("take a header inherited from nowhere for none", () => {
    assert.isFalse(Routing.headersMatch({ toString: null }, {}))
    assert.isFalse(Routing.headersMatch({ constructor: null, "x-match": "any" }, {}))
  })
})
