/** A link: a server is found, one plain connection is made to it, and when that is gone the link is lost. */
import { ConnectionLost, HubError } from "@apium/hub/HubError"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Redis from "effect/persistence/Redis"
import * as Scope from "effect/Scope"
import * as errors from "../internal/errors.ts"
import { insisting } from "../internal/evaluation.ts"
import type { RedisLink } from "../RedisStore.ts"
import type { RedisUri } from "../RedisUri.ts"
import { attempt, Clients, closed, sendWith, trackWith } from "./client.ts"
import { make as find } from "./search.ts"
import * as Subscriber from "./Subscriber.ts"

/** A fresh link, closed with the scope. With a subscriber, its connection for listening is that of all who share it. */
export const open = (
  uri: RedisUri,
  subscriber: Subscriber.Subscriber = Subscriber.make()
): Effect.Effect<RedisLink, HubError, Scope.Scope> => {
  const search = find(uri)
  return Effect.gen(function* () {
    const clients = new Clients()
    const cut = Effect.sync(() => clients.cut())
    const lost = Deferred.makeUnsafe<never, HubError>()
    const gone = (cause: unknown): void => {
      const reason = new ConnectionLost({ cause: "closed", text: errors.textOf(cause) })
      Deferred.doneUnsafe(lost, Effect.fail(new HubError({ reason })))
    }
    // Before there is any: who leaves in the middle of a search waits for nothing.
    yield* Effect.addFinalizer(() => cut)
    const { client, server } = yield* search(clients, gone)
    const made = yield* Redis.make({
      send: sendWith(client),
      connect: Effect.map(
        attempt(() => clients.connect(server, () => {})),
        (reserved) => ({ send: sendWith(reserved), close: Effect.sync(() => clients.destroy(reserved, closed())) })
      ),
      // `listen` and `subscribe` say when there was a gap: the link is lost.
      subscribe: () => Effect.fail(new Redis.RedisError({ cause: new Error("a link listens by its own `subscribe`") }))
    })
    const redis = insisting(made)
    // With it the link is lost, and whoever listened knows. For as long as the link lives, however short its listeners do.
    const scope = yield* Effect.scope
    const joined = yield* Effect.cached(Effect.provideService(subscriber.join(server, gone), Scope.Scope, scope))
    /** An answer that does not come is not waited for when the link is lost. */
    const unlessLost = <A, R>(work: Effect.Effect<A, Redis.RedisError, R>) =>
      Effect.raceFirst(
        work,
        Effect.mapError(Deferred.await(lost), (cause) => new Redis.RedisError({ cause }))
      )
    return {
      redis,
      database: server.database,
      listen: (pattern, heard) => unlessLost(Effect.flatMap(joined, (listener) => listener.listen(pattern, heard))),
      subscribe: (channels, heard) =>
        unlessLost(Effect.flatMap(joined, (listener) => listener.subscribe(channels, heard))),
      unsubscribe: (channels, heard) => Effect.flatMap(joined, (listener) => listener.unsubscribe(channels, heard)),
      track: trackWith(client),
      lost: Deferred.await(lost),
      cut
    }
  })
}
