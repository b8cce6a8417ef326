/**
 * The exchange all events go through, which the transport has a say in (celery/events/event.py `get_exchange`): topic, and fanout where
 * that goes by patterns. Who declares the other hears nothing, and where types are checked is refused (406).
 */
import type { Connection } from "@apium/hub/Connection"
import * as Exchange from "@apium/hub/Exchange"
import * as EventMessage from "@apium/protocol/celery/EventMessage"

// One value each: a connection declares a value once per link.
const exchanges = {
  topic: Exchange.topic(EventMessage.exchange),
  fanout: Exchange.fanout(EventMessage.exchange)
} as const

export const of = ({ capabilities }: Pick<Connection["Service"], "capabilities">): Exchange.Exchange =>
  exchanges[capabilities.eventExchange]
