/**
 * What a chord sends when its last part has ended: its body. Between the message and the note that it is sent a worker may die, or a
 * confirmation be lost, and somebody sends it again. So each message says which firing sent it, and of those with one id the first that
 * begins is the one that runs; it runs again when it comes again. Workers of other makers ignore the header.
 */
import type { Arguments } from "@apium/hub/Exchange"
import type { TaskHeaders } from "@apium/protocol/celery/TaskMessage"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type { Outgoing } from "../client/Outgoing.ts"
import type { ResultBackend } from "../client/ResultBackend.ts"

const header = "apium_fired"

export interface Firing {
  readonly groupId: string
  /** Which one: anything that nobody else says. */
  readonly firing: string
}

/** Sent by this firing. */
export const marking =
  ({ firing, groupId }: Firing) =>
  (message: Outgoing): Outgoing => {
    const { headers } = message.task
    const extra = { ...headers.extra, [header]: `${groupId} ${firing}` }
    return { ...message, task: { ...message.task, headers: { ...headers, extra } } }
  }

/** As the application wrote them. */
export const unmarked = (headers: Arguments): Arguments => {
  if (!(header in headers)) return headers
  const { [header]: _, ...own } = headers
  return own
}

/** Whether it is the one to run; `undefined` where no chord sent it. In doubt it is. */
export const begins = (
  backend: ResultBackend["Service"],
  { extra, id }: TaskHeaders
): Effect.Effect<boolean> | undefined => {
  const value = extra[header]
  if (typeof value !== "string") return undefined
  // The id of a group is its sender's, and may have spaces.
  const at = value.lastIndexOf(" ")
  const [groupId, firing] = [value.slice(0, Math.max(at, 0)), value.slice(at + 1)]
  return Effect.catchCause(backend.chords.begin({ groupId, taskId: id, firing }), (cause) =>
    Effect.as(
      Effect.logWarning("Whether the body of a chord has begun before could not be asked", {
        id,
        reason: Cause.pretty(cause)
      }),
      true
    )
  )
}
