/**
 * Compression of message bodies (kombu/compression.py). The header `compression` carries the content type of the algorithm;
 * what kombu calls gzip is a zlib stream. Built in is what needs nothing of a runtime: zlib by the web's `CompressionStream`, and
 * bzip2 to be read. zstd and brotli are `node:zlib`'s, and come with `@apium/hub/node` and the doors to brokers. Others are values:
 * `Compression.registry([Compression.zlib, lzma])`.
 *
 * A body that grows past the limit on the way out fails before it is held: 1 MB of zeros is 1 KB on the wire.
 */
import * as Bzip2 from "@apium/protocol/kombu/Bzip2"
import * as Content from "@apium/protocol/kombu/Content"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { ContentDisallowed, DecodeFailed, fail, FrameTooLarge, type HubError } from "./HubError.ts"

export interface Codec {
  /** As the header says it: `application/x-gzip`. */
  readonly contentType: string
  /** Left out: it is read, and not written. */
  readonly compress?: ((body: Uint8Array) => ReadableStream<Uint8Array>) | undefined
  /** What passes `limit` bytes is refused while it is read; one that cannot stop there fails with the code `ERR_BUFFER_TOO_LARGE`. */
  readonly decompress: (body: Uint8Array, limit: number) => ReadableStream<Uint8Array>
}

const through = (body: Uint8Array, transform: ReadableWritablePair<Uint8Array, BufferSource>) =>
  new Blob([body as Uint8Array<ArrayBuffer>]).stream().pipeThrough(transform)

/**
 * How much is inflated at once: Deno makes one piece of each it is given, which is a thousand times as large for a bomb. At
 * 16 KiB that is 16 MiB at most, and 1.3 times the time of a whole body on Node.js.
 */
const pieceSize = 16 * 1024

const inPieces = (body: Uint8Array) => {
  let offset = 0
  return new ReadableStream<BufferSource>({
    pull: (controller) => {
      if (offset >= body.length) return controller.close()
      controller.enqueue(body.slice(offset, offset + pieceSize))
      offset += pieceSize
    }
  })
}

/**
 * Passes on what was inflated and fails when it is not what the checksum at the end of the body says (RFC 1950, Adler-32):
 * Deno takes a stream that was cut short for a whole one.
 */
const verified = (body: Uint8Array) => {
  let a = 1
  let b = 0
  return new TransformStream<Uint8Array, Uint8Array>({
    transform: (chunk, controller) => {
      // So many octets fit into 32 bits before the remainder has to be taken.
      for (let start = 0; start < chunk.length; start += 5552) {
        const end = Math.min(start + 5552, chunk.length)
        for (let index = start; index < end; index++) b += a += chunk[index]!
        a %= 65_521
        b %= 65_521
      }
      controller.enqueue(chunk)
    },
    flush: (controller) => {
      const trailer = body.subarray(-4)
      const sum = [b >> 8, b & 255, a >> 8, a & 255]
      if (body.length < 6 || sum.some((octet, index) => octet !== trailer[index])) {
        controller.error(new TypeError("unexpected end of the compressed data"))
      }
    }
  })
}

/** RFC 1950, under kombu's names `gzip` and `zlib`. */
export const zlib: Codec = {
  contentType: "application/x-gzip",
  compress: (body) => through(body, new CompressionStream("deflate")),
  decompress: (body) => inPieces(body).pipeThrough(new DecompressionStream("deflate")).pipeThrough(verified(body))
}

/** So much of bzip2 is unpacked before others have their turn: 128 MiB take 1.5 seconds, and are 5 KB on the wire. */
const turn = 1024 * 1024

/** Read alone: whoever may choose takes zlib or zstd. */
export const bzip2: Codec = {
  contentType: "application/x-bz2",
  decompress: (body) => {
    const pieces = Bzip2.decode(body)
    let unpacked = 0
    return new ReadableStream({
      pull: async (controller) => {
        if (unpacked >= turn) {
          unpacked = 0
          await Effect.runPromise(Effect.yieldNow)
        }
        const { done, value } = pieces.next()
        unpacked += value?.length ?? 0
        if (done === true) controller.close()
        else controller.enqueue(value)
      }
    })
  }
}

export interface Options {
  readonly codecs: ReadonlyMap<string, Codec>
  /** The most bytes a body may have after decompression. */
  readonly maxMessageBytes: number
}

/** Which algorithms there are, and how large a body may become: 128 MiB, as RabbitMQ's clients have it. */
export class Compressions extends Context.Reference<Options>("@apium/hub/Compression", {
  defaultValue: () => registry([zlib, bzip2])
}) {}

export const registry = (codecs: ReadonlyArray<Codec>, maxMessageBytes = 128 * 1024 * 1024): Options => ({
  codecs: new Map(codecs.map((codec) => [codec.contentType, codec])),
  maxMessageBytes
})

/** These beside those that are in force, which stand. */
export const layerWith = (codecs: ReadonlyArray<Codec>): Layer.Layer<never> =>
  Layer.effect(
    Compressions,
    Effect.map(Compressions, (inForce) => registry([...codecs, ...inForce.codecs.values()], inForce.maxMessageBytes))
  )

const remedies: ReadonlyMap<string, string> = new Map(
  ["application/zstd", "application/x-brotli"].map((contentType) => [
    contentType,
    "it comes with layerCompression of @apium/hub/node, and with the doors to brokers, where the runtime's node:zlib has it"
  ])
)

const refused = (name: string, contentType: string, why: string) =>
  fail(new ContentDisallowed({ contentType, text: `Compression ${JSON.stringify(name.slice(0, 100))} ${why}` }))

const find = (name: string) =>
  Effect.flatMap(Compressions, ({ codecs, maxMessageBytes }) => {
    const contentType = Content.compressionContentType(name) ?? name
    const codec = codecs.get(contentType)
    return codec === undefined
      ? refused(
          name,
          contentType,
          `is not here: ${remedies.get(contentType) ?? "add its codec to Compression.registry"}`
        )
      : Effect.succeed({ codec, maxMessageBytes })
  })

/** Node.js leaves the message empty and has a code. */
const textOf = (cause: unknown): string => {
  const { code, message } = (cause ?? {}) as { readonly code?: unknown; readonly message?: unknown }
  return String(message || code || cause)
}

/** The whole stream as one array, unless it passes the limit. */
const collect = (
  stream: ReadableStream<Uint8Array>,
  what: string,
  limit: number
): Effect.Effect<Uint8Array, HubError> =>
  Effect.callback((resume, signal) => {
    const reader = stream.getReader()
    signal.addEventListener("abort", () => void reader.cancel().catch(() => undefined))
    const chunks: Array<Uint8Array> = []
    let size = 0
    const next = (): void =>
      void reader.read().then(
        ({ done, value }) => {
          if (done) {
            const body = new Uint8Array(size)
            let offset = 0
            for (const chunk of chunks) {
              body.set(chunk, offset)
              offset += chunk.length
            }
            return resume(Effect.succeed(body))
          }
          size += value.length
          if (size > limit) {
            void reader.cancel().catch(() => undefined)
            return resume(fail(new FrameTooLarge({ size, limit })))
          }
          chunks.push(value)
          return next()
        },
        (cause) =>
          resume(
            (cause as { readonly code?: unknown } | undefined)?.code === "ERR_BUFFER_TOO_LARGE"
              ? fail(new FrameTooLarge({ size: limit + 1, limit }))
              : fail(new DecodeFailed({ what, text: textOf(cause) }))
          )
      )
    next()
  })

/** `name` is kombu's (`gzip`, `zlib`, ...); the content type for the header comes with the body. */
export const compress = Effect.fnUntraced(function* (
  name: string,
  body: Uint8Array
): Effect.fn.Return<{ readonly contentType: string; readonly body: Uint8Array }, HubError> {
  const { codec } = yield* find(name)
  const { compress, contentType } = codec
  if (compress === undefined)
    return yield* refused(name, contentType, "is read here, and not written: take zlib or zstd")
  return { contentType, body: yield* collect(compress(body), "an uncompressed body", Number.POSITIVE_INFINITY) }
})

export const decompress = Effect.fnUntraced(function* (
  contentType: string,
  body: Uint8Array
): Effect.fn.Return<Uint8Array, HubError> {
  const { codec, maxMessageBytes } = yield* find(contentType)
  return yield* collect(
    codec.decompress(body, maxMessageBytes),
    `a body compressed as ${codec.contentType}`,
    maxMessageBytes
  )
})
