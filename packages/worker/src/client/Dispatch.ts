/**
 * Sends what was planned, in the order in which nothing is missed: first the backend hears how many parts a chord has, then they leave,
 * for a part may end before the next is on its way.
 */
import type { HubError } from "@apium/hub/HubError"
import * as Effect from "effect/Effect"
import type { Plan } from "./Apply.ts"
import type { Publisher } from "./Publisher.ts"
import type { ResultBackend } from "./ResultBackend.ts"

export const make =
  (backend: ResultBackend["Service"], publisher: Publisher) =>
  ({ chords, messages }: Plan): Effect.Effect<void, HubError> => {
    const [only] = messages
    if (only === undefined) return Effect.void
    const published = messages.length === 1 ? publisher.publish(only) : publisher.publishAll(messages)
    return chords.length === 0
      ? published
      : Effect.andThen(
          Effect.forEach(
            chords,
            ({ groupId, nested, size }) =>
              Effect.andThen(
                nested === undefined ? Effect.void : backend.groups.save(nested),
                backend.chords.size(groupId, size)
              ),
            { discard: true, concurrency: 16 }
          ),
          published
        )
  }
