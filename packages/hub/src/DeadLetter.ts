/**
 * Where messages go that nobody can handle: `<queue>.dead`, a durable queue of our own, with the reason in the headers. A
 * confirmed publish, then an acknowledgement: it works whatever the queue was declared with, and nothing is lost between.
 * (A reject relies on the queue's `x-dead-letter-exchange`, and a queue Python declared without one cannot be redeclared
 * with it: 406.)
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { Connection } from "./Connection.ts"
import { type Delivery, ownCount } from "./Delivery.ts"
import type { HubError } from "./HubError.ts"
import * as Message from "./Message.ts"
import * as Queue from "./Queue.ts"

/** `x-apium-reason`: what kind of end it was. */
export type Reason = "failed" | "undecodable" | "unregistered" | "deliveries"

export const queueOf = (queue: string): string => `${queue}.dead`

/** At most this much of the error's text travels in the header: brokers limit a header frame to 128 KiB. */
const maxText = 4096

/** So much of headers that cannot be read, as they came: for whoever finds out what they are. */
const maxOctets = 65_536

const unread = ({ unreadable }: Delivery) =>
  unreadable === undefined ? undefined : { "x-apium-headers": unreadable.headers.slice(0, maxOctets) }

/** Moves a delivery to the dead queue of where it came from. `text` is for a person; it carries no secret. */
export const send = Effect.fnUntraced(function* (
  connection: Connection["Service"],
  delivery: Delivery,
  reason: Reason,
  text: string
): Effect.fn.Return<void, HubError> {
  const queue = Queue.make(queueOf(delivery.queue))
  const { route } = delivery
  const message = Message.republishable(delivery.message)
  // Whoever puts it back into its queue means it to run.
  const { [ownCount]: _, ...headers } = message.headers
  const now = yield* Clock.currentTimeMillis
  yield* connection.publish(
    {
      body: message.body,
      properties: { ...message.properties, expiration: undefined, deliveryMode: "persistent" },
      headers: {
        ...headers,
        ...unread(delivery),
        "x-apium-reason": reason,
        "x-apium-error": text.slice(0, maxText),
        "x-apium-queue": delivery.queue,
        "x-apium-exchange": route.exchange,
        "x-apium-routing-key": route.routingKey,
        "x-apium-time": new Date(now).toISOString()
      }
    },
    { exchange: "", routingKey: queue.name, mandatory: true },
    { queues: [queue] }
  )
  yield* delivery.ack
})
