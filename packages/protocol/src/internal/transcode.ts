/** Texts in other encodings than UTF-8. */

const encoder = new TextEncoder()

/** Python's spellings that the Encoding Standard does not list. */
const labels: ReadonlyMap<string, string> = new Map([
  ["latin-1", "latin1"],
  ["latin_1", "latin1"],
  ["utf_8", "utf-8"],
  ["utf-16", "utf-16le"]
])

/** The same text in UTF-8; throws where it is not in that encoding, or where that is none. */
export const transcode = (body: Uint8Array, encoding: string): Uint8Array => {
  const label = encoding.toLowerCase()
  let decoder: TextDecoder
  try {
    decoder = new TextDecoder(labels.get(label) ?? label, { fatal: true })
  } catch {
    throw new TypeError(`its content_encoding ${JSON.stringify(encoding.slice(0, 100))} is not known`)
  }
  return encoder.encode(decoder.decode(body))
}
