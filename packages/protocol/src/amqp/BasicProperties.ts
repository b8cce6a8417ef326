/**
 * The fourteen basic properties of a content header (section 4.2.6.1): thirteen here, and the fourteenth is the table of headers, which has its own type and
 * is read when somebody asks for it.
 *
 * Lenient where a peer's oddity must not end the connection: a delivery mode other than 2 is transient, as for RabbitMQ, and text that is not UTF-8 gets
 * U+FFFD. A flag that no property has is refused, for nobody can know how long it is.
 */
import * as Result from "effect/Result"
import { ByteReader } from "../internal/byteReader.ts"
import { ByteWriter } from "../internal/byteWriter.ts"
import * as table from "../internal/table.ts"
import type { Properties } from "../kombu/Envelope.ts"
import { type AmqpError, InvalidValue } from "./AmqpError.ts"
import type { FieldTable } from "./FieldTable.ts"

export type { Properties } from "../kombu/Envelope.ts"

const flag = {
  contentType: 0x8000,
  contentEncoding: 0x4000,
  headers: 0x2000,
  deliveryMode: 0x1000,
  priority: 0x0800,
  correlationId: 0x0400,
  replyTo: 0x0200,
  expiration: 0x0100,
  messageId: 0x0080,
  timestamp: 0x0040,
  type: 0x0020,
  userId: 0x0010,
  appId: 0x0008,
  clusterId: 0x0004
} as const

const unknownFlags = 0x0003

/** Where the table of headers stands in what was read: its octets with the length in front. `start` is -1 where there is none. */
export interface Span {
  start: number
  end: number
}

const readFlags = (reader: ByteReader): number => {
  const flags = reader.short()
  if ((flags & unknownFlags) !== 0) throw reader.error("A flag that no basic property has", reader.at - 2)
  return flags
}

const skipHeaders = (reader: ByteReader, headers: Span): void => {
  headers.start = reader.at
  reader.skip(reader.long())
  headers.end = reader.at
}

const skipText = (reader: ByteReader): void => void reader.skip(reader.octet())

/** @internal Passes over flags and properties, which makes sure that {@link read} will not fail; `headers` says where the table stands. */
export const skip = (reader: ByteReader, headers: Span): void => {
  const flags = readFlags(reader)
  headers.start = -1
  if ((flags & flag.contentType) !== 0) skipText(reader)
  if ((flags & flag.contentEncoding) !== 0) skipText(reader)
  if ((flags & flag.headers) !== 0) skipHeaders(reader, headers)
  if ((flags & flag.deliveryMode) !== 0) reader.skip(1)
  if ((flags & flag.priority) !== 0) reader.skip(1)
  if ((flags & flag.correlationId) !== 0) skipText(reader)
  if ((flags & flag.replyTo) !== 0) skipText(reader)
  if ((flags & flag.expiration) !== 0) skipText(reader)
  if ((flags & flag.messageId) !== 0) skipText(reader)
  if ((flags & flag.timestamp) !== 0) reader.skip(8)
  if ((flags & flag.type) !== 0) skipText(reader)
  if ((flags & flag.userId) !== 0) skipText(reader)
  if ((flags & flag.appId) !== 0) skipText(reader)
  if ((flags & flag.clusterId) !== 0) skipText(reader)
}

/** @internal Flags and properties; the headers are passed over, and `headers` says where they stand. */
export const read = (reader: ByteReader, headers: Span): Properties => {
  const flags = readFlags(reader)
  headers.start = -1
  // One shape for all: an object that grows property by property costs four times as much to make.
  const properties: { -readonly [K in keyof Properties]: Properties[K] } = {
    contentType: undefined,
    contentEncoding: undefined,
    deliveryMode: undefined,
    priority: undefined,
    correlationId: undefined,
    replyTo: undefined,
    expiration: undefined,
    messageId: undefined,
    timestamp: undefined,
    type: undefined,
    userId: undefined,
    appId: undefined,
    clusterId: undefined
  }
  if ((flags & flag.contentType) !== 0) properties.contentType = reader.shortstr()
  if ((flags & flag.contentEncoding) !== 0) properties.contentEncoding = reader.shortstr()
  if ((flags & flag.headers) !== 0) {
    skipHeaders(reader, headers)
  }
  if ((flags & flag.deliveryMode) !== 0) properties.deliveryMode = reader.octet() === 2 ? "persistent" : "transient"
  if ((flags & flag.priority) !== 0) properties.priority = reader.octet()
  if ((flags & flag.correlationId) !== 0) properties.correlationId = reader.shortstr()
  if ((flags & flag.replyTo) !== 0) properties.replyTo = reader.shortstr()
  if ((flags & flag.expiration) !== 0) properties.expiration = reader.shortstr()
  if ((flags & flag.messageId) !== 0) properties.messageId = reader.shortstr()
  if ((flags & flag.timestamp) !== 0) properties.timestamp = table.readTimestamp(reader)
  if ((flags & flag.type) !== 0) properties.type = reader.shortstr()
  if ((flags & flag.userId) !== 0) properties.userId = reader.shortstr()
  if ((flags & flag.appId) !== 0) properties.appId = reader.shortstr()
  if ((flags & flag.clusterId) !== 0) properties.clusterId = reader.shortstr()
  return properties
}

/** @internal Flags and properties. `headers` left out is no table; an empty one is an empty table. */
export const write = (writer: ByteWriter, properties: Properties, headers: FieldTable | undefined): void => {
  let flags = 0
  writer.room(2)
  // From where the slab's unfinished part begins: the slab may change while we write.
  const begun = writer.at - writer.start
  writer.at += 2
  const { contentType, contentEncoding, deliveryMode, priority, correlationId, replyTo, expiration } = properties
  const { messageId, timestamp, type, userId, appId, clusterId } = properties
  if (contentType !== undefined) {
    flags |= flag.contentType
    writer.shortstr(contentType, "contentType")
  }
  if (contentEncoding !== undefined) {
    flags |= flag.contentEncoding
    writer.shortstr(contentEncoding, "contentEncoding")
  }
  if (headers !== undefined) {
    flags |= flag.headers
    table.writeTable(writer, headers, "headers")
  }
  if (deliveryMode !== undefined) {
    flags |= flag.deliveryMode
    writer.octet(modeOf(deliveryMode), "deliveryMode")
  }
  if (priority !== undefined) {
    flags |= flag.priority
    writer.octet(priority, "priority")
  }
  if (correlationId !== undefined) {
    flags |= flag.correlationId
    writer.shortstr(correlationId, "correlationId")
  }
  if (replyTo !== undefined) {
    flags |= flag.replyTo
    writer.shortstr(replyTo, "replyTo")
  }
  if (expiration !== undefined) {
    flags |= flag.expiration
    writer.shortstr(expiration, "expiration")
  }
  if (messageId !== undefined) {
    flags |= flag.messageId
    writer.shortstr(messageId, "messageId")
  }
  if (timestamp !== undefined) {
    flags |= flag.timestamp
    table.writeTimestamp(writer, timestamp, "timestamp")
  }
  if (type !== undefined) {
    flags |= flag.type
    writer.shortstr(type, "type")
  }
  if (userId !== undefined) {
    flags |= flag.userId
    writer.shortstr(userId, "userId")
  }
  if (appId !== undefined) {
    flags |= flag.appId
    writer.shortstr(appId, "appId")
  }
  if (clusterId !== undefined) {
    flags |= flag.clusterId
    writer.shortstr(clusterId, "clusterId")
  }
  const place = writer.start + begun
  writer.bytes[place] = flags >>> 8
  writer.bytes[place + 1] = flags
}

const modeOf = (mode: "transient" | "persistent"): number => {
  if (mode === "persistent") return 2
  if (mode === "transient") return 1
  throw new InvalidValue({ message: `deliveryMode should be "transient" or "persistent"`, path: "deliveryMode" })
}

export interface Decoded {
  readonly properties: Properties
  /** `undefined` where the message carries no table. */
  readonly headers: FieldTable | undefined
}

/** Reads flags and properties, headers included; throws {@link AmqpError}. */
export const decodeUnsafe = (bytes: Uint8Array): Decoded => {
  const reader = new ByteReader(bytes)
  const span: Span = { start: -1, end: -1 }
  const properties = read(reader, span)
  if (reader.at !== reader.end) throw reader.error(`${reader.end - reader.at} octets behind the properties`)
  return {
    properties,
    headers: span.start < 0 ? undefined : table.readTable(new ByteReader(bytes, span.start, span.end))
  }
}

/** Reads flags and properties, headers included. */
export const decode = (bytes: Uint8Array): Result.Result<Decoded, AmqpError> =>
  Result.try({ try: () => decodeUnsafe(bytes), catch: (error) => error as AmqpError })

/** Flags and properties as a content header carries them behind the body's size; throws {@link InvalidValue}. */
export const encodeUnsafe = (properties: Properties, headers?: FieldTable): Uint8Array => {
  const writer = new ByteWriter(256)
  write(writer, properties, headers)
  return writer.take()
}

/** Flags and properties as a content header carries them behind the body's size. */
export const encode = (properties: Properties, headers?: FieldTable): Result.Result<Uint8Array, InvalidValue> =>
  Result.try({ try: () => encodeUnsafe(properties, headers), catch: (error) => error as InvalidValue })
