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

/** Whether it is known to be in no queue; a link that was lost says nothing. */
const refused = ({ reason, recoverable }: HubError): boolean => {
  switch (reason._tag) {
    case "Returned":
    case "Nacked":
    case "OutOfMemory":
    case "EncodeFailed":
    case "FrameTooLarge":
    case "AccessRefused":
      return true
    case "ChannelClosed":
      return !recoverable
    default:
      return false
  }
}

/**
 * One part more of a chord that is under way (`Canvas.addToChord`). It is waited for before it can end, and no more when it was refused: the
 * chord would wait for ever.
 */
export const asPart = (
  backend: ResultBackend["Service"],
  groupId: string,
  sending: Effect.Effect<void, HubError>
): Effect.Effect<void, HubError> =>
  Effect.flatMap(backend.chords.add(groupId), ({ takeBack }) =>
    Effect.tapError(sending, (failure) =>
      refused(failure)
        ? Effect.catch(takeBack, ({ message: reason }) =>
            Effect.logWarning("A chord waits for a part that could not be sent", { group: groupId, reason })
          )
        : Effect.void
    )
  )
