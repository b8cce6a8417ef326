/** PEM (RFC 7468): a label, and octets in base64. */
import * as base64 from "./base64.ts"

export interface Block {
  /** `CERTIFICATE`, `PRIVATE KEY`. */
  readonly label: string
  /** `Proc-Type` and its kin, of keys that OpenSSL encrypted in its old way. */
  readonly headers: string
  readonly bytes: Uint8Array
}

const pattern =
  /-----BEGIN ([A-Z\d ]{1,40})-----[ \t]*\r?\n((?:[\w-]+: [^\r\n]*\r?\n)*)([A-Za-z\d+/=\s]*)-----END \1-----/g

/** All blocks of a text; what stands around them is for people. One that is not base64 is left out. */
export const blocks = (text: string): ReadonlyArray<Block> =>
  Array.from(text.matchAll(pattern), ([, label, headers, body]) => ({ label: label!, headers: headers!, body: body! }))
    .map(({ label, headers, body }) => ({ label, headers, bytes: decoded(body.replaceAll(/\s/g, "")) }))
    .filter((block): block is Block => block.bytes !== undefined)

const decoded = (text: string): Uint8Array | undefined => {
  try {
    return base64.decode(text)
  } catch {
    return undefined
  }
}
