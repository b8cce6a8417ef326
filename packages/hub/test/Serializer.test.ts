import * as Compression from "@apium/hub/Compression"
import type { HubError } from "@apium/hub/HubError"
import * as Message from "@apium/hub/Message"
import * as Serializer from "@apium/hub/Serializer"
import * as Content from "@apium/protocol/kombu/Content"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"

const textOf = ({ body }: Message.Message) => new TextDecoder().decode(body)
const bytes = (text: string) => new TextEncoder().encode(text)
const reasonOf = <A>(effect: Effect.Effect<A, HubError>) => Effect.map(Effect.flip(effect), ({ reason }) => reason)

const accepting = (...names: ReadonlyArray<string>) =>
  Effect.provideService(Serializer.Serializers, Content.registry(undefined, { accept: names }))

describe("encode", () => {
  it.effect("writes JSON unless told otherwise, and says so", () =>
    Effect.gen(function* () {
      const message = yield* Serializer.encode({ a: [1, "ü"] })
      assert.deepStrictEqual(JSON.parse(textOf(message)), { a: [1, "ü"] })
      assert.strictEqual(message.properties.contentType, "application/json")
      assert.strictEqual(message.properties.contentEncoding, "utf-8")
      assert.deepStrictEqual(message.headers, {})
    })
  )

  it.effect("keeps the properties and headers given, and decides about the content itself", () =>
    Effect.gen(function* () {
      const message = yield* Serializer.encode("text", {
        serializer: "text",
        properties: { contentType: "image/png", messageId: "id" },
        headers: { own: 1 }
      })
      assert.strictEqual(message.properties.contentType, "text/plain")
      assert.strictEqual(message.properties.messageId, "id")
      assert.deepStrictEqual(message.headers, { own: 1 })
      assert.strictEqual(textOf(message), "text")
    })
  )

  it.effect("fails, and does not die, of a value the serializer cannot write", () =>
    Effect.gen(function* () {
      const circle: Record<string, unknown> = {}
      circle["self"] = circle
      for (const value of [circle, () => 1, Symbol("s")]) {
        assert.strictEqual((yield* reasonOf(Serializer.encode(value)))._tag, "EncodeFailed")
      }
      assert.strictEqual((yield* reasonOf(Serializer.encode(1, { serializer: "text" })))._tag, "EncodeFailed")
    })
  )

  it.effect("refuses a serializer nobody registered, and pickle always", () =>
    Effect.gen(function* () {
      for (const serializer of ["pickle", "msgpack", "nothing", ""]) {
        const reason = yield* reasonOf(Serializer.encode(1, { serializer }))
        assert.strictEqual(reason._tag, "ContentDisallowed", serializer)
      }
    })
  )
})

describe("decode", () => {
  it.effect("gives back what was encoded, by each serializer, compressed or not", () =>
    Effect.gen(function* () {
      for (const [serializer, value] of [
        ["json", { a: [1, null, "ü🌱"], at: new Date(0), big: 2n ** 70n }],
        ["text", "ü🌱"],
        ["bytes", Uint8Array.of(0, 255, 1)]
      ] as const) {
        for (const compression of [undefined, "gzip", "zlib"]) {
          const message = yield* Serializer.encode(value, { serializer, compression })
          assert.deepStrictEqual(yield* Serializer.decode(message), value)
        }
      }
    })
  )

  it.effect("refuses what is not on the accept-list, and pickle on any list", () =>
    Effect.gen(function* () {
      const json = yield* Serializer.encode({ a: 1 })
      assert.strictEqual((yield* reasonOf(Serializer.decode(json).pipe(accepting("text"))))._tag, "ContentDisallowed")
      assert.deepStrictEqual(yield* Serializer.decode(json).pipe(accepting("json")), { a: 1 })
      const pickle = Message.make(bytes("cos\nsystem\n"), {
        contentType: "application/x-python-serialize",
        contentEncoding: "binary"
      })
      const reason = yield* reasonOf(Serializer.decode(pickle).pipe(accepting("pickle", "json")))
      assert.strictEqual(reason._tag, "ContentDisallowed")
    })
  )

  it.effect("fails of bytes that are not what they claim to be", () =>
    Effect.gen(function* () {
      for (const body of [bytes("{"), bytes(""), Uint8Array.of(0xff, 0xfe)]) {
        const message = Message.make(body, { contentType: "application/json", contentEncoding: "utf-8" })
        assert.strictEqual((yield* reasonOf(Serializer.decode(message)))._tag, "DecodeFailed")
      }
    })
  )

  it.effect("refuses a compression nobody registered, and names it", () =>
    Effect.gen(function* () {
      const message = Message.make(
        bytes("1"),
        { contentType: "application/json", contentEncoding: "utf-8" },
        {
          compression: "application/x-lzma"
        }
      )
      const reason = yield* reasonOf(Serializer.decode(message))
      assert.strictEqual(reason._tag, "ContentDisallowed")
      if (reason._tag === "ContentDisallowed") assert.include(reason.text, "application/x-lzma")
    })
  )

  it.effect("stops a bomb at the limit", () =>
    Effect.gen(function* () {
      const message = yield* Serializer.encode("0".repeat(1_000_000), { serializer: "text", compression: "zlib" })
      assert.isBelow(message.body.length, 2000)
      const reason = yield* reasonOf(
        Effect.provideService(
          Serializer.decode(message),
          Compression.Compressions,
          Compression.registry([Compression.zlib], 100_000)
        )
      )
      assert.strictEqual(reason._tag, "FrameTooLarge")
    })
  )
})
