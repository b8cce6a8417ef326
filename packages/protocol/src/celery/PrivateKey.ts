/**
 * The private key that signs messages, as PEM (`celery/security/key.py`): PKCS#8, plain or encrypted, and PKCS#1, of RSA. No error has
 * anything of the key in it.
 */
import * as Data from "effect/Data"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as der from "../internal/der.ts"
import * as pem from "../internal/pem.ts"
import { algorithmRefusal } from "./Certificate.ts"

/** No private key of RSA's, or none that can be read here; says why, and how to make one. */
export class InvalidKey extends Data.TaggedError("InvalidKey")<{ readonly message: string }> {}

/** PKCS#8, in DER. */
export interface Plain {
  readonly _tag: "Plain"
  readonly pkcs8: Redacted.Redacted<Uint8Array>
}

/** PKCS#8 that a password opens: PBES2 (RFC 8018) with PBKDF2 and AES in CBC mode, which is what openssl writes. */
export interface Encrypted {
  readonly _tag: "Encrypted"
  readonly salt: Uint8Array
  readonly iterations: number
  readonly hash: "SHA-1" | "SHA-256" | "SHA-384" | "SHA-512"
  /** Bits of AES. */
  readonly keyLength: 128 | 192 | 256
  readonly iv: Uint8Array
  readonly ciphertext: Uint8Array
}

export type PrivateKey = Plain | Encrypted

const { integer, octetString, oid, sequence } = der.tags

const convert = "convert it with openssl pkcs8 -topk8 -v2 aes-256-cbc (or without a password: -nocrypt)"

const invalid = (message: string) => new InvalidKey({ message })

/** The first private key of a PEM text. */
export const parse = (text: string): Result.Result<PrivateKey, InvalidKey> =>
  Result.try({
    try: () => parseUnsafe(text),
    catch: (error) => (error instanceof InvalidKey ? error : invalid("its octets are no private key"))
  })

/** A key that was opened: PKCS#8 in DER, which has to be one of RSA's. */
export const opened = (pkcs8: Uint8Array): Result.Result<Plain, InvalidKey> =>
  Result.try({
    try: () => plain(pkcs8),
    catch: (error) => (error instanceof InvalidKey ? error : invalid("it is opened by another password"))
  })

const parseUnsafe = (text: string): PrivateKey => {
  const blocks = pem.blocks(text)
  const block = blocks.find(({ label }) => label.endsWith("PRIVATE KEY"))
  switch (block?.label) {
    case "PRIVATE KEY":
      return plain(block.bytes)
    case "RSA PRIVATE KEY":
      if (block.headers !== "") throw invalid(`it is encrypted in OpenSSL's old way: ${convert}`)
      return plain(wrapped(block.bytes))
    case "ENCRYPTED PRIVATE KEY":
      return encrypted(block.bytes)
    case undefined: {
      const found = blocks.map(({ label }) => label).join(", ") || "no PEM block"
      throw invalid(`it has to be a PEM text with a PRIVATE KEY, and this has ${found}`)
    }
    default:
      throw invalid(`it is an ${block!.label}, and Celery's signatures are RSA's: make one with openssl genrsa 2048`)
  }
}

const plain = (pkcs8: Uint8Array): Plain => {
  const document = der.reader(pkcs8, "the private key")
  const key = document.into(sequence)
  document.end()
  key.next(integer)
  const refusal = algorithmRefusal(der.oid(key.into(sequence).next(oid).content))
  if (refusal !== undefined) throw invalid(refusal)
  key.next(octetString)
  return { _tag: "Plain", pkcs8: Redacted.make(pkcs8) }
}

/** 1.2.840.113549.1.1.1, without parameters. */
const rsaEncryption = Uint8Array.of(0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 1, 5, 0)

const wrapped = (pkcs1: Uint8Array): Uint8Array =>
  der.element(sequence, Uint8Array.of(integer, 1, 0), rsaEncryption, der.element(octetString, pkcs1))

const hashes: ReadonlyMap<string, Encrypted["hash"]> = new Map([
  ["1.2.840.113549.2.7", "SHA-1"],
  ["1.2.840.113549.2.9", "SHA-256"],
  ["1.2.840.113549.2.10", "SHA-384"],
  ["1.2.840.113549.2.11", "SHA-512"]
])

const ciphers: ReadonlyMap<string, Encrypted["keyLength"]> = new Map([
  ["2.16.840.1.101.3.4.1.2", 128],
  ["2.16.840.1.101.3.4.1.22", 192],
  ["2.16.840.1.101.3.4.1.42", 256]
])

/** OpenSSL's own default is 2,048; this many take seconds. */
const mostIterations = 10_000_000n

const encrypted = (bytes: Uint8Array): Encrypted => {
  const document = der.reader(bytes, "the private key").into(sequence)
  const scheme = document.into(sequence)
  const unknown = () => invalid(`it is encrypted in a way that is not PBES2 with PBKDF2 and AES: ${convert}`)
  if (der.oid(scheme.next(oid).content) !== "1.2.840.113549.1.5.13") throw unknown()
  const parameters = scheme.into(sequence)
  const derivation = parameters.into(sequence)
  if (der.oid(derivation.next(oid).content) !== "1.2.840.113549.1.5.12") throw unknown()
  const pbkdf2 = derivation.into(sequence)
  const salt = pbkdf2.next(octetString).content
  const iterations = der.integer(pbkdf2.next(integer).content)
  if (pbkdf2.tag() === integer) pbkdf2.any()
  const hash = pbkdf2.tag() === sequence ? hashes.get(der.oid(pbkdf2.into(sequence).next(oid).content)) : "SHA-1"
  const cipher = parameters.into(sequence)
  const keyLength = ciphers.get(der.oid(cipher.next(oid).content))
  if (hash === undefined || keyLength === undefined || iterations < 1n || iterations > mostIterations) throw unknown()
  const iv = cipher.next(octetString).content
  const ciphertext = document.next(octetString).content
  document.end()
  return { _tag: "Encrypted", salt, iterations: Number(iterations), hash, keyLength, iv, ciphertext }
}
