import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { assert, describe, it } from "@effect/vitest"
import * as Content from "@apium/protocol/kombu/Content"
import * as Json from "@apium/protocol/kombu/Json"
import { msgpack } from "@apium/protocol/kombu/Msgpack"
import { yaml } from "@apium/protocol/kombu/Yaml"
import * as Random from "../support/Random.ts"

const utf8 = (text: string) => new TextEncoder().encode(text)
const registry = Content.registry()
const all = Content.registry([Content.json, Content.text, Content.bytes, msgpack, yaml])

const refusal = (self: Content.Registry, body: Uint8Array, type: string | undefined, encoding?: string) => {
  const result = Content.decode(self, body, type, encoding)
  assert.isTrue(Result.isFailure(result))
  return (result as Result.Failure<unknown, Content.ContentDisallowed | Content.DecodeFailed>).failure
}

describe("registry", () => {
  it("reads by content type and writes by name", () => {
    const encoded = Result.getOrThrow(Content.encode(registry, "json", { a: 1 }))
    assert.deepStrictEqual(encoded, {
      body: utf8('{"a":1}'),
      contentType: "application/json",
      contentEncoding: "utf-8"
    })
    assert.deepStrictEqual(Result.getOrThrow(Content.decode(registry, encoded.body, encoded.contentType, "utf-8")), {
      a: 1
    })
    assert.deepStrictEqual(Content.decodeUnsafe(registry, encoded.body, "Application/JSON; charset=utf-8"), { a: 1 })
    assert.deepStrictEqual(Content.decodeUnsafe(registry, utf8("x"), "text/plain"), "x")
    assert.deepStrictEqual(Content.decodeUnsafe(registry, Uint8Array.of(255), undefined), Uint8Array.of(255))
  })

  it("leaves what was written before as it is, whatever is written after it", () => {
    const texts = Array.from({ length: 600 }, (_, index) => ["x", "é", "€", "𝄞"][index % 4]!.repeat(index * 3))
    const bodies = texts.map((text) => Content.encodeUnsafe(registry, "json", text).body)
    assert.deepStrictEqual(
      bodies.map((body) => Content.decodeUnsafe(registry, body, "application/json", "utf-8")),
      texts
    )
  })

  it("honours the content encoding", () => {
    assert.strictEqual(Content.decodeUnsafe(registry, Uint8Array.of(0xe5), "text/plain", "latin-1"), "å")
    assert.strictEqual(Content.decodeUnsafe(registry, utf8("a"), "text/plain", "us-ascii"), "a")
    assert.deepStrictEqual(
      Content.decodeUnsafe(registry, Uint8Array.of(0x22, 0xe5, 0x22), "application/json", "iso-8859-1"),
      "å"
    )
    assert.include(refusal(registry, utf8("a"), "text/plain", "klingon").message, "klingon")
    assert.strictEqual(refusal(registry, Uint8Array.of(0xff), "text/plain", "utf-8")._tag, "DecodeFailed")
    assert.strictEqual(refusal(registry, new Uint8Array(0), "application/json")._tag, "DecodeFailed")
  })

  it("names what to add for content that is not accepted", () => {
    assert.include(refusal(registry, utf8(""), "application/x-msgpack").message, "@apium/protocol/kombu/Msgpack")
    assert.include(refusal(registry, utf8(""), "application/x-yaml").message, "@apium/protocol/kombu/Yaml")
    assert.include(refusal(registry, utf8(""), "application/x-python-serialize").message, "pickle is refused always")
    assert.include(refusal(registry, utf8(""), "__proto__").message, "__proto__")
    assert.include(refusal(Content.accepting(all, ["json"]), utf8("x"), "text/plain").message, "add it to accept")
    assert.isTrue(Content.accepting(all, ["msgpack", "application/json"]).accept.has("application/x-msgpack"))
  })

  it("refuses pickle even when somebody brings a serializer for it", () => {
    const pickle = { ...Content.json, name: "pickle", contentType: "application/x-python-serialize" }
    const self = Content.registry([pickle], { accept: ["pickle"] })
    assert.strictEqual(refusal(self, utf8("{}"), "application/x-python-serialize")._tag, "ContentDisallowed")
  })

  it("says where a value cannot be written", () => {
    const result = Content.encode(registry, "json", { a: [() => 1] })
    assert.isTrue(
      Result.isFailure(result) && result.failure._tag === "EncodeFailed" && result.failure.path === "$.a[0]"
    )
    const unknown = Content.encode(registry, "pickle", 1)
    assert.isTrue(Result.isFailure(unknown) && unknown.failure._tag === "ContentDisallowed")
    assert.isTrue(Result.isFailure(Content.encode(registry, "text", 1)))
    assert.isTrue(Result.isFailure(Content.encode(registry, "bytes", "1")))
  })
})

describe("compression names", () => {
  it("knows that gzip is a zlib stream", () => {
    assert.strictEqual(Content.compressionContentType("gzip"), "application/x-gzip")
    assert.strictEqual(Content.compressionContentType("zlib"), "application/x-gzip")
    assert.strictEqual(Content.compressionContentType("application/x-gzip"), "application/x-gzip")
    assert.strictEqual(Content.compressionName("application/x-gzip"), "zlib")
    assert.strictEqual(Content.compressionName("application/zstd"), "zstd")
    assert.strictEqual(Content.compressionContentType("xz"), "application/x-lzma")
    assert.isUndefined(Content.compressionContentType("constructor"))
  })
})

describe("msgpack", () => {
  const trip = (value: unknown) => msgpack.decode(msgpack.encode(value))

  it("tells text from octets, and keeps integers exact", () => {
    const value = {
      s: "å",
      b: Uint8Array.of(1, 2),
      big: 2n ** 63n,
      wide: 2 ** 40,
      low: -(2 ** 40),
      list: [1.5, null, true]
    }
    assert.deepStrictEqual(trip(value), value)
    assert.deepStrictEqual(trip({ wide: 2 ** 40, u: undefined }), { wide: 2 ** 40 })
    // 0xd3: a 64-bit integer even beside a bigint, where the library alone would write a float
    assert.include([...msgpack.encode([2n ** 63n, 2 ** 40])], 0xcf)
    assert.notInclude([...msgpack.encode([2n ** 63n, 2 ** 40])], 0xcb)
  })

  it.each([[2n ** 64n], [() => 1], [new Json.Decimal("1")], [new Map()]])("refuses %s", (value) => {
    assert.isTrue(Result.isFailure(Content.encode(all, "msgpack", [value])))
  })

  it("bounds depth and refuses __proto__", () => {
    const deep = new Uint8Array(100_000).fill(0x91)
    assert.isTrue(Result.isFailure(Content.decode(all, deep, "application/x-msgpack")))
    deep[99_999] = 0
    assert.isTrue(Result.isFailure(Content.decode(all, deep, "application/x-msgpack")))
    const polluting = Uint8Array.of(0x81, 0xa9, ...utf8("__proto__"), 0x80)
    assert.isTrue(Result.isFailure(Content.decode(all, polluting, "application/x-msgpack")))
  })
})

describe("yaml", () => {
  const read = (text: string) => yaml.decode(utf8(text))

  it("reads the compact lists that PyYAML writes", () => {
    assert.deepStrictEqual(read("- - 1\n  - 2\n- {}\n- callbacks: null\n  chain: null\n"), [
      [1, 2],
      {},
      { callbacks: null, chain: null }
    ])
    assert.deepStrictEqual(read("- - - - 1\n      - 2\n    - 3\n- - a: 1\n    b:\n    - - 2\n"), [
      [[[1, 2], 3]],
      [{ a: 1, b: [[2]] }]
    ])
  })

  it("leaves dashes inside of texts alone", () => {
    assert.deepStrictEqual(read("- - a\n    - - b\n  - 1\n"), [["a - - b", 1]])
    assert.deepStrictEqual(read("k: |\n  - - x\n  - y\nl:\n- - 1\n"), { k: "- - x\n- y\n", l: [[1]] })
    assert.deepStrictEqual(read('- - "a\n    - - b"\n'), [["a - - b"]])
  })

  it("writes what PyYAML reads as the same", () => {
    const text = new TextDecoder().decode(
      yaml.encode({ a: [1e21, 1e-7, 1.5], b: Number.NaN, c: "\u2028", d: 2n ** 70n })
    )
    assert.strictEqual(text, '{"a": [1.0e+21, 1.0e-7, 1.5], "b": .nan, "c": "\\u2028", "d": 1180591620717411303424}\n')
    assert.isTrue(Result.isFailure(Content.encode(all, "yaml", [Uint8Array.of(1)])))
  })

  it("reads what it wrote: integers of any size, numbers that are none, and keys of any length", () => {
    const value = {
      numbers: [2n ** 53n + 1n, -(10n ** 40n), 2 ** 53, 1e20, 1e300, Number.NEGATIVE_INFINITY, Number.NaN],
      text: ["1e3", ".inf", "? ", '"? .nan", .inf'],
      ["k".repeat(2000)]: 1,
      ['"? '.repeat(300)]: [".nan"]
    }
    assert.deepStrictEqual(yaml.decode(yaml.encode(value)), value)
  })

  it("keeps integers of any size, and what only YAML 1.2 takes for a number or a constant", () => {
    assert.deepStrictEqual(read("- - 9007199254740993\n  - -10000000000000000000000\n  - 9007199254740991\n"), [
      [9007199254740993n, -(10n ** 22n), 9007199254740991]
    ])
    assert.throws(() => read(`- - ${"9".repeat(5000)}\n`), "more than 4300 digits")
    const plain = [
      "1e3",
      "-12E5",
      "1.5e3",
      "1e400",
      "0o17",
      "tRue",
      "5e-3",
      "-.5",
      "+.5",
      "0X1F",
      "_1",
      "_-1",
      "-_1.5",
      "_0x2"
    ]
    for (const text of plain) {
      assert.deepStrictEqual(read(`- - ${text}\n- ${text}: ${text}\n- k: ${text}\n`), [
        [text],
        { [text]: text },
        { k: text }
      ])
    }
    assert.deepStrictEqual(read("- - 1.0e+100\n  - .inf\n  - true\n"), [[1e100, Number.POSITIVE_INFINITY, true]])
  })

  it("leaves what goes on in the next line alone", () => {
    assert.deepStrictEqual(read("- - 1e3\n    words\n  - 'a\n    - 1e3\n\n    b'\n- 9007199254740993\n\n  words\n"), [
      ["1e3 words", "a - 1e3\nb"],
      "9007199254740993\nwords"
    ])
  })

  it("is a typed error where it is not YAML", () => {
    for (const text of ["[1", "a: b: c", "\t- x", "!!python/object:os.system {}", "&a [*a]", "[".repeat(50_000)]) {
      const result = Content.decode(all, utf8(text), "application/x-yaml")
      assert.isTrue(Result.isSuccess(result) || result.failure._tag === "DecodeFailed", text.slice(0, 40))
    }
  })

  it("says what to write with, and that pickle is not it", () => {
    const text = (name: string) => {
      const result = Content.encode(Content.registry(), name, 1)
      return Result.isFailure(result) ? result.failure.message : "written"
    }
    assert.include(text("pickle"), "neither written nor read")
    assert.include(text("msgpack"), "@apium/protocol/kombu/Msgpack")
    assert.include(text("jsn"), "there are json, text, bytes")
  })
})

describe("fuzz", () => {
  it.prop("mutated bodies are values or typed errors", [Schema.Int], ([seed]) => {
    const r = Random.random(seed)
    const serializer = r.pick([Content.json, msgpack, yaml, Content.text])
    const encoded = Content.encode(all, serializer.name, Random.kombuJson(r))
    const body = Result.isSuccess(encoded) ? encoded.success.body : utf8('[[1], {"a": "b"}, null]')
    const result = Content.decode(all, Random.mutateBytes(r, body), serializer.contentType, "utf-8")
    if (Result.isFailure(result)) assert.include(["DecodeFailed", "ContentDisallowed"], result.failure._tag)
  })
})
