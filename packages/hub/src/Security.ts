/**
 * Signed messages (celery/security, the serializer `auth`): whoever has a key signs the body of what he sends, and only bodies that a key
 * of a trusted certificate signed are read. By the web's cryptography, on every runtime.
 *
 * ```ts
 * const Signed = Security.layer({ key, certificate, certificates: [certificate, theirs] })
 *
 * Main.pipe(Layer.provide(Signed))
 * ```
 *
 * The signature is RSA-PSS, with MGF1 and the longest salt, as Celery's. It is verified before anything inside is decoded. It covers the
 * body alone, in Celery's format: a task's arguments, and what follows it. Who can write to the broker can still send what was signed
 * once more, and change the headers: the name of the task, its id, its ETA.
 */
import * as SignedMessage from "@apium/protocol/celery/SignedMessage"
import * as Content from "@apium/protocol/kombu/Content"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import { EncodeFailed, fail, type HubError, SignatureRefused } from "./HubError.ts"
import * as Signers from "./internal/signers.ts"
import * as Serializer from "./Serializer.ts"

export { type Digest, SecurityError } from "./internal/signers.ts"

export interface Options {
  /** Signs what is sent: an RSA key of at least 2,048 bits as PEM (PKCS#8 or PKCS#1). Left out, with `certificate`: nothing is signed, and without `accept` nothing can be sent. */
  readonly key?: Redacted.Redacted | undefined
  /** Opens the key, if it is encrypted. */
  readonly keyPassword?: Redacted.Redacted | undefined
  /** The certificate of the key, as PEM. */
  readonly certificate?: string | undefined
  /** Of those whose messages are read, as PEM; one's own is not among them unless it is given here, too. */
  readonly certificates: ReadonlyArray<string>
  /** The same for all who send and read. Default `sha256`. */
  readonly digest?: Signers.Digest | undefined
  /** The body that is signed is written by the first of these, and only such bodies are read. Default JSON. */
  readonly serializers?: readonly [Content.Serializer, ...ReadonlyArray<Content.Serializer>] | undefined
  /** What is read though nobody signed it: for the time of a change. Default: nothing. */
  readonly accept?: ReadonlyArray<string> | undefined
  /** Which Celery reads what is sent: `5.5` and newer (the default), or `5.4` and older. What either of them writes is read. */
  readonly format?: SignedMessage.Format | undefined
}

/** The same as files (Celery's `security_key` and its kin), which `layerSecurity` of `@apium/hub/node` reads. */
export interface Files extends Pick<Options, "keyPassword" | "digest" | "serializers" | "accept" | "format"> {
  readonly key?: string | undefined
  readonly certificate?: string | undefined
  /** A folder of certificates, or a pattern of files in one: `/etc/certs/*.pem`. */
  readonly certStore: string
}

/** The serializer `auth`, for who makes his own registry. */
export const make = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<Serializer.EffectSerializer, Signers.SecurityError> {
  const { digest = "sha256", format, serializers = [Content.json] } = options
  if (!Object.hasOwn(Signers.hashes, digest)) {
    return yield* Signers.refused("digest", `it is one of ${Object.keys(Signers.hashes).join(", ")}`)
  }
  const own = yield* Signers.ownOf(options, digest)
  const signers = yield* Signers.signersOf(options.certificates, digest)
  const subtle = yield* Signers.cryptography
  const inner = Content.registry(serializers)
  const [{ name }] = serializers

  const sign = (octets: Uint8Array, own: Signers.Own, encoded: Content.Encoded): Effect.Effect<Uint8Array, HubError> =>
    Effect.map(
      Effect.promise(() =>
        subtle.sign(Signers.parameters(digest, own.certificate), own.privateKey, Signers.source(octets))
      ),
      (signature) =>
        SignedMessage.encode(
          { ...encoded, body: octets, signer: own.certificate.id, signature: new Uint8Array(signature) },
          format
        )
    )

  const unsigned = (text: string) => fail(new EncodeFailed({ what: "a value as auth", text }))

  const encode = (value: unknown): Effect.Effect<Uint8Array, HubError> => {
    if (own === undefined) return unsigned("there is no key to sign it with")
    return Effect.flatMap(Clock.currentTimeMillis, (now) => {
      const wrong = Signers.outdated(own.certificate, now)
      if (wrong !== undefined) return unsigned(`the certificate is of no use: ${wrong}`)
      try {
        const encoded = Content.encodeUnsafe(inner, name, value)
        return sign(encoded.body, own, encoded)
      } catch (error) {
        return Effect.fail(Serializer.encodeFailure(error, name))
      }
    })
  }

  const distrusted = (text: string) => fail(new SignatureRefused({ text }))

  const verified = (message: SignedMessage.SignedMessage, now: number): Effect.Effect<unknown, HubError> => {
    const { certificate, key } = signers.get(message.signer)!
    const wrong = Signers.outdated(certificate, now)
    if (wrong !== undefined)
      return distrusted(`the certificate of ${JSON.stringify(certificate.id)} is of no use: ${wrong}`)
    const signature = Signers.source(message.signature)
    return Effect.flatMap(
      Effect.promise(() =>
        subtle
          .verify(Signers.parameters(digest, certificate), key, signature, Signers.source(message.body))
          .catch(() => false)
      ),
      (genuine) =>
        genuine ? readUnsafe(message) : distrusted(`it is not what ${JSON.stringify(certificate.id)} signed`)
    )
  }

  /** The two types are not signed: they are those of one of ours, to the letter, or a reader could be made to see another value. */
  const readUnsafe = ({ body, contentEncoding, contentType }: SignedMessage.SignedMessage) => {
    const serializer = inner.byContentType.get(contentType)
    if (serializer?.contentEncoding !== contentEncoding) {
      return distrusted(`what was signed has to be ${[...inner.byContentType.keys()].join(" or ")}`)
    }
    try {
      return Effect.succeed(Content.decodeUnsafe(inner, body, contentType, contentEncoding))
    } catch (error) {
      return Effect.fail(Serializer.decodeFailure(error))
    }
  }

  return {
    name: "auth",
    contentType: SignedMessage.contentType,
    contentEncoding: SignedMessage.contentEncoding,
    encode,
    decode: (body) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        const message = SignedMessage.decode(body, (id) => {
          const signer = signers.get(id)
          return signer === undefined ? undefined : Math.ceil(signer.certificate.modulusBits / 8)
        })
        return Result.isSuccess(message) ? verified(message.success, now) : distrusted(message.failure.message)
      })
  }
})

/**
 * The registry of who signs (Celery's `app.setup_security()`): what is sent is signed, unless its sender names another serializer, and
 * only what was signed is read. Tasks and remote control are; events and results are not, as with Celery.
 */
export const layer = (options: Options): Layer.Layer<never, Signers.SecurityError> =>
  Layer.effect(
    Serializer.Serializers,
    Effect.gen(function* () {
      const { serializer, compression, byContentType } = yield* Serializer.Serializers
      const auth = yield* make(options)
      const { accept = [], key } = options
      // Octets that nobody signed have the same type, and are none of these.
      const others = [...byContentType.values()].filter(({ contentType }) => contentType !== auth.contentType)
      const plain = Content.registry(others, { accept })
      const unknown = [...plain.accept].find((type) => !plain.byContentType.has(type))
      if (unknown !== undefined) return yield* Signers.refused("accept", Content.missing(plain, unknown).message)
      return {
        ...plain,
        accept: new Set([...plain.accept, auth.contentType]),
        effects: new Map([auth.name, auth.contentType].map((name) => [name, auth])),
        // Without a key: where nothing unsigned is read, a send that fails says more than a message that everybody refuses.
        serializer: key === undefined && accept.length > 0 ? serializer : auth.name,
        compression,
        signed: accept.length === 0
      }
    })
  )
