/**
 * Values to messages and back: the serializers that are registered, which of them a consumer accepts, and compression
 * (kombu/serialization.py, kombu/compression.py). Accepted by default: JSON, text and bytes. Pickle never.
 *
 * ```ts
 * program.pipe(Effect.provide(Serializer.layer({ serializers: [msgpack], accept: ["msgpack"], serializer: "msgpack" })))
 * ```
 */
import * as Content from "@apium/protocol/kombu/Content"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Compression from "./Compression.ts"
import type { Arguments } from "./Exchange.ts"
import { ContentDisallowed, DecodeFailed, EncodeFailed, HubError } from "./HubError.ts"
import * as Message from "./Message.ts"

/** A serializer that takes its time: signing waits for the runtime's cryptography. */
export interface EffectSerializer {
  readonly name: string
  readonly contentType: string
  readonly contentEncoding: string
  readonly encode: (value: unknown) => Effect.Effect<Uint8Array, HubError>
  readonly decode: (body: Uint8Array) => Effect.Effect<unknown, HubError>
}

export interface Registry extends Content.Registry {
  /** By name, and by content type, which has to be accepted like any other. Most registries have none, and are done when they return. */
  readonly effects?: ReadonlyMap<string, EffectSerializer> | undefined
  /** What is sent is written by this one, unless its sender says otherwise (Celery's `task_serializer`). Default `json`. */
  readonly serializer?: string | undefined
  /** What tasks are compressed by, unless their sender says otherwise (Celery's `task_compression`). Default: they are not. */
  readonly compression?: string | undefined
  /** Only what was signed is read: nothing else in a message is to be believed before. */
  readonly signed?: boolean | undefined
}

/** The registry in force; provide another to read msgpack or YAML, or to accept less: {@link layer}. */
export class Serializers extends Context.Reference<Registry>("@apium/hub/Serializer", {
  defaultValue: () => Content.registry()
}) {}

export interface Options {
  /** Beside those that are in force. */
  readonly serializers?: ReadonlyArray<Content.Serializer> | undefined
  /** Names (`json`) or content types. Default: what was accepted, and `serializers`, unless only what was signed is read. */
  readonly accept?: ReadonlyArray<string> | undefined
  /** What is sent is written by this one, unless its sender says otherwise. */
  readonly serializer?: string | undefined
  /** What tasks are compressed by, unless their sender says otherwise: `zlib`, `zstd`. */
  readonly compression?: string | undefined
}

/**
 * What is accepted, and what is sent, by kombu's names (`accept_content`, `task_serializer`, `task_compression`). A name that nobody has is
 * `ContentDisallowed`, which says where it is to be had; so is pickle.
 */
export const layer = (options: Options): Layer.Layer<never, HubError> =>
  Layer.effect(
    Serializers,
    Effect.flatMap(Serializers, (inForce) => {
      const { accept, compression = inForce.compression, serializer = inForce.serializer, serializers = [] } = options
      const all = Content.registry([...inForce.byContentType.values(), ...serializers])
      const { effects } = inForce
      const unknown = [...(accept ?? []), ...(serializer === undefined ? [] : [serializer])].find((name) =>
        // Its content type is that of bytes, which are not signed.
        name === "auth" ? effects?.has(name) !== true : !isKnown(all, effects, name)
      )
      if (unknown !== undefined) return Effect.fail(disallowed(Content.missing(all, unknown)))
      const added = serializers.map(({ contentType }) => contentType)
      // Who has only what was signed is not opened to others by a serializer that he may send with.
      const plain = Content.accepting(
        all,
        accept ?? (inForce.signed === true ? inForce.accept : [...inForce.accept, ...added])
      )
      const signed = effects !== undefined && [...plain.accept].every((type) => effects.has(type))
      return Effect.succeed<Registry>({ ...plain, effects, serializer, compression, signed })
    })
  )

const isKnown = (all: Content.Registry, effects: Registry["effects"], name: string): boolean =>
  all.byName.has(name) || all.byContentType.has(name) || effects?.has(name) === true

/**
 * The same registry, writing and reading JSON, too: events and results are JSON whatever tasks are in, as with Celery, which has
 * `event_serializer` and `result_serializer` for them.
 */
export const withJson = (self: Registry): Registry => ({
  ...Content.registry([...self.byContentType.values(), Content.json], {
    accept: [...self.accept, Content.json.contentType]
  }),
  effects: self.effects
})

const disallowed = (error: Content.ContentDisallowed) =>
  new HubError({ reason: new ContentDisallowed({ contentType: error.contentType, text: error.message }) })

/** What writing with a registry failed of; with its own reason where it has one. */
export const encodeFailure = (error: unknown, serializer: string): HubError =>
  error instanceof Content.ContentDisallowed
    ? disallowed(error)
    : new HubError({
        reason: new EncodeFailed({
          what: `a value as ${serializer}`,
          text: error instanceof Error ? error.message : String(error)
        })
      })

/** What reading with a registry failed of. */
export const decodeFailure = (error: unknown): HubError =>
  error instanceof Content.ContentDisallowed
    ? disallowed(error)
    : new HubError({
        reason: new DecodeFailed({
          what: "a message body",
          text: error instanceof Error ? error.message : String(error)
        })
      })

export interface EncodeOptions {
  /** A serializer's name; default the registry's, which is `json`. */
  readonly serializer?: string | undefined
  /** A compression's name: `gzip`, `zlib`. */
  readonly compression?: string | undefined
  readonly properties?: Message.Properties | undefined
  readonly headers?: Arguments | undefined
}

/** A message with this value as its body; a value the serializer cannot write is `EncodeFailed`, which names the place. */
export const encode = (value: unknown, options: EncodeOptions = {}): Effect.Effect<Message.Message, HubError> =>
  Effect.flatMap(Serializers, (registry) => encodeWith(registry, value, options))

/** {@link encode} with a registry at hand: done when it returns, unless there is something to sign or to compress. */
export const encodeWith = (
  registry: Registry,
  value: unknown,
  options: EncodeOptions
): Effect.Effect<Message.Message, HubError> => {
  const serializer = options.serializer ?? registry.serializer ?? "json"
  const slow = registry.effects?.get(serializer)
  if (slow !== undefined) {
    const { contentEncoding, contentType } = slow
    return Effect.flatMap(slow.encode(value), (body) => made({ body, contentType, contentEncoding }, options))
  }
  let encoded: Content.Encoded
  try {
    encoded = Content.encodeUnsafe(registry, serializer, value)
  } catch (error) {
    return Effect.fail(encodeFailure(error, serializer))
  }
  return made(encoded, options)
}

const made = (
  { body, contentType, contentEncoding }: Content.Encoded,
  options: EncodeOptions
): Effect.Effect<Message.Message, HubError> => {
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

/** {@link decode} with a registry at hand: done when it returns, unless there is something to verify or to decompress. */
export const decodeWith = (registry: Registry, message: Message.Message): Effect.Effect<unknown, HubError> => {
  const { contentType, contentEncoding } = message.properties
  const read = (body: Uint8Array): Effect.Effect<unknown, HubError> => {
    const slow = registry.effects === undefined ? undefined : slowFor(registry, contentType)
    if (slow !== undefined) return slow.decode(body)
    try {
      return Effect.succeed(Content.decodeUnsafe(registry, body, contentType, contentEncoding))
    } catch (error) {
      return Effect.fail(decodeFailure(error))
    }
  }
  const { compression } = message.headers
  return typeof compression === "string"
    ? Effect.flatMap(Compression.decompress(compression, message.body), read)
    : read(message.body)
}

const slowFor = ({ accept, effects }: Registry, contentType: string | undefined): EffectSerializer | undefined => {
  const type = Content.typeOf(contentType)
  return accept.has(type) ? effects?.get(type) : undefined
}
