/**
 * What messages get from Node.js, Bun and Deno: zstd and brotli of `node:zlib`, and keys and certificates that are files.
 *
 * ```ts
 * const Signed = layerSecurity({ key: "/etc/apium/worker.key", certificate: "/etc/apium/worker.pem", certStore: "/etc/apium/certs" })
 * ```
 *
 * The doors to brokers (`@apium/transport-amqp/node`, `@apium/transport-redis/node`) bring the compressions with them.
 *
 * @module
 */
import * as Certificate from "@apium/protocol/celery/Certificate"
import * as Zstd from "@apium/protocol/kombu/Zstd"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import { readdir, readFile, stat } from "node:fs/promises"
import * as path from "node:path"
import type { Transform } from "node:stream"
import * as zlib from "node:zlib"
import * as Compression from "./Compression.ts"
import * as Security from "./Security.ts"

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

const refused = (what: string, text: string) => new Security.SecurityError({ what, text })

/** Why a file cannot be read is in its code; the rest of the message is the path once more, unless that is a secret. */
const attempt = <A>(what: string, file: string, read: () => Promise<A>): Effect.Effect<A, Security.SecurityError> =>
  file.includes("-----BEGIN")
    ? Effect.fail(refused(what, "it is a PEM text where the name of a file belongs; Security.layer takes texts"))
    : Effect.tryPromise({
        try: read,
        catch: (cause) => refused(what, `${file} cannot be read (${String((cause as { code?: unknown }).code)})`)
      })

const text = (what: string, file: string) => attempt(what, file, () => readFile(file, "utf8"))

/** Of the last part of a path alone: `*` and `?`. */
const matcher = (pattern: string): RegExp =>
  new RegExp(
    `^${pattern
      .replaceAll(/[.+^${}()|[\]\\]/g, "\\$&")
      .replaceAll("*", ".*")
      .replaceAll("?", ".")}$`
  )

const filesOf = (store: string) =>
  attempt("certificate store", store, async () => {
    const found = await stat(store).catch(() => undefined)
    if (found?.isFile() === true) return [store]
    const [folder, pattern] = found === undefined ? [path.dirname(store), path.basename(store)] : [store, "*"]
    const names = await readdir(folder)
    return names
      .filter((name) => !name.startsWith(".") && matcher(pattern).test(name))
      .toSorted()
      .map((name) => path.join(folder, name))
  })

const trusted = Effect.fnUntraced(function* (store: string) {
  const files = yield* filesOf(store)
  if (files.length === 0) return yield* refused("certificate store", `there is no file in ${store}`)
  return yield* Effect.forEach(files, (file) =>
    Effect.flatMap(text("certificate", file), (pem) =>
      Result.match(Certificate.parse(pem), {
        onFailure: ({ message }) => Effect.fail(refused("certificate", `${file}: ${message}`)),
        onSuccess: () => Effect.succeed(pem)
      })
    )
  )
})

/** `Security.layer` of these files, which are read once. */
export const layerSecurity = ({
  certStore,
  certificate,
  key,
  ...options
}: Security.Files): Layer.Layer<never, Security.SecurityError> =>
  Layer.unwrap(
    Effect.gen(function* () {
      return Security.layer({
        ...options,
        key: key === undefined ? undefined : Redacted.make(yield* text("key", key)),
        certificate: certificate === undefined ? undefined : yield* text("certificate", certificate),
        certificates: yield* trusted(certStore)
      })
    })
  )
