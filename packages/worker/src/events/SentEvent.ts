/**
 * `task-sent`, the one event that a client sends (celery/app/amqp.py, `task_send_sent_event`): once the broker has the task,
 * and alone, as all events of clients. Nobody is told when it cannot be sent: the task is on its way.
 */
import type { Connection } from "@apium/hub/Connection"
import * as Serializer from "@apium/hub/Serializer"
import * as EventMessage from "@apium/protocol/celery/EventMessage"
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { Outgoing } from "../client/Outgoing.ts"
import * as EventExchange from "./EventExchange.ts"
import * as Origin from "./Origin.ts"

const routingKey = EventMessage.routingKey("task-sent")

export const make = (
  connection: Connection["Service"],
  sender: Origin.Sender,
  wall: Clock.Clock
): ((batch: ReadonlyArray<Outgoing>) => Effect.Effect<void>) => {
  // No more than a counter: a client hears nobody.
  let sent = 0
  const exchange = EventExchange.of(connection)
  const origin = Origin.make(sender, wall, { forward: () => ++sent })
  return (batch) =>
    Effect.forEach(batch, ({ task: { headers }, to }) => {
      const event = EventMessage.make("task-sent", origin(), {
        uuid: headers.id,
        root_id: headers.rootId,
        parent_id: headers.parentId,
        name: headers.task,
        args: headers.argsrepr ?? "()",
        kwargs: headers.kwargsrepr ?? "{}",
        retries: headers.retries,
        eta: headers.eta,
        expires: headers.expires,
        queue: to.queue ?? null,
        exchange: to.exchange,
        routing_key: to.routingKey
      })
      return Effect.mapEager(
        Serializer.encode(EventMessage.encode(event), {
          serializer: "json",
          properties: { deliveryMode: "transient", priority: 0 },
          headers: { hostname: sender.hostname }
        }),
        (message) => [message, { exchange: exchange.name, routingKey }] as const
      )
    }).pipe(
      Effect.flatMap((messages) => connection.publishAll(messages, { exchanges: [exchange] })),
      Effect.catch((error) => Effect.logDebug("A task-sent event could not be sent", { reason: error.message }))
    )
}
