/**
 * Where a worker keeps what has to outlive it (Celery's `--statedb`, celery/worker/state.py `Persistent`): the ids of revoked tasks,
 * and its logical clock. A port: `layerStateDb` of `@apium/worker/node` is a file. The text is Apium's own, and Celery's shelve is not
 * read: a worker of ours learns what others have revoked when it starts (`Mingle`).
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { maxRevokes } from "../execution/Revoked.ts"

/** The oldest first. */
export interface Saved {
  readonly clock: number
  readonly revoked: ReadonlyArray<string>
  /** Of each of these when, in milliseconds since the epoch; none at all of what an older Apium wrote. */
  readonly revokedAt: ReadonlyArray<number>
  readonly stamps: ReadonlyArray<readonly [header: string, value: string]>
}

/** What is kept cannot be read or written. */
export class StateDbError extends Schema.TaggedError<StateDbError>()("StateDbError", {
  /** Where it is. */
  place: Schema.String,
  /** What is wrong, and what to do. */
  text: Schema.String
}) {
  override get message() {
    return `The state of the worker, ${this.place}, ${this.text}`
  }
}

export interface Port {
  /** For `inspect conf`. */
  readonly place: string
  /** Nothing: it is a first start. What cannot be read is found when the port is made. */
  readonly load: Effect.Effect<Saved | undefined>
  /** All of it, in the place of what was there: a reader finds one or the other. */
  readonly save: (saved: Saved) => Effect.Effect<void, StateDbError>
}

/** Default: none, and what was revoked is forgotten with the worker. */
export class StateDb extends Context.Reference<Port | undefined>("@apium/worker/StateDb", {
  defaultValue: () => undefined
}) {}

const kind = "apium worker state"

export const encode = (saved: Saved): string => `${JSON.stringify({ kind, version: 1, ...saved })}\n`

const isText = (value: unknown): value is string => typeof value === "string"

const isTime = (value: unknown): value is number => typeof value === "number"

const isStamp = (value: unknown): value is readonly [string, string] =>
  Array.isArray(value) && value.length === 2 && value.every(isText)

/** Fails with what stands behind "The state of the worker, <place>, ". */
export const decode = (text: string): Result.Result<Saved, string> => {
  const wrong = Result.fail(
    "is nothing that Apium wrote (a file of Celery's is not read): say another place, or remove what is there"
  )
  let read: unknown
  try {
    read = JSON.parse(text)
  } catch {
    return wrong
  }
  if (typeof read !== "object" || read === null) return wrong
  const { clock, kind: said, revoked, revokedAt = [], stamps, version } = read as Readonly<Record<string, unknown>>
  if (said !== kind) return wrong
  if (version !== 1) return Result.fail("was written by a newer Apium: use that, or say another place")
  if (typeof clock !== "number" || !Array.isArray(revoked) || !revoked.every(isText)) return wrong
  if (!Array.isArray(revokedAt) || !revokedAt.every(isTime)) return wrong
  if (revokedAt.length > 0 && revokedAt.length !== revoked.length) return wrong
  if (!Array.isArray(stamps) || !stamps.every(isStamp)) return wrong
  return Result.succeed({
    clock,
    revoked: revoked.slice(-maxRevokes),
    revokedAt: revokedAt.slice(-maxRevokes),
    stamps: stamps.slice(-maxRevokes)
  })
}
