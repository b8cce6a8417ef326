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

/** What comes in one turn goes out in one request, or in as few as the limit allows, each of which may fail by itself. */
export const collecting = <A>(
  limit: number,
  send: (all: ReadonlyArray<A>) => Effect.Effect<void, HubError>
): ((some: ReadonlyArray<A>) => Effect.Effect<void, HubError>) => {
  let open: { readonly all: Array<A>; readonly sent: Deferred.Deferred<void, HubError> } | undefined
  return (some) =>
    Effect.suspend(() => {
      if (open !== undefined && open.all.length + some.length <= limit) {
        open.all.push(...some)
        return Deferred.await(open.sent)
      }
      const batch = { all: [...some], sent: Deferred.makeUnsafe<void, HubError>() }
      open = batch
      return Effect.uninterruptible(
        Effect.andThen(
          Effect.yieldNow,
          Effect.suspend(() => {
            if (open === batch) open = undefined
            return Effect.onExit(send(batch.all), (exit) => Deferred.done(batch.sent, exit))
          })
        )
      )
    })
}

/** Code units of what goes out in one command. */
const mostText = 1024 * 1024

/** What is pushed to a list in one turn goes out in one command, in order; the first at once, when none is on its way. */
export const pushing = (
  send: (list: string, texts: ReadonlyArray<string>) => Effect.Effect<unknown, HubError>
): ((list: string, texts: ReadonlyArray<string>) => Effect.Effect<void, HubError>) => {
  const open = new Map<
    string,
    { readonly texts: Array<string>; size: number; readonly sent: Deferred.Deferred<void, HubError> }
  >()
  let underWay = 0
  return (list, texts) =>
    Effect.suspend(() => {
      let size = 0
      for (const text of texts) size += text.length
      const before = open.get(list)
      if (before !== undefined && before.size + size <= mostText) {
        for (const text of texts) before.texts.push(text)
        before.size += size
        return Deferred.await(before.sent)
      }
      if (before === undefined && underWay === 0) {
        underWay++
        return Effect.uninterruptible(
          Effect.onExit(Effect.asVoid(send(list, texts)), () => Effect.sync(() => void underWay--))
        )
      }
      const batch = { texts: [...texts], size, sent: Deferred.makeUnsafe<void, HubError>() }
      open.set(list, batch)
      return Effect.uninterruptible(
        Effect.andThen(
          Effect.yieldNow,
          Effect.suspend(() => {
            if (open.get(list) === batch) open.delete(list)
            underWay++
            return Effect.onExit(Effect.asVoid(send(list, batch.texts)), (exit) =>
              // Those who waited for it push their next while it counts, and so together.
              Effect.andThen(
                Deferred.done(batch.sent, exit),
                Effect.sync(() => void underWay--)
              )
            )
          })
        )
      )
    })
}
