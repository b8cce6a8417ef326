/** Messages as kombu's envelopes, and back. */
import { EncodeFailed, HubError } from "@apium/hub/HubError"
import type { Message } from "@apium/hub/Message"
import type { Put, StoredMessage } from "@apium/hub/virtual/VirtualStore"
import * as Envelope from "@apium/protocol/kombu/Envelope"
import * as Json from "@apium/protocol/kombu/Json"

/** A message we hold. */
export interface Held {
  readonly queue: string
  readonly envelope: Envelope.Envelope
}

/** How often it was given back, in the envelope's properties: kombu keeps what it does not know. */
const deliveries = "apium_deliveries"

/** When its time to live is over, in milliseconds since the epoch, beside it. */
const expiresAt = "apium_expires_at"

const integer = (value: unknown): number | undefined =>
  typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : undefined

/** Kombu says that it gave a message back, and not how often: once at least. */
export const deliveriesOf = ({ extra, redelivered }: Envelope.Envelope): number =>
  integer(extra?.properties?.[deliveries]) ?? (redelivered ? 1 : 0)

/** The shorter of what the message says (`expiration`) and its queue (`x-message-ttl`), in milliseconds; `undefined`: for ever. */
export const timeToLive = (
  { properties: { expiration } }: Message,
  ofQueue: number | undefined
): number | undefined => {
  const own = expiration === undefined || expiration === "" ? undefined : integer(Number(expiration))
  return own === undefined || ofQueue === undefined ? (own ?? ofQueue) : Math.min(own, ofQueue)
}

const written = (envelope: Envelope.Envelope): string => {
  try {
    return Envelope.encode(envelope)
  } catch (error) {
    throw new HubError({
      reason: new EncodeFailed({ what: "message", text: (error as Envelope.InvalidEnvelope).message })
    })
  }
}

/** Throws `EncodeFailed`. `until`: when it expires, in milliseconds since the epoch. */
export const encode = (
  { message: { body, headers, properties }, exchange, routingKey }: Put,
  deliveryTag: string,
  until?: number
): string =>
  written({
    body,
    headers,
    properties,
    deliveryTag,
    deliveryInfo: { exchange, routingKey },
    redelivered: false,
    ...(until === undefined ? undefined : { extra: { properties: { [expiresAt]: until } } })
  })

/** As it goes back. */
export const again = (envelope: Envelope.Envelope, counted: boolean): string => {
  const count = deliveriesOf(envelope) + (counted ? 1 : 0)
  const { extra } = envelope
  return written({
    ...envelope,
    redelivered: true,
    // Also 0: without it, what was given back unseen would count as delivered.
    extra: { ...extra, properties: { ...extra?.properties, [deliveries]: count } }
  })
}

/** `now`: milliseconds since the epoch. */
export const stored = (tag: string, { queue, envelope }: Held, now: number): StoredMessage => ({
  tag,
  queue,
  message: { body: envelope.body, headers: envelope.headers, properties: envelope.properties },
  exchange: envelope.deliveryInfo.exchange,
  routingKey: envelope.deliveryInfo.routingKey,
  redelivered: envelope.redelivered,
  deliveryCount: deliveriesOf(envelope),
  expired: (integer(envelope.extra?.properties?.[expiresAt]) ?? Number.POSITIVE_INFINITY) <= now
})

const oneLine = (error: unknown): string => (error as { readonly message: string }).message.replaceAll("\n", " ")

export interface Overdue {
  readonly exchange: string
  readonly routingKey: string
  readonly priority: number
  /** As it goes back. */
  readonly text: string
}

/** What stands under `unacked`, `[envelope, exchange, routing key]`; or why we cannot read it. */
export const unacked = (entry: string): Overdue | string => {
  try {
    const parts = Json.parse(entry)
    if (!Array.isArray(parts)) return "not [envelope, exchange, routing key]"
    const envelope = Envelope.fromRecord(parts[0])
    return {
      exchange: typeof parts[1] === "string" ? parts[1] : "",
      routingKey: typeof parts[2] === "string" ? parts[2] : "",
      priority: envelope.properties.priority ?? 0,
      text: again(envelope, true)
    }
  } catch (error) {
    return oneLine(error)
  }
}

/** What the claim gave us, read; or why we cannot. */
export type Claimed =
  | Taken
  | { readonly queue: string; readonly tag: string; readonly fault: string; readonly held?: undefined }

export interface Taken {
  readonly tag: string
  readonly held: Held
}

export const read = (queue: string, tag: string, text: string): Claimed => {
  try {
    return { tag, held: { queue, envelope: Envelope.decodeUnsafe(text) } }
  } catch (error) {
    return { queue, tag, fault: `not an envelope: ${oneLine(error)}` }
  }
}
