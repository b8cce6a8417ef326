/**
 * Serializers by name and by content type, the list of types a consumer accepts, and the names of compressions (`kombu/serialization.py`,
 * `kombu/compression.py`, WIRE 4.1.7).
 *
 * Pickle is refused always: reading one runs code of the sender's choice, and nothing here knows how. Further serializers are values to be listed:
 * `Content.registry([Content.json, Msgpack.msgpack])`.
 */
import * as Data from "effect/Data"
import * as Result from "effect/Result"
import { transcode } from "../internal/transcode.ts"
import * as Json from "./Json.ts"

/** The content is of a type that this consumer did not agree to read. */
export class ContentDisallowed extends Data.TaggedError("ContentDisallowed")<{
  readonly contentType: string
  readonly message: string
}> {}

/** The content is of an accepted type, and its octets are not. */
export class DecodeFailed extends Data.TaggedError("DecodeFailed")<{
  readonly contentType: string
  readonly message: string
}> {}

/** The value has no form in that serializer. `path` says where, if the serializer knows. */
export class EncodeFailed extends Data.TaggedError("EncodeFailed")<{
  readonly serializer: string
  readonly message: string
  readonly path?: string | undefined
}> {}

/**
 * Both functions throw: `encode` on a value it cannot write, `decode` on octets that are not of its type. {@link encode} and {@link decode} of this module
 * turn what they throw into a typed error. A serializer whose `contentEncoding` is `utf-8` is given UTF-8 whatever the message's own encoding was.
 */
export interface Serializer {
  readonly name: string
  readonly contentType: string
  readonly contentEncoding: string
  readonly encode: (value: unknown) => Uint8Array
  readonly decode: (body: Uint8Array) => unknown
}

const encoder = new TextEncoder()
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

/** Octets that short texts share, as those of a Buffer do in Node.js. */
const slabSize = 8192
let slab: Uint8Array = new Uint8Array(0)
let at = 0

/**
 * FAST: a buffer of its own takes 0.4 us for a short text, and its place in a slab 0.1, with less garbage; who keeps one keeps 8 KiB at most. A long text
 * gets what V8's `encode` gives, which holds three octets for each character of a string, for good.
 */
const encodeText = (text: string): Uint8Array => {
  // In UTF-8 no unit of a string takes more than three octets.
  const most = text.length * 3
  if (most > slabSize / 2) return encoder.encode(text)
  if (at + most > slab.length) {
    slab = new Uint8Array(slabSize)
    at = 0
  }
  const begun = at
  at += encoder.encodeInto(text, slab.subarray(begun)).written
  return slab.subarray(begun, at)
}

/** The default of Celery, and the only one accepted by default: {@link Json}. */
export const json: Serializer = {
  name: "json",
  contentType: "application/json",
  contentEncoding: "utf-8",
  encode: (value) => encodeText(Json.stringify(value)),
  decode: (body) => Json.parse(utf8.decode(body))
}

/** A string as it is; kombu's `raw` for `str`. */
export const text: Serializer = {
  name: "text",
  contentType: "text/plain",
  contentEncoding: "utf-8",
  encode: (value) => {
    if (typeof value !== "string") throw new TypeError(`The text serializer takes a string, not a ${typeof value}`)
    return encoder.encode(value)
  },
  decode: (body) => utf8.decode(body)
}

/** Octets as they are; kombu's `raw` for `bytes`. */
export const bytes: Serializer = {
  name: "bytes",
  contentType: "application/data",
  contentEncoding: "binary",
  encode: (value) => {
    if (!(value instanceof Uint8Array))
      throw new TypeError(`The bytes serializer takes a Uint8Array, not a ${typeof value}`)
    return value
  },
  decode: (body) => body
}

/** Which serializers there are, and which content types may be read. */
export interface Registry {
  readonly byName: ReadonlyMap<string, Serializer>
  readonly byContentType: ReadonlyMap<string, Serializer>
  /** Content types. */
  readonly accept: ReadonlySet<string>
}

/**
 * A registry of `serializers` (of equal names or types, the last one stands). `accept` takes names (`json`) and content types (`application/json`); left out,
 * everything listed is accepted: whoever lists a serializer wants it.
 */
export const registry = (
  serializers: ReadonlyArray<Serializer> = [json, text, bytes],
  options: { readonly accept?: Iterable<string> | undefined } = {}
): Registry => {
  const byName = new Map(serializers.map((serializer) => [serializer.name, serializer]))
  const byContentType = new Map(serializers.map((serializer) => [serializer.contentType, serializer]))
  return {
    byName,
    byContentType,
    accept: new Set(
      options.accept === undefined
        ? byContentType.keys()
        : Array.from(options.accept, (name) => byName.get(name)?.contentType ?? knownTypes.get(name) ?? name)
    )
  }
}

/** The same registry, reading only what `accept` names. */
export const accepting = (self: Registry, accept: Iterable<string>): Registry =>
  registry([...self.byContentType.values()], { accept })

/** Content types of the names that Kombu and Celery know and this module does not bring. */
const knownTypes: ReadonlyMap<string, string> = new Map([
  ["msgpack", "application/x-msgpack"],
  ["yaml", "application/x-yaml"],
  ["pickle", "application/x-python-serialize"],
  ["auth", "application/data"]
])

/** Why, and what to do. */
export const pickleRefused =
  "pickle is refused always: reading one runs code its sender chose. Let the sender use json (task_serializer = 'json')"

const remedies: ReadonlyMap<string, string> = new Map([
  [
    "application/x-msgpack",
    "add msgpack from @apium/protocol/kombu/Msgpack to the registry (it needs the package @msgpack/msgpack)"
  ],
  ["application/x-yaml", "add yaml from @apium/protocol/kombu/Yaml to the registry"],
  ["application/x-python-serialize", pickleRefused],
  ["application/data", "signed messages (auth) need Security.layer of @apium/hub/Security, with a key and certificates"]
])

const quote = (name: string): string => JSON.stringify(name.length > 100 ? `${name.slice(0, 100)}...` : name)

const disallowed = (self: Registry, contentType: string): ContentDisallowed => {
  const remedy = remedies.get(contentType) ?? "add a serializer for it to the registry"
  const accepted = [...self.accept].join(", ") || "nothing"
  const message =
    contentType !== "application/x-python-serialize" && self.byContentType.has(contentType)
      ? `Content of type ${quote(contentType)} is not accepted here (accepted: ${accepted}); add it to accept`
      : `Content of type ${quote(contentType)} cannot be read (accepted: ${accepted}): ${remedy}`
  return new ContentDisallowed({ contentType, message })
}

/** Why there is no serializer of this name, or content type: for who asks before there is a message. */
export const missing = (self: Registry, name: string): ContentDisallowed => {
  const contentType = knownTypes.get(name) ?? name
  const remedy =
    contentType === "application/x-python-serialize"
      ? "pickle is neither written nor read: reading one runs code its sender chose"
      : (remedies.get(contentType) ?? "add a serializer of that name to the registry")
  return new ContentDisallowed({
    contentType,
    message: `There is no serializer ${quote(name)} (there are ${[...self.byName.keys()].join(", ")}): ${remedy}`
  })
}

/** What a body is when nobody says so: octets, as in kombu. */
export const typeOf = (contentType: string | undefined): string =>
  contentType === undefined || contentType === "" ? bytes.contentType : bare(contentType)

/** The media type without parameters, lower case: some senders write `application/json; charset=utf-8`. */
const bare = (contentType: string): string => contentType.split(";", 1)[0]!.trim().toLowerCase()

/**
 * Reads a body, or throws {@link ContentDisallowed} or {@link DecodeFailed}: the hot path's form of {@link decode}. A message without a content type is
 * octets (`application/data`), as in kombu.
 */
export const decodeUnsafe = (
  self: Registry,
  body: Uint8Array,
  contentType: string | undefined,
  contentEncoding?: string
): unknown => {
  let type = contentType === undefined || contentType === "" ? bytes.contentType : contentType
  if (!self.accept.has(type)) type = bare(type)
  const serializer = self.byContentType.get(type)
  if (serializer === undefined || !self.accept.has(type) || type === "application/x-python-serialize") {
    throw disallowed(self, type)
  }
  try {
    return serializer.decode(isForeign(serializer, contentEncoding) ? transcode(body, contentEncoding) : body)
  } catch (cause) {
    throw new DecodeFailed({
      contentType: type,
      message: `A body of ${body.length} octets is not ${type}: ${reason(cause)}`
    })
  }
}

/** Reads a body. The serializer is that of the content type; a text may be in any encoding that `TextDecoder` knows. */
export const decode = (
  self: Registry,
  body: Uint8Array,
  contentType: string | undefined,
  contentEncoding?: string
): Result.Result<unknown, ContentDisallowed | DecodeFailed> =>
  Result.try({
    try: () => decodeUnsafe(self, body, contentType, contentEncoding),
    catch: (error) => error as ContentDisallowed | DecodeFailed
  })

/** What {@link encode} gives: the octets and the two properties that say how to read them. */
export interface Encoded {
  readonly body: Uint8Array
  readonly contentType: string
  readonly contentEncoding: string
}

/** Writes a value with the serializer of that name (or content type), or throws {@link ContentDisallowed} or {@link EncodeFailed}. */
export const encodeUnsafe = (self: Registry, name: string, value: unknown): Encoded => {
  const serializer = self.byName.get(name) ?? self.byContentType.get(name)
  if (serializer === undefined) throw missing(self, name)
  try {
    const { contentType, contentEncoding } = serializer
    return { body: serializer.encode(value), contentType, contentEncoding }
  } catch (cause) {
    const path = cause instanceof Json.JsonError ? cause.path : undefined
    throw new EncodeFailed({ serializer: name, message: reason(cause), path })
  }
}

/** Writes a value with the serializer of that name (or content type). */
export const encode = (
  self: Registry,
  name: string,
  value: unknown
): Result.Result<Encoded, ContentDisallowed | EncodeFailed> =>
  Result.try({
    try: () => encodeUnsafe(self, name, value),
    catch: (error) => error as ContentDisallowed | EncodeFailed
  })

const reason = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause))

/** Whether a text serializer is to read something else than UTF-8. ASCII is UTF-8 already. */
const isForeign = (serializer: Serializer, encoding: string | undefined): encoding is string =>
  encoding !== undefined &&
  encoding !== "utf-8" &&
  serializer.contentEncoding === "utf-8" &&
  !["", "utf8", "us-ascii", "ascii", "binary", "ascii-8bit"].includes(encoding.toLowerCase())

// ------------------------------------------------------------------ compression

const compressions: ReadonlyArray<readonly [contentType: string, ...names: ReadonlyArray<string>]> = [
  // a zlib stream (78 9c), whatever the name: kombu calls zlib.compress for both
  ["application/x-gzip", "zlib", "gzip"],
  ["application/x-bz2", "bzip2", "bzip"],
  ["application/x-lzma", "lzma", "xz"],
  ["application/x-brotli", "brotli"],
  ["application/zstd", "zstd", "zstandard"]
]

const typeByName = new Map(compressions.flatMap(([type, ...names]) => names.map((name) => [name, type] as const)))
const nameByType = new Map(compressions.map(([type, name]) => [type, name] as const))

/** The value of the header `compression` for a name (`gzip`) or for the type itself; `undefined` if kombu knows no such compression. */
export const compressionContentType = (name: string): string | undefined =>
  typeByName.get(name) ?? (nameByType.has(name) ? name : undefined)

/** The name of a compression by its content type: `application/x-gzip` is `zlib`, for that is what the octets are. */
export const compressionName = (contentType: string): string | undefined => nameByType.get(contentType)
