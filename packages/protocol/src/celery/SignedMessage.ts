/**
 * The body of a signed message (`celery/security/serialization.py`, `SecureSerializer`): who signed it, the signature, and what was signed,
 * which is the serialized body alone.
 *
 * ```text
 *   base64( signer ␀␁ signature ␀␁ content type ␀␁ content encoding ␀␁ body )     ␀␁ is 00 01
 *   Celery 5.5 on: signer and signature in base64, so that no separator is in them (celery#9010)
 *   before:        as they are; the signature is as long as its key
 * ```
 *
 * Read strictly: base64 in its one form, and each field up to the separator where it has to be. A reader that is lenient takes bodies for
 * genuine that were changed on their way.
 */
import * as Data from "effect/Data"
import * as Result from "effect/Result"
import * as base64 from "../internal/base64.ts"

export const contentType = "application/data"
export const contentEncoding = "utf-8"

/** Which Celery reads it: from 5.5 on, or before. */
export type Format = "5.5" | "5.4"

export interface SignedMessage {
  /** The id of the signer's certificate: `My CA 4711`. */
  readonly signer: string
  readonly signature: Uint8Array
  readonly contentType: string
  readonly contentEncoding: string
  /** What was signed. */
  readonly body: Uint8Array
}

/** Not the body of a signed message. */
export class MalformedSignature extends Data.TaggedError("MalformedSignature")<{ readonly message: string }> {}

const encoder = new TextEncoder()
const fatal = { fatal: true, ignoreBOM: true }
const utf8 = new TextDecoder("utf-8", fatal)

export const encode = (message: SignedMessage, format: Format = "5.5"): Uint8Array => {
  const signer = encoder.encode(message.signer)
  const fields = [
    format === "5.5" ? encoder.encode(base64.encode(signer)) : signer,
    format === "5.5" ? encoder.encode(base64.encode(message.signature)) : message.signature,
    encoder.encode(message.contentType),
    encoder.encode(message.contentEncoding),
    message.body
  ]
  const size = fields.reduce((sum, field) => sum + field.length + 2, -2)
  const whole = new Uint8Array(size)
  let offset = 0
  for (const field of fields) {
    if (offset > 0) {
      whole[offset + 1] = 1
      offset += 2
    }
    whole.set(field, offset)
    offset += field.length
  }
  return encoder.encode(base64.encode(whole))
}

/** `lengthOf` is the octets of that signer's signatures, of one who is known. Verifies nothing yet. */
export const decode = (
  octets: Uint8Array,
  lengthOf: (signer: string) => number | undefined
): Result.Result<SignedMessage, MalformedSignature> =>
  Result.try({
    try: () => decodeUnsafe(octets, lengthOf),
    catch: (error) => (error instanceof MalformedSignature ? error : malformed("its fields are no text"))
  })

const malformed = (why: string) => new MalformedSignature({ message: `this is no signed body: ${why}` })

/** Base64 in its one form: without spaces, with its padding, and no bit that nobody reads. */
const strict = (octets: Uint8Array): Uint8Array | undefined => {
  const text = utf8.decode(octets)
  try {
    const decoded = base64.decode(text)
    return base64.encode(decoded) === text ? decoded : undefined
  } catch {
    return undefined
  }
}

const separator = (octets: Uint8Array, from: number): number => {
  for (let at = octets.indexOf(0, from); at >= 0; at = octets.indexOf(0, at + 1)) if (octets[at + 1] === 1) return at
  throw malformed("a separator is missing")
}

const space = 0x20

const decodeUnsafe = (octets: Uint8Array, lengthOf: (signer: string) => number | undefined): SignedMessage => {
  const whole = strict(octets)
  if (whole === undefined) throw malformed("it is not base64")
  const first = separator(whole, 0)
  const head = whole.subarray(0, first)
  // An id has a space before its number, and base64 has none.
  const plain = head.includes(space)
  const signerOctets = plain ? head : strict(head)
  if (signerOctets === undefined) throw malformed("its signer is not base64")
  const signer = utf8.decode(signerOctets)
  const length = lengthOf(signer)
  if (length === undefined) {
    const shown = signer.length > 100 ? `${signer.slice(0, 100)}...` : signer
    throw new MalformedSignature({ message: `there is no certificate of its signer, ${JSON.stringify(shown)}` })
  }
  const signed = first + 2
  const second = plain ? signed + length : separator(whole, signed)
  if (whole[second] !== 0 || whole[second + 1] !== 1)
    throw malformed("its signature is not as long as the signer's key")
  const signature = plain ? whole.subarray(signed, second) : strict(whole.subarray(signed, second))
  if (signature?.length !== length) throw malformed("its signature is not as long as the signer's key")
  const third = separator(whole, second + 2)
  const fourth = separator(whole, third + 2)
  return {
    signer,
    signature,
    contentType: utf8.decode(whole.subarray(second + 2, third)),
    contentEncoding: utf8.decode(whole.subarray(third + 2, fourth)),
    body: whole.subarray(fourth + 2)
  }
}
