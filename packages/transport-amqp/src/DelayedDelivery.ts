/**
 * Messages that RabbitMQ keeps until they are due: the lattice of kombu 5.5 and later, under its names and with its arguments, so
 * that Python and Apium share one (kombu/transport/native_delayed_delivery.py). A plugin is not needed, quorum queues are.
 *
 * A delay of whole seconds is 28 bits, and there is a queue for each: level n keeps a message for 2^n seconds and hands it to the
 * level below. A bit of 1 goes through the queue of its level, one of 0 past it. The bits are the beginning of the routing key, the
 * name of the queue that the message is for is its end. Five seconds for the queue `celery`:
 *
 * ```text
 *   Python                         publish  0.0. … .1.0.1.celery         (28 bits, most significant first)
 *      │                               │
 *   celery_delayed_27 ─0─▶ … ─0─▶ celery_delayed_2 ─1─▶ [celery_delayed_2: 4 s]
 *                                                                    │ expired
 *                                 celery_delayed_1 ◀─────────────────┘
 *                                      │0
 *                                 celery_delayed_0 ─1─▶ [celery_delayed_0: 1 s]
 *                                                                    │ expired
 *   [celery] ◀── *.*. … .celery ── celery_delayed_delivery ◀─────────┘
 * ```
 *
 * A publish with `Route.notBefore` on a channel of this transport does all of this by itself: the lattice is declared before the
 * first one on each link, and its queue is bound before each, for a binding goes with its queue. The delay is rounded down, and what
 * is left of it (below a second) is for whoever gets the message; the same holds beyond {@link maxDelay}.
 *
 * What an operator should know: messages that wait are in the queues `celery_delayed_<n>`, and count there as any others. Who
 * publishes needs the right to configure, write and read `celery_delayed.*`, and to write the queue itself; who may not is told so
 * (`DelayRefused`). A message whose queue was deleted meanwhile stays at its last level, and RabbitMQ tries it again every three
 * minutes. Of those it takes 32 at a time: so many of them hold up all others at that level, Python's too. Declare the queue again
 * and {@link bindQueue} it, and they go there.
 */
import type { Channel } from "@apium/hub/Channel"
import * as Exchange from "@apium/hub/Exchange"
import type { HubError } from "@apium/hub/HubError"
import type { Route } from "@apium/hub/Message"
import * as Queue from "@apium/hub/Queue"
import * as Topology from "@apium/hub/Topology"
import * as Effect from "effect/Effect"

/** Levels of the lattice: bits of a delay in seconds. */
export const levels = 28

/** Seconds: 8.5 years. */
export const maxDelay = 2 ** levels - 1

/** Of a level, 27 to 0. */
export const exchangeName = (level: number): string => `celery_delayed_${level}`

/** Of a level, 27 to 0: it keeps messages for `2 ** level` seconds. */
export const queueName = exchangeName

/** Where messages arrive that are due: the queues they are for are bound to it. */
export const deliveryExchange = "celery_delayed_delivery"

const top = levels - 1

/** The exchange of a level. */
const exchange = (level: number): Exchange.Exchange => Exchange.topic(exchangeName(level))

const delivery = Exchange.topic(deliveryExchange)

/** Above a level anything may be. */
const bit = (level: number, value: 0 | 1): string => `${"*.".repeat(top - level)}${value}.#`

/** The queue of a level, bound to its exchange, as kombu declares it. Another value of any argument is a 406. */
const queue = (level: number): Queue.Queue =>
  Queue.make(queueName(level), {
    arguments: {
      "x-queue-type": "quorum",
      "x-overflow": "reject-publish",
      "x-message-ttl": 2 ** level * 1000,
      "x-dead-letter-exchange": level > 0 ? exchangeName(level - 1) : deliveryExchange,
      "x-dead-letter-strategy": "at-least-once"
    },
    bindings: [{ exchange: exchange(level), routingKey: bit(level, 1), arguments: {} }]
  })

/** Exchanges and queues, the highest level first. What ties the exchanges is {@link exchangeBindings}. */
export const topology = () => {
  const descending = Array.from({ length: levels }, (_, index) => top - index)
  return {
    exchanges: [...descending.map(exchange), delivery],
    queues: descending.map(queue)
  } satisfies Topology.Topology
}

/** Each exchange to the one above, so that a bit of 0 is no wait. */
export const exchangeBindings = (): ReadonlyArray<readonly [destination: string, binding: Queue.Binding]> =>
  Array.from({ length: levels }, (_, index) => {
    const level = top - index
    const below = level > 0 ? exchangeName(level - 1) : deliveryExchange
    return [below, { exchange: exchange(level), routingKey: bit(level, 0), arguments: {} }]
  })

/** Of a message that is to wait for so many whole seconds, 1 to {@link maxDelay}. */
export const routingKey = (seconds: number, queue: string): string =>
  `${seconds.toString(2).padStart(levels, "0").split("").join(".")}.${queue}`

/**
 * Where a message goes in that is to wait so long: at its highest bit, for above there are only exchanges that hand it down. Python's
 * go in at the top, where RabbitMQ 3.10 matches long patterns in 28 exchanges for each: 1,000 of them take 7.4 s, and 0.34 s here.
 */
export const entrance = (seconds: number): string => exchangeName(31 - Math.clz32(seconds))

/** A word of its own: elsewhere in a name these are ordinary characters. */
const wildcard = /(^|\.)[*#](\.|$)/

/** Octets of a routing key, and of what the bits take of it. */
const longest = 255 - 2 * levels

/** Why a queue of this name cannot have delayed messages; `undefined` where it can. */
export const unsuitable = (queue: string): string | undefined => {
  if (wildcard.test(queue)) return `its name is a pattern to a topic exchange, and would match those of others`
  const octets = new TextEncoder().encode(queue).length
  return octets > longest ? `its name has ${octets} octets, and ${longest} fit behind the bits of a delay` : undefined
}

/**
 * Ties a queue to {@link deliveryExchange}; asking again changes nothing. Where kombu has `#.<key>`, this has 28 words of one
 * character: with `#` a queue `b` would get what is for a queue `a.b`, too.
 */
export const bindQueue = (channel: Channel, queue: string): Effect.Effect<void, HubError> =>
  channel.queueBind(queue, { exchange: delivery, routingKey: `${"*.".repeat(levels)}${queue}`, arguments: {} })

/**
 * Declares the lattice; what is there is left as it is. For programs that want it before the first delayed message, or for
 * clients of others: `connection.use(DelayedDelivery.declare)`.
 */
export const declare = (channel: Channel): Effect.Effect<void, HubError> =>
  Effect.andThen(
    Topology.declare(channel, topology()),
    Effect.forEach(exchangeBindings(), ([destination, binding]) => channel.exchangeBind(destination, binding), {
      discard: true
    })
  )

/** Whether a message that comes from this exchange was delayed. */
export const isLattice = (exchange: string): boolean => exchange.startsWith("celery_delayed_")

const delayed = new RegExp(`^(?:[01]\\.){${levels}}`)

/**
 * Where a message was published to before it was delayed. What is taken from the queue that it names was for the default exchange;
 * a kombu that delayed it may have had another one in mind, which nothing tells.
 */
export const originalRoute = (exchange: string, routingKey: string, queue: string): Route => {
  const original = routingKey.replace(delayed, "")
  return { exchange: original === queue ? "" : exchange, routingKey: original }
}
