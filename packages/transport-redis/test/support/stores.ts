/** Stores of one Redis, and what to put into them. */
import * as Message from "@apium/hub/Message"
import type { Put, StoredMessage } from "@apium/hub/virtual/VirtualStore"
import * as Redis from "@apium/transport-redis/node"
import * as RedisStore from "@apium/transport-redis/RedisStore"
import * as RedisUri from "@apium/transport-redis/RedisUri"
import { Effect, Layer } from "effect"
import { Redis as Server } from "../../../../test/support/Redis.ts"

/** A connection to the Redis of the layer. */
export const connected = <A, E>(server: Layer.Layer<Server | A, E>, options?: Redis.Options) =>
  Layer.unwrap(Effect.map(Server, ({ url }) => Redis.layer(url(), options))).pipe(Layer.provideMerge(server))

export const open = (url: string, options?: RedisStore.Options, shared?: RedisStore.Shared) =>
  Effect.flatMap(Redis.open(RedisUri.parseUnsafe(url)), (link) =>
    Effect.map(RedisStore.make(link, options, shared), (store) => ({ ...store, link }))
  )

export const put = (text: string, routingKey: string, priority?: number): Put => ({
  message: Message.make(new TextEncoder().encode(text), priority === undefined ? {} : { priority }),
  exchange: "",
  routingKey
})

export const text = ({ message }: StoredMessage): string => new TextDecoder().decode(message.body)

/** As if who holds this tag had not been heard of for the whole of his lease. */
export const forgotten = (tag: string) =>
  Effect.flatMap(Server, ({ command }) =>
    // What takes memory is allowed behind what has given some back.
    Effect.asVoid(
      command(
        "EVAL",
        "return redis.call('ZREM', KEYS[1], ARGV[1]) == 1 and redis.call('ZADD', KEYS[1], 0, ARGV[1])",
        1,
        "apium.owners",
        tag.slice(0, tag.lastIndexOf(":"))
      )
    )
  )

/** Asks again every few milliseconds, until it is so. */
export const until = <E, R>(holds: Effect.Effect<boolean, E, R>): Effect.Effect<void, E, R> =>
  Effect.flatMap(holds, (held) => (held ? Effect.void : Effect.andThen(Effect.sleep("5 millis"), until(holds))))
