/** What a store of queues, or of results, needs of a Redis client. The door (`@apium/transport-redis/node`) makes it of node-redis. */
import type { HubError } from "@apium/hub/HubError"
import type * as Effect from "effect/Effect"
import type * as Redis from "effect/persistence/Redis"
import type { Listen } from "./internal/Ears.ts"
import type { Watch } from "./internal/Waiting.ts"

/** What is done with a message, by its channel. */
export type Heard = (text: string, channel: string) => void

/** A connection to Redis. */
export interface RedisLink {
  readonly redis: Redis.Redis["Service"]
  /** The database's number, which is a part of fanout channels. */
  readonly database: number
  /** Every message on the channels of this pattern, for as long as the scope lives. */
  readonly listen: Listen
  /** Hears every message on these channels, by one command, until `unsubscribe` with the same function; a channel has one who hears. */
  readonly subscribe: (channels: ReadonlyArray<string>, heard: Heard) => Effect.Effect<void, Redis.RedisError>
  /** Returns at once. */
  readonly unsubscribe: (channels: ReadonlyArray<string>, heard: Heard) => Effect.Effect<void>
  /**
   * Gives a function that says how many of some keys there are, and watches them: the next time that anybody but this link changes one, `changed`
   * is called, once; with `undefined` when it may be any of them. `undefined`: this Redis cannot. Left out: nor can this client.
   */
  readonly track?: ((changed: (key: string | undefined) => void) => Effect.Effect<Watch | undefined>) | undefined
  /** Never succeeds; fails when the connection is gone, or that which listens. */
  readonly lost: Effect.Effect<never, HubError>
  /** Cuts it: whatever waits for an answer fails. */
  readonly cut: Effect.Effect<void>
}
