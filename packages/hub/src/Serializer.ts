/**
 * Values to messages and back: the serializers that are registered, which of them a consumer accepts, and compression
 * (kombu/serialization.py, kombu/compression.py). Accepted by default: JSON, text and bytes. Pickle never.
 */
import * as Content from "@apium/protocol/kombu/Content"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Compression from "./Compression.ts"
import type { Arguments } from "./Exchange.ts"
import { ContentDisallowed, DecodeFailed, EncodeFailed, HubError } from "./HubError.ts"
import * as Message from "./Message.ts"

/** The registry in force; provide another to read msgpack or YAML, or to accept less. */
export class Serializers extends Context.Reference<Content.Registry>("@apium/hub/Serializer", {
  defaultValue: () => Content.registry()
}) {}

const disallowed = (error: Content.ContentDisallowed) =>
  new HubError({ reason: new ContentDisallowed({ contentType: error.contentType, text: error.message }) })

export interface EncodeOptions {
  /** A serializer's name; default `json`. */
  readonly serializer?: string | undefined
  /** A compression's name: `gzip`, `zlib`. */
  readonly compression?: string | undefined
  readonly properties?: Message.Properties | undefined
  readonly headers?: Arguments | undefined
}

/** A message with this value as its body; a value the serializer cannot write is `EncodeFailed`, which names the place. */
export const encode = (value: unknown, options: EncodeOptions = {}): Effect.Effect<Message.Message, HubError> =>
  Effect.flatMap(Serializers, (registry) => encodeWith(registry, value, options))

/** {@link encode} with a registry at hand: done when it returns, unless there is something to compress. */
export const encodeWith = (
  registry: Content.Registry,
  value: unknown,
  options: EncodeOptions
): Effect.Effect<Message.Message, HubError> => {
  let encoded: Content.Encoded
  try {
    encoded = Content.encodeUnsafe(registry, options.serializer ?? "json", value)
  } catch (error) {
    return Effect.fail(
      error instanceof Content.ContentDisallowed
        ? disallowed(error)
        : new HubError({
            reason: new EncodeFailed({
              what: `a value as ${options.serializer ?? "json"}`,
              text: error instanceof Error ? error.message : String(error)
            })
          })
    )
  }
  const { body, contentType, contentEncoding } = encoded
  const properties = { ...options.properties, contentType, contentEncoding }
  const headers = options.headers ?? {}
  return options.compression === undefined
    ? Effect.succeed(Message.make(body, properties, headers))
    : Effect.map(Compression.compress(options.compression, body), (compressed) =>
        Message.make(compressed.body, properties, { ...headers, compression: compressed.contentType })
      )
}

/** The value a message carries: `ContentDisallowed` if it is of a type nobody agreed to read, `DecodeFailed` if it is not of its type. */
export const decode = (message: Message.Message): Effect.Effect<unknown, HubError> =>
  Effect.flatMap(Serializers, (registry) => decodeWith(registry, message))

/** {@link decode} with a registry at hand: done when it returns, unless there is something to decompress. */
export const decodeWith = (registry: Content.Registry, message: Message.Message): Effect.Effect<unknown, HubError> => {
  const { contentType, contentEncoding } = message.properties
  const read = (body: Uint8Array): Effect.Effect<unknown, HubError> => {
    try {
      return Effect.succeed(Content.decodeUnsafe(registry, body, contentType, contentEncoding))
    } catch (error) {
      return Effect.fail(
        error instanceof Content.ContentDisallowed
          ? disallowed(error)
          : new HubError({
              reason: new DecodeFailed({
                what: "a message body",
                text: error instanceof Error ? error.message : String(error)
              })
            })
      )
    }
  }
  const { compression } = message.headers
  return typeof compression === "string"
    ? Effect.flatMap(Compression.decompress(compression, message.body), read)
    : read(message.body)
}
