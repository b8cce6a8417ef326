/**
 * A channel that tells when a refused request has closed it, even where its user catches the failure: asking for a queue
 * that may not be there is `queueDeclare` with `passive`, a caught 404, and a channel that is of no more use.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Channel } from "../Channel.ts"
import type { HubError } from "../HubError.ts"

/** Whether a channel that failed with it is of no more use. */
export const closes = ({ reason }: HubError): boolean =>
  reason._tag === "ChannelClosed" || reason._tag === "ConnectionLost"

export const watched = (channel: Channel, onClosed: () => void): Channel => {
  const seen = (error: HubError): Effect.Effect<void> => {
    if (closes(error)) onClosed()
    return Effect.void
  }
  const watch =
    <Args extends ReadonlyArray<unknown>, A>(verb: (...args: Args) => Effect.Effect<A, HubError>) =>
    (...args: Args): Effect.Effect<A, HubError> =>
      Effect.tapError(verb(...args), seen)
  return {
    closed: channel.closed,
    exchangeDeclare: watch(channel.exchangeDeclare),
    exchangeDelete: watch(channel.exchangeDelete),
    exchangeBind: watch(channel.exchangeBind),
    exchangeUnbind: watch(channel.exchangeUnbind),
    queueDeclare: watch(channel.queueDeclare),
    queueBind: watch(channel.queueBind),
    queueUnbind: watch(channel.queueUnbind),
    queuePurge: watch(channel.queuePurge),
    queueDelete: watch(channel.queueDelete),
    publish: watch(channel.publish),
    publishAll: watch(channel.publishAll),
    qos: watch(channel.qos),
    get: watch(channel.get),
    consume: (queue, options) => Stream.tapError(channel.consume(queue, options), seen)
  }
}
