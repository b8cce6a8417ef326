/** The keys of signed messages: one's own, and those of the certificates that are trusted. */
import * as Certificate from "@apium/protocol/celery/Certificate"
import * as PrivateKey from "@apium/protocol/celery/PrivateKey"
import * as Clock from "effect/Clock"
import { WebCrypto } from "effect/crypto/WebCrypto"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as Result from "effect/Result"
import * as Schema from "effect/Schema"

export type Digest = "sha256" | "sha384" | "sha512"

/** Its parts as PEM. */
export interface Keys {
  readonly key?: Redacted.Redacted | undefined
  readonly keyPassword?: Redacted.Redacted | undefined
  readonly certificate?: string | undefined
}

/** A key or a certificate that cannot be used; nothing of a key is in it. */
export class SecurityError extends Schema.TaggedError<SecurityError>()("SecurityError", {
  what: Schema.String,
  text: Schema.String
}) {
  override get message() {
    return `The ${this.what} of signed messages cannot be used: ${this.text}`
  }
}

export const hashes = {
  sha256: { name: "SHA-256", octets: 32 },
  sha384: { name: "SHA-384", octets: 48 },
  sha512: { name: "SHA-512", octets: 64 }
} as const

export interface Signer {
  readonly certificate: Certificate.Certificate
  readonly key: CryptoKey
}

/** A view of memory that nobody shares: what the web's cryptography takes. */
export const source = (bytes: Uint8Array) => bytes as Uint8Array<ArrayBuffer>

export const refused = (what: string, text: string) => new SecurityError({ what, text })

const read = <A>(what: string, result: Result.Result<A, { readonly message: string }>) =>
  Effect.mapError(Effect.fromResult(result), ({ message }) => refused(what, message))

export const cryptography = Effect.map(WebCrypto, ({ subtle }) => subtle)

/** The longest there is, which python-cryptography calls MAX_LENGTH. */
export const parameters = (digest: Digest, { modulusBits }: Certificate.Certificate) => ({
  name: "RSA-PSS",
  saltLength: Math.ceil((modulusBits - 1) / 8) - hashes[digest].octets - 2
})

const rsa = (digest: Digest) => ({ name: "RSA-PSS", hash: hashes[digest].name })

const signerOf = Effect.fnUntraced(function* (
  what: string,
  pem: string,
  digest: Digest
): Effect.fn.Return<Signer, SecurityError> {
  const certificate = yield* read(what, Certificate.parse(pem))
  const subtle = yield* cryptography
  const key = yield* Effect.tryPromise({
    try: () => subtle.importKey("spki", source(certificate.spki), rsa(digest), false, ["verify"]),
    catch: () => refused(what, "its key is not taken by this runtime")
  })
  return { certificate, key }
})

const opened = Effect.fnUntraced(function* (
  key: PrivateKey.Encrypted,
  password: Redacted.Redacted | undefined
): Effect.fn.Return<PrivateKey.Plain, SecurityError> {
  if (password === undefined) return yield* refused("key", "it is encrypted, and there is no password (keyPassword)")
  const { ciphertext, hash, iterations, iv, keyLength, salt } = key
  const subtle = yield* cryptography
  const octets = yield* Effect.tryPromise({
    try: async () => {
      const secret = new TextEncoder().encode(Redacted.value(password))
      const base = await subtle.importKey("raw", secret, "PBKDF2", false, ["deriveKey"])
      const derivation = { name: "PBKDF2", hash, salt: source(salt), iterations }
      const aes = await subtle.deriveKey(derivation, base, { name: "AES-CBC", length: keyLength }, false, ["decrypt"])
      return await subtle.decrypt({ name: "AES-CBC", iv: source(iv) }, aes, source(ciphertext))
    },
    catch: () => refused("key", "it is opened by another password")
  })
  return yield* read("key", PrivateKey.opened(new Uint8Array(octets)))
})

const privateKeyOf = Effect.fnUntraced(function* (
  pem: Redacted.Redacted,
  password: Redacted.Redacted | undefined,
  digest: Digest
): Effect.fn.Return<CryptoKey, SecurityError> {
  const parsed = yield* read("key", PrivateKey.parse(Redacted.value(pem)))
  const { pkcs8 } = parsed._tag === "Plain" ? parsed : yield* opened(parsed, password)
  const subtle = yield* cryptography
  return yield* Effect.tryPromise({
    try: () => subtle.importKey("pkcs8", source(Redacted.value(pkcs8)), rsa(digest), false, ["sign"]),
    // What the runtime says might be about its octets.
    catch: () => refused("key", "it is no RSA key that this runtime takes")
  })
})

const day = (time: number) => new Date(time).toISOString()

/** Why nothing of this certificate is to be believed now; `undefined`: it is. */
export const outdated = ({ notAfter, notBefore }: Certificate.Certificate, now: number): string | undefined =>
  now < notBefore
    ? `it is not valid before ${day(notBefore)}`
    : now >= notAfter
      ? `it expired at ${day(notAfter)}`
      : undefined

/** What the private key says, and who says it. */
export interface Own extends Signer {
  readonly privateKey: CryptoKey
}

export const ownOf = Effect.fnUntraced(function* (
  { certificate: pem, key, keyPassword }: Keys,
  digest: Digest
): Effect.fn.Return<Own | undefined, SecurityError> {
  if (key === undefined && pem === undefined) return undefined
  if (key === undefined) return yield* refused("key", "there is none, and there is a certificate")
  if (pem === undefined) return yield* refused("certificate", "there is none, and there is a key")
  const own = yield* signerOf("certificate", pem, digest)
  const wrong = outdated(own.certificate, yield* Clock.currentTimeMillis)
  if (wrong !== undefined) return yield* refused("certificate", wrong)
  const privateKey = yield* privateKeyOf(key, keyPassword, digest)
  const subtle = yield* cryptography
  const algorithm = parameters(digest, own.certificate)
  const probe = new Uint8Array(1)
  const matches = yield* Effect.promise(() =>
    subtle.sign(algorithm, privateKey, probe).then(
      (signature) => subtle.verify(algorithm, own.key, signature, probe),
      () => false
    )
  )
  return matches ? { ...own, privateKey } : yield* refused("certificate", "it is of another key")
})

export const signersOf = Effect.fnUntraced(function* (
  certificates: ReadonlyArray<string>,
  digest: Digest
): Effect.fn.Return<ReadonlyMap<string, Signer>, SecurityError> {
  const signers = new Map<string, Signer>()
  const now = yield* Clock.currentTimeMillis
  for (const [index, pem] of certificates.entries()) {
    const what = `certificate ${index + 1} of ${certificates.length} that are trusted`
    const signer = yield* signerOf(what, pem, digest)
    const { id } = signer.certificate
    if (signers.has(id))
      return yield* refused(what, `another one has its issuer and serial number, ${JSON.stringify(id)}`)
    signers.set(id, signer)
    const wrong = outdated(signer.certificate, now)
    if (wrong !== undefined)
      yield* Effect.logWarning("No message of this signer is read", { signer: id, reason: wrong })
  }
  return signers
})
