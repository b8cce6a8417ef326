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
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import { readdir, readFile, stat } from "node:fs/promises"
import * as path from "node:path"
import * as Security from "./Security.ts"

export { codecs, layerCompression } from "./node/compression.ts"

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
