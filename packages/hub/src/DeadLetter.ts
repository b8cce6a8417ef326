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

/** Of a header that is kept where not all of them fit, and of the error's text then. */
const small = 512

const isSmall = (value: unknown): boolean =>
  typeof value === "string" || value instanceof Uint8Array
    ? value.length <= small
    : typeof value !== "object" || value === null

/** Names that are told of headers that were left behind. */
const maxNames = 20

/**
 * Moves a delivery to the dead queue of where it came from. `text` is for a person; it carries no secret. Headers that just
 * fitted into a frame do not beside ours: the larger ones are left behind then (`x-apium-dropped`), or all.
 */
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
  const { [ownCount]: _, ...own } = message.headers
  const headers = Object.entries({ ...own, ...unread(delivery) })
  const now = yield* Clock.currentTimeMillis
  const publish = (keeps: (value: unknown) => boolean, most: number) => {
    const dropped = headers.filter(([, value]) => !keeps(value)).map(([name]) => name)
    return connection.publish(
      {
        body: message.body,
        properties: { ...message.properties, expiration: undefined, deliveryMode: "persistent" },
        headers: {
          ...Object.fromEntries(headers.filter(([, value]) => keeps(value))),
          ...(dropped.length === 0 ? undefined : { "x-apium-dropped": dropped.slice(0, maxNames) }),
          "x-apium-reason": reason,
          "x-apium-error": text.slice(0, most),
          "x-apium-queue": delivery.queue,
          "x-apium-exchange": route.exchange,
          "x-apium-routing-key": route.routingKey,
          "x-apium-time": new Date(now).toISOString()
        }
      },
      { exchange: "", routingKey: queue.name, mandatory: true },
      { queues: [queue] }
    )
  }
  const orFewer = (sent: Effect.Effect<void, HubError>, keeps: (value: unknown) => boolean) =>
    Effect.catchReason(sent, "HubError", "FrameTooLarge", () => publish(keeps, small))
  yield* orFewer(
    orFewer(
      publish(() => true, maxText),
      isSmall
    ),
    () => false
  )
  yield* delivery.ack
})
