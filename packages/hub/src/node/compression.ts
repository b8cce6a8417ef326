/**
 * zstd and brotli of `node:zlib`. The doors to brokers load this and not all of `@apium/hub/node`: who signs nothing needs no certificates, and
 * a worker starts without their ten modules.
 */
import * as Zstd from "@apium/protocol/kombu/Zstd"
import type * as Layer from "effect/Layer"
import type { Transform } from "node:stream"
import * as zlib from "node:zlib"
import * as Compression from "../Compression.ts"

/**
 * As much as is asked for. By hand: of what an unpacker fails on, Deno's `Readable.toWeb` says that it ended well, and ends the process.
 */
const through = (make: () => Transform, body: Uint8Array): ReadableStream<Uint8Array> => {
  const transform = make()
  let wanted = true
  return new ReadableStream<Uint8Array>({
    start: (controller) => {
      transform.on("data", (chunk: Uint8Array) => {
        // Deno has one more after it was destroyed.
        if (!wanted) return
        controller.enqueue(chunk)
        if ((controller.desiredSize ?? 0) <= 0) transform.pause()
      })
      transform.once("end", () => controller.close())
      transform.once("error", (cause) => controller.error(cause))
      transform.end(body)
    },
    pull: () => void transform.resume(),
    cancel: () => {
      wanted = false
      transform.destroy()
    }
  })
}

const failed = (cause: unknown) => new ReadableStream<Uint8Array>({ start: (controller) => controller.error(cause) })

/**
 * At once: what is wrong behind the first 16 KiB of zstd Deno 2.9 throws from a callback of its own, where nobody can catch it, and the
 * process ends. 128 MiB take it 45 ms.
 */
const atOnce = (body: Uint8Array, limit: number): ReadableStream<Uint8Array> =>
  new ReadableStream({
    pull: (controller) => {
      controller.enqueue(zlib.zstdDecompressSync(body, { maxOutputLength: Math.min(Math.max(limit, 1), 2 ** 31) }))
      controller.close()
    }
  })

/** Node.js has it from 22.15 on: what a runtime has not got is undefined there, whatever its types say. */
const zstd: Compression.Codec | undefined =
  (zlib.createZstdCompress as unknown) === undefined
    ? undefined
    : {
        contentType: "application/zstd",
        // With its size up front: Python's reads no frame without. And in one piece: of 388 bodies Deno 2.9 ended 254, and Bun 1.4 four,
        // with an empty frame too many.
        compress: (body) => {
          const chunkSize = Math.max(1024, body.length + (body.length >> 8) + 128)
          return through(() => zlib.createZstdCompress({ pledgedSrcSize: body.length, chunkSize }), body)
        },
        decompress: (body, limit) => {
          try {
            Zstd.check(body)
          } catch (cause) {
            return failed(cause)
          }
          return "Deno" in globalThis ? atOnce(body, limit) : through(() => zlib.createZstdDecompress(), body)
        }
      }

const brotli: Compression.Codec | undefined =
  (zlib.createBrotliCompress as unknown) === undefined
    ? undefined
    : {
        contentType: "application/x-brotli",
        compress: (body) => {
          const { BROTLI_PARAM_QUALITY, BROTLI_PARAM_SIZE_HINT } = zlib.constants
          // 11 is the default, and takes 50 times as long for a tenth less.
          const params = { [BROTLI_PARAM_QUALITY]: 5, [BROTLI_PARAM_SIZE_HINT]: body.length }
          return through(() => zlib.createBrotliCompress({ params }), body)
        },
        decompress: (body) => through(() => zlib.createBrotliDecompress(), body)
      }

/** Those that this runtime has. */
export const codecs: ReadonlyArray<Compression.Codec> = [zstd, brotli].filter((codec) => codec !== undefined)

/** {@link codecs}, beside the compressions that are in force. */
export const layerCompression: Layer.Layer<never> = Compression.layerWith(codecs)
