/** Many small requests as few large ones. */
import type { HubError } from "@apium/hub/HubError"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"

/** In order, so many at once. */
export const chunked = <A>(
  all: ReadonlyArray<A>,
  size: number,
  send: (some: ReadonlyArray<A>) => Effect.Effect<unknown, HubError>
): Effect.Effect<void, HubError> =>
  all.length <= size
    ? all.length === 0
      ? Effect.void
      : Effect.asVoid(send(all))
    : Effect.andThen(
        send(all.slice(0, size)),
        Effect.suspend(() => chunked(all.slice(size), size, send))
      )

/** What is settled in one turn goes out in one script. */
export const settling = (
  send: (tags: ReadonlyArray<string>) => Effect.Effect<void, HubError>
): ((tags: ReadonlyArray<string>) => Effect.Effect<void, HubError>) => {
  let open: { readonly tags: Array<string>; readonly sent: Deferred.Deferred<void, HubError> } | undefined
  return (tags) =>
    Effect.suspend(() => {
      if (open !== undefined) {
        open.tags.push(...tags)
        return Deferred.await(open.sent)
      }
      const batch = { tags: [...tags], sent: Deferred.makeUnsafe<void, HubError>() }
      open = batch
      return Effect.uninterruptible(
        Effect.andThen(
          Effect.yieldNow,
          Effect.suspend(() => {
            open = undefined
            return Effect.onExit(send(batch.tags), (exit) => Deferred.done(batch.sent, exit))
          })
        )
      )
    })
}
