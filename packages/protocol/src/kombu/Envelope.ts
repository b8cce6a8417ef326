/**
 * The message of kombu's virtual transports (Redis and its kin), one JSON text (`kombu/transport/virtual/base.py`, WIRE 4.3):
 *
 * ```json
 * {"body": "<base64>", "content-encoding": "utf-8", "content-type": "application/json", "headers": {},
 *  "properties": {"correlation_id": "...", "delivery_mode": 2, "delivery_info": {"exchange": "", "routing_key": "celery"},
 *                 "priority": 0, "body_encoding": "base64", "delivery_tag": "<uuid4>"}}
 * ```
 *
 * A message that was given back says so twice, in `headers.redelivered` and in `delivery_info.redelivered`: here it is one flag, and no header. The delivery
 * tag is inside the text and so survives a redelivery. Keys this module does not know are kept in `extra`.
 */
import * as Data from "effect/Data"
import * as Result from "effect/Result"
import * as base64 from "../internal/base64.ts"
import { describe, type Fields, field, isRecord, nothing, rest } from "../internal/record.ts"
import * as Json from "./Json.ts"

/** The fourteen basic properties of AMQP 0-9-1. */
export interface Properties {
  readonly contentType?: string | undefined
  readonly contentEncoding?: string | undefined
  readonly deliveryMode?: "transient" | "persistent" | undefined
  readonly priority?: number | undefined
  readonly correlationId?: string | undefined
  readonly replyTo?: string | undefined
  /** Milliseconds, as text: that is what the wire carries. */
  readonly expiration?: string | undefined
  readonly messageId?: string | undefined
  readonly timestamp?: Date | undefined
  readonly type?: string | undefined
  readonly userId?: string | undefined
  readonly appId?: string | undefined
  readonly clusterId?: string | undefined
}

export interface Envelope {
  readonly body: Uint8Array
  readonly headers: Readonly<Record<string, unknown>>
  readonly properties: Properties
  readonly deliveryTag: string
  readonly deliveryInfo: { readonly exchange: string; readonly routingKey: string }
  readonly redelivered: boolean
  /** How the body is written; `base64` when left out. A plain body has to be UTF-8. */
  readonly bodyEncoding?: "base64" | "plain" | undefined
  /** Keys that other peers put in, by the object they were found in. */
  readonly extra?: Extra | undefined
}

export interface Extra {
  readonly message?: Readonly<Record<string, unknown>> | undefined
  readonly properties?: Readonly<Record<string, unknown>> | undefined
  readonly deliveryInfo?: Readonly<Record<string, unknown>> | undefined
}

/** The text is no envelope, or the envelope cannot be written. The message says which field. */
export class InvalidEnvelope extends Data.TaggedError("InvalidEnvelope")<{ readonly message: string }> {}

const encoder = new TextEncoder()
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

const textProperties: ReadonlyArray<readonly [key: keyof Properties, wire: string]> = [
  ["correlationId", "correlation_id"],
  ["replyTo", "reply_to"],
  ["expiration", "expiration"],
  ["messageId", "message_id"],
  ["type", "type"],
  ["userId", "user_id"],
  ["appId", "app_id"],
  ["clusterId", "cluster_id"]
]

const knownMessage: ReadonlySet<string> = new Set(["body", "content-encoding", "content-type", "headers", "properties"])
const knownDeliveryInfo: ReadonlySet<string> = new Set(["exchange", "routing_key", "redelivered"])
const knownProperties: ReadonlySet<string> = new Set([
  ...textProperties.map(([, wire]) => wire),
  "delivery_mode",
  "priority",
  "timestamp",
  "body_encoding",
  "delivery_tag",
  "delivery_info"
])

// ------------------------------------------------------------------ reading

/** Reads an envelope, or throws {@link InvalidEnvelope}: the hot path's form of {@link decode}. */
export const decodeUnsafe = (text: string): Envelope => {
  let message: unknown
  try {
    message = Json.parse(text)
  } catch (error) {
    throw new InvalidEnvelope({ message: `An envelope is one JSON object: ${(error as Json.JsonError).message}` })
  }
  return fromRecord(message)
}

/** Reads an envelope. */
export const decode = (text: string): Result.Result<Envelope, InvalidEnvelope> =>
  Result.try({ try: () => decodeUnsafe(text), catch: (error) => error as InvalidEnvelope })

/** Reads an envelope that is parsed already, as in the array kept under `unacked`; throws {@link InvalidEnvelope}. */
export const fromRecord = (message: unknown): Envelope => {
  if (!isRecord(message)) throw invalid("The envelope", "an object", message)
  const wire = field(message, "properties")
  if (!isRecord(wire)) throw invalid("properties", "an object", wire)
  const info = field(wire, "delivery_info") ?? {}
  if (!isRecord(info)) throw invalid("properties.delivery_info", "an object", info)
  const headers = field(message, "headers") ?? {}
  if (!isRecord(headers)) throw invalid("headers", "an object", headers)
  const tag = field(wire, "delivery_tag")
  if (typeof tag !== "string" && typeof tag !== "number") throw invalid("properties.delivery_tag", "a string", tag)
  const bodyEncoding = field(wire, "body_encoding") ?? "plain"

  const flagged = Object.hasOwn(headers, "redelivered")
  const extra = readExtra(message, wire, info)
  return {
    body: readBody(field(message, "body"), bodyEncoding),
    headers: flagged ? rest(headers, redeliveredOnly) : headers,
    properties: readProperties(message, wire),
    deliveryTag: String(tag),
    deliveryInfo: {
      exchange: text(info, "exchange", "properties.delivery_info.") ?? "",
      routingKey: text(info, "routing_key", "properties.delivery_info.") ?? ""
    },
    redelivered: (flagged && headers.redelivered === true) || field(info, "redelivered") === true,
    bodyEncoding: bodyEncoding === "base64" ? "base64" : "plain",
    ...(extra === undefined ? undefined : { extra })
  }
}

const readExtra = (message: Fields, wire: Fields, info: Fields): Extra | undefined => {
  const extra = {
    message: rest(message, knownMessage),
    properties: rest(wire, knownProperties),
    deliveryInfo: rest(info, knownDeliveryInfo)
  }
  const isEmpty = extra.message === nothing && extra.properties === nothing && extra.deliveryInfo === nothing
  return isEmpty ? undefined : extra
}

const redeliveredOnly: ReadonlySet<string> = new Set(["redelivered"])

const invalid = (what: string, wanted: string, found: unknown): InvalidEnvelope =>
  new InvalidEnvelope({ message: `${what} should be ${wanted}, and is ${describe(found)}` })

const text = (record: Fields, key: string, parent: string): string | undefined => {
  const value = field(record, key)
  if (value === undefined || value === null) return undefined
  if (typeof value === "string") return value
  // senders that put a number in, such as an expiration, mean its digits
  if (typeof value === "number" || typeof value === "bigint") return String(value)
  if (value instanceof Json.Uuid) return value.text
  throw invalid(parent + key, "a string", value)
}

const readBody = (body: unknown, encoding: unknown): Uint8Array => {
  if (encoding !== "base64" && encoding !== "plain") {
    throw invalid("properties.body_encoding", '"base64" or absent', encoding)
  }
  if (body === undefined || body === null) return new Uint8Array(0)
  if (body instanceof Uint8Array) return body
  if (typeof body !== "string") throw invalid("body", "a string", body)
  if (encoding === "plain") return encoder.encode(body)
  try {
    return base64.decode(body)
  } catch {
    throw new InvalidEnvelope({ message: `body should be base64 (its body_encoding says so), and is not` })
  }
}

const readProperties = (message: Fields, wire: Fields): Properties => {
  const properties: { -readonly [K in keyof Properties]: Properties[K] } = {}
  const contentType = text(message, "content-type", "")
  if (contentType !== undefined) properties.contentType = contentType
  const contentEncoding = text(message, "content-encoding", "")
  if (contentEncoding !== undefined) properties.contentEncoding = contentEncoding
  for (const [key, name] of textProperties) {
    const value = text(wire, name, "properties.")
    if (value !== undefined) (properties as Record<string, unknown>)[key] = value
  }
  const mode = field(wire, "delivery_mode")
  if (mode !== undefined && mode !== null)
    properties.deliveryMode = mode === 1 || mode === "1" ? "transient" : "persistent"
  const priority = field(wire, "priority")
  if (typeof priority === "number") properties.priority = priority
  else if (priority !== undefined && priority !== null) throw invalid("properties.priority", "a number", priority)
  const timestamp = field(wire, "timestamp")
  if (timestamp instanceof Date) properties.timestamp = timestamp
  else if (typeof timestamp === "number") properties.timestamp = new Date(timestamp * 1000)
  else if (timestamp instanceof Json.PyDateTime) properties.timestamp = timestamp.toDate()
  else if (timestamp !== undefined && timestamp !== null) throw invalid("properties.timestamp", "a datetime", timestamp)
  return properties
}

// ------------------------------------------------------------------ writing

/** The envelope as kombu writes it, keys in kombu's order. Throws {@link InvalidEnvelope} on headers that JSON cannot carry. */
export const encode = (envelope: Envelope): string => {
  try {
    return Json.stringify(toRecord(envelope))
  } catch (error) {
    if (error instanceof InvalidEnvelope) throw error
    throw new InvalidEnvelope({ message: `The envelope cannot be written: ${(error as Json.JsonError).message}` })
  }
}

/** The same before it is written as text, as the array kept under `unacked` wants it. */
export const toRecord = (envelope: Envelope): Record<string, unknown> => {
  const { properties, redelivered, extra = {} } = envelope
  const base64Body = (envelope.bodyEncoding ?? "base64") === "base64"
  return {
    body: base64Body ? base64.encode(envelope.body) : plain(envelope.body),
    "content-encoding": properties.contentEncoding ?? null,
    "content-type": properties.contentType ?? null,
    headers: redelivered ? { ...envelope.headers, redelivered: true } : envelope.headers,
    properties: {
      ...writeProperties(properties),
      delivery_info: {
        exchange: envelope.deliveryInfo.exchange,
        routing_key: envelope.deliveryInfo.routingKey,
        ...(redelivered ? { redelivered: true } : {}),
        ...extra.deliveryInfo
      },
      priority: properties.priority ?? 0,
      ...(base64Body ? { body_encoding: "base64" } : {}),
      delivery_tag: envelope.deliveryTag,
      ...extra.properties
    },
    ...extra.message
  }
}

const writeProperties = (properties: Properties): Record<string, unknown> => {
  const wire: Record<string, unknown> = {}
  for (const [key, name] of textProperties) if (properties[key] !== undefined) wire[name] = properties[key]
  if (properties.timestamp !== undefined) wire.timestamp = properties.timestamp
  wire.delivery_mode = properties.deliveryMode === "transient" ? 1 : 2
  return wire
}

const plain = (body: Uint8Array): string => {
  try {
    return utf8.decode(body)
  } catch {
    throw new InvalidEnvelope({ message: `A body of ${body.length} octets is not UTF-8: write it as base64` })
  }
}
