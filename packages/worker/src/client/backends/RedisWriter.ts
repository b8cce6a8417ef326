/** Writes results: those of one turn go out as one script, and each batch beside the others, for an answer takes a round trip. */
import { fail, FrameTooLarge, type HubError } from "@apium/hub/HubError"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import type * as Redis from "effect/persistence/Redis"
import type * as Scope from "effect/Scope"
import { closed, hubError, reasonOf, type Retrying } from "./RedisErrors.ts"
import { keep, type Write } from "./RedisScripts.ts"

/** Of one script: Redis does nothing else meanwhile, about 1 ms for so many small ones. */
const mostWrites = 256
const mostCharacters = 1_048_576

/** What Redis takes as one string, in bytes: a text of ours is ASCII. */
const limit = 512 * 1024 * 1024

interface Waiting extends Write {
  readonly resume: (exit: Effect.Effect<void, HubError>) => void
}

export interface RedisWriter {
  /** Keeps a text unless a SUCCESS is there, and tells whoever listens. Interrupted, it may be kept all the same. */
  readonly write: (key: string, text: string) => Effect.Effect<void, HubError>
}

/** `expires` in seconds, 0 for ever. */
export const make = Effect.fnUntraced(function* (
  redis: Redis.Redis["Service"],
  expires: number,
  retrying: Retrying
): Effect.fn.Return<RedisWriter, never, Scope.Scope> {
  const scope = yield* Effect.scope
  const asked = Latch.makeUnsafe(false)
  let waiting: Array<Waiting> = []
  let over = false

  const ask = redis.eval(keep)
  const send = (batch: ReadonlyArray<Waiting>): Effect.Effect<void> =>
    ask(expires, batch).pipe(
      Effect.mapError(hubError),
      // The whole batch again: to keep and tell the same once more harms nobody.
      retrying,
      Effect.onExit((exit) =>
        Effect.sync(() => {
          for (const [index, { resume }] of batch.entries()) {
            const refused = Exit.isSuccess(exit) ? (exit.value[index] ?? "") : ""
            resume(Exit.isFailure(exit) ? exit : refused === "" ? Effect.void : fail(reasonOf(refused)))
          }
        })
      ),
      Effect.exit,
      Effect.asVoid
    )

  const flush = Effect.gen(function* () {
    yield* asked.await
    // Whoever ends in this turn goes along.
    yield* Effect.yieldNow
    asked.closeUnsafe()
    const all = waiting
    waiting = []
    for (const batch of batches(all)) yield* Effect.forkIn(send(batch), scope)
  })
  yield* Effect.forkScoped(Effect.forever(flush))
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      over = true
      for (const { resume } of waiting) resume(closed)
    })
  )

  return {
    write: (key, text) =>
      text.length > limit
        ? fail(new FrameTooLarge({ size: text.length, limit }))
        : Effect.callback((resume) => {
            if (over) return resume(closed)
            waiting.push({ key, text, resume })
            asked.openUnsafe()
          })
  }
})

const batches = (all: ReadonlyArray<Waiting>): ReadonlyArray<ReadonlyArray<Waiting>> => {
  const out: Array<Array<Waiting>> = []
  let last: Array<Waiting> = []
  let characters = 0
  for (const one of all) {
    characters += one.text.length
    if (last.length === 0 || last.length === mostWrites || characters > mostCharacters) {
      last = []
      out.push(last)
      characters = one.text.length
    }
    last.push(one)
  }
  return out
}
