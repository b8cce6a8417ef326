/**
 * Declares exchanges, queues and bindings in the order that works: exchanges first, then queues, then what ties them.
 * Declaring what is there already with the same properties is a no-op at the broker, so it is done on each new link.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Channel } from "./Channel.ts"
import type { Exchange } from "./Exchange.ts"
import type { HubError } from "./HubError.ts"
import type { Queue } from "./Queue.ts"
import type { Capabilities } from "./Transport.ts"

export interface Topology {
  readonly exchanges?: ReadonlyArray<Exchange> | undefined
  readonly queues?: ReadonlyArray<Queue> | undefined
}

/** The names of the queues, in order: a server-named queue has one only now. */
export const declare = Effect.fnUntraced(function* (
  channel: Channel,
  topology: Topology
): Effect.fn.Return<ReadonlyArray<string>, HubError> {
  const queues = topology.queues ?? []
  const exchanges = new Map((topology.exchanges ?? []).map((exchange) => [exchange.name, exchange]))
  for (const queue of queues) {
    for (const { exchange } of queue.bindings) exchanges.set(exchange.name, exchange)
  }
  for (const exchange of exchanges.values()) {
    if (exchange.name !== "") yield* channel.exchangeDeclare(exchange)
  }
  const names: Array<string> = []
  for (const queue of queues) {
    const { name } = yield* channel.queueDeclare(queue)
    for (const binding of queue.bindings) {
      if (binding.exchange.name !== "") yield* channel.queueBind(name, binding)
    }
    names.push(name)
  }
  return names
})

/**
 * From now on the queue hears what its fanout exchanges are told: where these go by patterns (Redis) that begins with the first take,
 * and what was published before is gone. What there is to take already goes back.
 */
export const listen = (
  channel: Channel,
  name: string,
  { eventExchange }: Pick<Capabilities, "eventExchange">
): Effect.Effect<void, HubError> =>
  eventExchange === "topic"
    ? Effect.void
    : Effect.flatMap(channel.get(name), Option.match({ onNone: () => Effect.void, onSome: ({ release }) => release }))
