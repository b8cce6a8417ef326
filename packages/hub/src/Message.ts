/**
 * A message: bytes, the fourteen basic properties of AMQP 0-9-1 (section 4.2.6 of the specification), and headers. A
 * value: whoever holds one must not write to its body.
 */
import { brokerHeaders } from "@apium/protocol/kombu/BrokerHeaders"
import type { Arguments } from "./Exchange.ts"

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

export interface Message {
  readonly body: Uint8Array
  readonly properties: Properties
  readonly headers: Arguments
}

/** Where a message is published to, or was. */
export interface Route {
  readonly exchange: string
  readonly routingKey: string
  /** Fail with `Returned` when no queue takes the message (where `capabilities.mandatory` says it can be known). */
  readonly mandatory?: boolean | undefined
  /** `false`: the publish returns when the message is on its way, and does not wait for the broker to have it. */
  readonly confirm?: boolean | undefined
  /**
   * `false`: where there is no link, or it is lost meanwhile, the publish fails with `ConnectionLost` at once, instead of going out on the
   * next one; whether the broker has the message is not known then.
   */
  readonly wait?: boolean | undefined
  /**
   * Not to be delivered before this time, in milliseconds since the epoch. `capabilities.delay` says who keeps the
   * message until then: a store to the millisecond, a lattice for whole seconds, so that it comes up to one second early; where
   * that is a consumer or the worker, the transport delivers at once. `DelayRefused` is of a broker that should, and does not.
   */
  readonly notBefore?: number | undefined
}

export const make = (body: Uint8Array, properties: Properties = {}, headers: Arguments = {}): Message => ({
  body,
  properties,
  headers
})

/**
 * What may be published again as our own. RabbitMQ refuses another user's `userId` (406), routes to what `CC` names a second
 * time, and drops what has been dead-lettered by the same queue before (`x-death`): a message that is delayed twice.
 */
export const republishable = (message: Message): Message => {
  const { body, properties, headers } = message
  const names = Object.keys(headers)
  if (properties.userId === undefined && !names.some((name) => brokerHeaders.has(name))) return message
  return {
    body,
    properties: { ...properties, userId: undefined },
    headers: Object.fromEntries(names.filter((name) => !brokerHeaders.has(name)).map((name) => [name, headers[name]]))
  }
}
