/** Base64 of bodies: the engine's own where there is one (Bun, Deno, Node 25 on), else Effect's. */
import * as Base64 from "effect/encoding/Base64"
import * as Result from "effect/Result"

const nativeDecode = (Uint8Array as { readonly fromBase64?: (text: string) => Uint8Array }).fromBase64
const nativeEncode = (Uint8Array.prototype as { readonly toBase64?: () => string }).toBase64

export const encode = (bytes: Uint8Array): string =>
  nativeEncode === undefined ? Base64.encode(bytes) : nativeEncode.call(bytes)

/** Throws on text that is not base64; line breaks are allowed, as Python allows them. */
export const decode = (text: string): Uint8Array =>
  nativeDecode === undefined ? Result.getOrThrow(Base64.decode(text)) : nativeDecode.call(Uint8Array, text)
