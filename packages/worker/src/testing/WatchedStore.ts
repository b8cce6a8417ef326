/**
 * The memory broker's store with a ledger: which messages are in which queue, whether somebody holds them, and when one of
 * them moved. It takes nothing and changes nothing.
 */
import type { Message, Properties } from "@apium/hub/Message"
import type { VirtualStore } from "@apium/hub/virtual/VirtualStore"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"

/** A message in a queue, from its publish to its settlement. */
export interface Held {
  readonly queue: string
  readonly message: Message
  /** Not to be taken before this time, in milliseconds since the epoch. */
  readonly notBefore: number | undefined
  /** A consumer has it, and has not settled it. */
  readonly taken: boolean
}

export interface WatchedStore {
  readonly store: VirtualStore
  /** In the order they were published in. */
  readonly held: () => Iterable<Held>
  /** Says that something has moved which the store does not see. */
  readonly moved: () => void
  /** Completes when something moves next. */
  readonly move: Effect.Effect<void>
}

export const make = (inner: VirtualStore): WatchedStore => {
  // By its properties, of which a message has a copy of its own in each queue: the store keeps them, whatever it does with the rest.
  const held = new Map<Properties, Held & { taken: boolean; notBefore: number | undefined }>()
  const byTag = new Map<string, Properties>()
  let next = Deferred.makeUnsafe<void>()

  const moved = (): void => {
    const waiting = next
    next = Deferred.makeUnsafe<void>()
    Deferred.doneUnsafe(waiting, Effect.void)
  }

  /** Forgets what is in a queue and nobody holds; `all`: that, too. */
  const forget = (queue: string, all: boolean): void => {
    for (const [key, one] of held) if (one.queue === queue && (all || !one.taken)) held.delete(key)
    moved()
  }

  const { postpone } = inner
  const store: VirtualStore = {
    ...inner,
    postpone:
      postpone === undefined
        ? undefined
        : (tags, notBefore) =>
            Effect.tap(postpone(tags, notBefore), () =>
              Effect.sync(() => {
                for (const tag of tags) {
                  const one = held.get(byTag.get(tag)!)
                  byTag.delete(tag)
                  if (one !== undefined) Object.assign(one, { taken: false, notBefore })
                }
                moved()
              })
            ),
    put: (queue, puts) => {
      const copies = puts.map((put) => ({
        ...put,
        message: { ...put.message, properties: { ...put.message.properties } }
      }))
      return Effect.tap(
        Effect.suspend(() => {
          // Before they are there: a consumer may take them at once.
          for (const { message, notBefore } of copies)
            held.set(message.properties, { queue, message, notBefore, taken: false })
          return inner.put(queue, copies)
        }),
        (stored) =>
          Effect.sync(() => {
            if (!stored) for (const { message } of copies) held.delete(message.properties)
            moved()
          })
      )
    },
    take: (queues, max) =>
      Effect.tap(inner.take(queues, max), (taken) =>
        Effect.sync(() => {
          for (const { tag, message } of taken) {
            byTag.set(tag, message.properties)
            const one = held.get(message.properties)
            if (one !== undefined) one.taken = true
          }
        })
      ),
    settle: (tags) =>
      Effect.tap(inner.settle(tags), () =>
        Effect.sync(() => {
          for (const tag of tags) {
            const key = byTag.get(tag)
            byTag.delete(tag)
            if (key !== undefined) held.delete(key)
          }
          moved()
        })
      ),
    restore: (tags, options) =>
      Effect.tap(inner.restore(tags, options), () =>
        Effect.sync(() => {
          for (const tag of tags) {
            const one = held.get(byTag.get(tag)!)
            byTag.delete(tag)
            if (one !== undefined) one.taken = false
          }
          moved()
        })
      ),
    purge: (queue) => Effect.tap(inner.purge(queue), () => Effect.sync(() => forget(queue, false))),
    remove: (queue) => Effect.tap(inner.remove(queue), () => Effect.sync(() => forget(queue, true)))
  }

  return { store, held: () => held.values(), moved, move: Effect.suspend(() => Deferred.await(next)) }
}
