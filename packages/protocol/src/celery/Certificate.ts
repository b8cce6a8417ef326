/**
 * As much of an X.509 certificate (RFC 5280) as signed messages need: whose key it is, which key, and from when to when
 * (`celery/security/certificate.py`). Nobody vouches for it here: as with Celery, the certificates that are given are those that are trusted.
 */
import * as Data from "effect/Data"
import * as Result from "effect/Result"
import * as der from "../internal/der.ts"
import * as pem from "../internal/pem.ts"

/** No certificate of an RSA key; says why, and what to do. */
export class InvalidCertificate extends Data.TaggedError("InvalidCertificate")<{ readonly message: string }> {}

export interface Certificate {
  /** What a message says of its signer: the values of the issuer's name and the serial number, parted by spaces. */
  readonly id: string
  /** From this time on, in milliseconds since the epoch. */
  readonly notBefore: number
  /** Until before this time, in milliseconds since the epoch. */
  readonly notAfter: number
  /** The public key, as `SubjectPublicKeyInfo`. */
  readonly spki: Uint8Array
  /** Of the key: as many octets as a signature has, times eight. */
  readonly modulusBits: number
}

const { bitString, generalizedTime, integer, oid, sequence, set, utcTime } = der.tags

/** The first certificate of a PEM text. */
export const parse = (text: string): Result.Result<Certificate, InvalidCertificate> =>
  Result.try({
    try: () => parseUnsafe(text),
    catch: (error) => (error instanceof InvalidCertificate ? error : invalid((error as Error).message))
  })

const invalid = (message: string) => new InvalidCertificate({ message })

const parseUnsafe = (text: string): Certificate => {
  const blocks = pem.blocks(text)
  const block = blocks.find(({ label }) => label === "CERTIFICATE")
  if (block === undefined) {
    const found = blocks.map(({ label }) => label).join(", ") || "no PEM block"
    throw invalid(`it has to be a PEM text with a CERTIFICATE, and this has ${found}`)
  }
  const document = der.reader(block.bytes, "the certificate")
  const outer = document.into(sequence)
  document.end()
  const fields = outer.into(sequence)
  outer.next(sequence)
  outer.next(bitString)
  outer.end()
  if (fields.tag() === 0xa0) fields.any()
  const serial = der.integer(fields.next(integer).content)
  fields.next(sequence)
  const issuer = nameOf(fields.into(sequence))
  const validity = fields.into(sequence)
  const [notBefore, notAfter] = [timeOf(validity.any()), timeOf(validity.any())]
  validity.end()
  fields.next(sequence)
  const spki = fields.next(sequence).bytes
  // A copy: the octets around it are of no more use.
  return { id: `${issuer} ${serial}`, notBefore, notAfter, spki: spki.slice(), modulusBits: modulusOf(spki) }
}

const fatal = { fatal: true, ignoreBOM: true }

/** The values of all attributes, in their order. */
const nameOf = (rdns: der.Reader): string => {
  const values: Array<string> = []
  while (rdns.tag() !== undefined) {
    const attributes = rdns.into(set)
    while (attributes.tag() !== undefined) {
      const attribute = attributes.into(sequence)
      attribute.next(oid)
      values.push(textOf(attribute.any()))
      attribute.end()
    }
  }
  return values.join(" ")
}

/** As python-cryptography reads them: all but two kinds are UTF-8, whatever their standard says. */
const textOf = ({ content, tag }: der.Element): string => {
  switch (tag) {
    case 0x1e:
      return new TextDecoder("utf-16be", fatal).decode(content)
    case 0x0c:
    case 0x12:
    case 0x13:
    case 0x14:
    case 0x16:
    case 0x1a:
      return new TextDecoder("utf-8", fatal).decode(content)
    default:
      throw new der.DerError(`the issuer's name has a value that is no text (tag 0x${tag.toString(16)})`)
  }
}

/** `YYMMDDHHMMSSZ` until 2049, with four digits of the year from then on. */
const timeOf = ({ content, tag }: der.Element): number => {
  const text = String.fromCharCode(...content.subarray(0, 20))
  const digits = tag === utcTime ? 2 : tag === generalizedTime ? 4 : 0
  const found =
    digits === 0 ? null : new RegExp(`^(\\d{${digits}})(\\d\\d)(\\d\\d)(\\d\\d)(\\d\\d)(\\d\\d)Z$`).exec(text)
  if (found !== null) {
    const [year, month, day, hour, minute, second] = found.slice(1).map(Number) as unknown as readonly [
      number,
      number,
      number,
      number,
      number,
      number
    ]
    const full = digits === 4 ? year : year < 50 ? 2000 + year : 1900 + year
    const time = Date.UTC(full, month - 1, day, hour, minute, second)
    if (new Date(time).toISOString().replaceAll(/\D/g, "").slice(4, 14) === text.slice(digits, -1)) return time
  }
  throw new der.DerError("the certificate has a date that is none")
}

const rsa = "1.2.840.113549.1.1.1"

const others: ReadonlyMap<string, string> = new Map([
  ["1.2.840.10045.2.1", "an elliptic curve (EC)"],
  ["1.2.840.113549.1.1.10", "RSA for PSS alone"],
  ["1.2.840.10040.4.1", "DSA"],
  ["1.3.101.112", "Ed25519"],
  ["1.3.101.113", "Ed448"]
])

/** What is wrong with a key of this algorithm, if anything is. */
export const algorithmRefusal = (algorithm: string): string | undefined =>
  algorithm === rsa
    ? undefined
    : `its key is of ${others.get(algorithm) ?? algorithm}, and Celery's signatures are RSA's: make one with openssl genrsa 2048`

const modulusOf = (spki: Uint8Array): number => {
  const document = der.reader(spki, "the public key")
  const key = document.into(sequence)
  const refusal = algorithmRefusal(der.oid(key.into(sequence).next(oid).content))
  if (refusal !== undefined) throw invalid(refusal)
  const numbers = der.reader(der.bitString(key.next(bitString).content), "the public key").into(sequence)
  const bits = der.integer(numbers.next(integer).content).toString(2).length
  // NIST SP 800-131A: 112 bits of security.
  if (bits < 2048) throw invalid(`its key has ${bits} bits, and has to have 2048`)
  return bits
}
