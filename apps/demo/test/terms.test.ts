import { assert, describe, it } from "@effect/vitest"
import * as Terms from "#demo/terms"

const terms = (text: string) => Object.fromEntries(Terms.count(text).counts)

describe("terms", () => {
  it("are words in lower case", () => {
    assert.deepStrictEqual(terms("Celery, celery; CELERY!"), { celery: 3 })
  })

  it("are the words that a name in source code is made of", () => {
    assert.deepStrictEqual(terms("MemoryTransport queue_name HTTPServer"), {
      memory: 1,
      transport: 1,
      queue: 1,
      name: 1,
      http: 1,
      server: 1
    })
  })

  it("are not what every text has", () => {
    assert.deepStrictEqual(terms("the const of an export with return x it"), {})
  })

  it("come in any script, and composed or not they are the same", () => {
    assert.deepStrictEqual(terms("grün gru\u0308n 世界 мир"), { grün: 2, 世界: 1, мир: 1 })
  })

  it("are counted beside all words", () => {
    assert.strictEqual(Terms.count("the celery is green").words, 4)
  })

  it("are ordered by their count, then by the alphabet", () => {
    const ordered = Terms.top(
      new Map([
        ["b", 1],
        ["c", 2],
        ["a", 1]
      ]),
      2
    )
    assert.deepStrictEqual(ordered, [
      ["c", 2],
      ["a", 1]
    ])
  })
})
