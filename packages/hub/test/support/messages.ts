/** Messages as text, for tests that look at nothing else. */
import type { Channel } from "@apium/hub/Channel"
import type { Delivery } from "@apium/hub/Delivery"
import * as Message from "@apium/hub/Message"
import { Effect, Option } from "effect"

export const message = (text: string, properties?: Message.Properties, headers?: Message.Message["headers"]) =>
  Message.make(new TextEncoder().encode(text), properties, headers)

export const textOf = (delivery: Delivery): string => new TextDecoder().decode(delivery.message.body)

/** `1`, `2`, ... */
export const numbered = (count: number): ReadonlyArray<string> =>
  Array.from({ length: count }, (_, index) => String(index + 1))

/** Everything that waits in the queue, acknowledged. */
export const drain = Effect.fnUntraced(function* (channel: Channel, queue: string) {
  const taken: Array<Delivery> = []
  for (;;) {
    const delivery = yield* channel.get(queue)
    if (Option.isNone(delivery)) return taken
    yield* delivery.value.ack
    taken.push(delivery.value)
  }
})

/** Lets every fiber run that can. */
export const settle = Effect.repeat(Effect.yieldNow, { times: 50 })
