/**
 * Publish and subscribe, for who waits for many things at once: any number of channels on one connection that comes back. What is
 * published while it is away is heard by nobody, so whoever listens is told that there was a gap, and reads again what he waits for.
 *
 * `effect/persistence/Redis` has a `subscribe`, too; it opens one connection per channel, and its gaps are silent.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { HubError } from "./HubError.ts"

export interface Listener {
  /** A message on one of its channels. Called from the socket: it must not throw, and is not to take long. */
  readonly heard: (channel: string, text: string) => void
  /** Messages may have been missed on any of its channels. They are heard again by now. */
  readonly gap: () => void
}

/** The channels of one listener. */
export interface Listening {
  /**
   * Returns when every message that is published from now on will be heard; one command for all. When it fails, the channels are
   * added all the same, and heard after the next `gap`.
   */
  readonly add: (channels: ReadonlyArray<string>) => Effect.Effect<void, HubError>
  readonly remove: (channels: ReadonlyArray<string>) => Effect.Effect<void>
}

export class Subscriptions extends Context.Service<
  Subscriptions,
  {
    /** The client they belong to: what is published by way of another may be somewhere else. */
    readonly client: unknown
    /** Leaves all channels with the scope. */
    readonly open: (listener: Listener) => Effect.Effect<Listening, never, Scope.Scope>
  }
>()("@apium/hub/Subscriptions") {}
