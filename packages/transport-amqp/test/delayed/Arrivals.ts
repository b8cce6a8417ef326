/** What the tests of delayed messages have in common. */
import { Connection } from "@apium/hub/Connection"
import type { Delivery } from "@apium/hub/Delivery"
import * as Message from "@apium/hub/Message"
import type { Queue } from "@apium/hub/Queue"
import { Effect, Queue as Inbox, Stream } from "effect"

export const textOf = ({ message }: Delivery): string => new TextDecoder().decode(message.body)

export const persistent = (text: string, properties: Message.Properties = {}): Message.Message =>
  Message.make(new TextEncoder().encode(text), { deliveryMode: "persistent", ...properties })

/** To a queue, to arrive in so many seconds. What is more than whole ones may go by before it is published. */
export const to = (routingKey: string, seconds: number): Message.Route & { readonly notBefore: number } => ({
  exchange: "",
  routingKey,
  mandatory: true,
  notBefore: Date.now() + seconds * 1000
})

/**
 * When it may arrive at the earliest, whenever it was published: what is left by then is rounded down to whole seconds. Broker and test
 * have clocks of whole milliseconds.
 */
export const earliest = ({ notBefore }: { readonly notBefore: number }): number => notBefore - 1002

/** What arrives in a queue, acknowledged. */
export const arrivals = (queue: Queue) =>
  Effect.gen(function* () {
    const channel = yield* (yield* Connection).channel
    const { name } = yield* channel.queueDeclare(queue)
    const arrived = yield* Inbox.unbounded<{ readonly delivery: Delivery; readonly at: number }>()
    yield* channel.consume(name).pipe(
      Stream.runForEach((delivery) => Effect.andThen(Inbox.offer(arrived, { delivery, at: Date.now() }), delivery.ack)),
      Effect.forkScoped
    )
    return arrived
  })
