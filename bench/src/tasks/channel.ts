/**
 * A channel of ours, and no client: publishes again, persistent, mandatory and confirmed, the very message that our client sends for a `bench.noop`.
 * What a client costs besides is what it takes less of these.
 */
import type { Delivery } from "@apium/hub/Delivery"
import type { Channel } from "@apium/hub/Channel"
import type { Message, Route } from "@apium/hub/Message"
import * as AmqpUri from "@apium/protocol/amqp/AmqpUri"
import * as AmqpConnection from "@apium/transport-amqp/AmqpConnection"
import * as Amqp from "@apium/transport-amqp/node"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import { program as apium } from "./apium.ts"
import { batch, type Program, queue, type Urls, window } from "./work.ts"

/** For as long as its process lives. */
export const open = (url: string): Promise<Channel> => {
  const uri = Result.getOrThrow(AmqpUri.parse(url))
  return AmqpConnection.make({ uri, socket: Amqp.dial(uri) }).pipe(
    Effect.flatMap(({ channel }) => channel),
    Scope.provide(Scope.makeUnsafe()),
    Effect.runPromise
  )
}

/** What our client sends, as the queue has it. */
export const sample = async (urls: Urls): Promise<Message> => {
  const client = await apium.produce(urls, { results: "none" })
  await client.send("each", "bench.noop", 1, false)
  const channel = await open(urls.broker)
  const taken = await Effect.runPromise(channel.get(queue))
  const delivery: Delivery = Option.getOrThrow(taken)
  await Effect.runPromise(delivery.ack)
  return delivery.message
}

export const route: Route = { exchange: "", routingKey: queue, mandatory: true }

export const program: Program = {
  produce: async (urls) => {
    const message = await sample(urls)
    const channel = await open(urls.broker)
    const some = Array.from({ length: batch }, () => [message, route] as const)
    return {
      send: (manner, _task, count) =>
        Effect.runPromise(
          Effect.suspend(() => {
            let left = count
            const lane = Effect.gen(function* () {
              while (left-- > 0) yield* channel.publish(message, route)
            })
            switch (manner) {
              case "batch":
                return Effect.gen(function* () {
                  for (let sent = 0; sent < count; sent += batch) yield* channel.publishAll(some.slice(0, count - sent))
                })
              case "together":
                return Effect.forEach(Array.from({ length: window }), () => lane, {
                  concurrency: window,
                  discard: true
                })
              case "each":
                return lane
            }
          })
        )
    }
  }
}
