/** Checks of single header fields of a task message. Each throws an `InvalidTask` that names the field, and the task as far as it is known. */
import * as Data from "effect/Data"
import * as IsoTime from "../kombu/IsoTime.ts"
import { PyDateTime } from "../kombu/Json.ts"
import { describe } from "./record.ts"

/** A task message with a field that makes no sense. `where` is its path: `headers.timelimit`, `body[1]`. */
export class InvalidTask extends Data.TaggedError("InvalidTask")<{
  readonly message: string
  readonly where: string
  /** The task's name and id as far as they could be read: for the log, and for storing the failure. */
  readonly task?: string | undefined
  readonly id?: string | undefined
}> {}

export type Named = { readonly task?: unknown; readonly id?: unknown }

export const invalid = (where: string, wanted: string, found: unknown, named: Named): InvalidTask =>
  new InvalidTask({
    message: `${where} should be ${wanted}, and is ${describe(found)}`,
    where,
    task: typeof named.task === "string" ? named.task : undefined,
    id: typeof named.id === "string" ? named.id : undefined
  })

export const noLimits: readonly [null, null] = Object.freeze([null, null])

/** AMQP's 64-bit integers may arrive as bigint. */
export const toNumber = (value: unknown, where: string, named: Named): number | null => {
  if (value === undefined || value === null) return null
  if (typeof value === "number" && Number.isFinite(value)) return value
  if (typeof value === "bigint" && Number.isSafeInteger(Number(value))) return Number(value)
  throw invalid(where, "a number or null", value, named)
}

export const readTime = (value: unknown, where: string, named: Named): string | null => {
  if (value === undefined || value === null) return null
  if (typeof value === "string") return value
  // a sender's own headers may carry a real time: AMQP has a type for it, and so has kombu's JSON
  if (value instanceof PyDateTime) return value.text
  if (value instanceof Date && IsoTime.representable(value.getTime())) return IsoTime.format(value.getTime())
  throw invalid(where, "an ISO 8601 time or null", value, named)
}

export const readLimits = (
  value: unknown,
  where: string,
  named: Named
): readonly [hard: number | null, soft: number | null] => {
  if (value === undefined || value === null) return noLimits
  if (!Array.isArray(value) || value.length !== 2) throw invalid(where, "the pair [hard, soft]", value, named)
  const hard = toNumber(value[0], `${where}[0]`, named)
  const soft = toNumber(value[1], `${where}[1]`, named)
  return hard === null && soft === null ? noLimits : [hard, soft]
}

export const readNames = (value: unknown, where: string, named: Named): ReadonlyArray<string> | null => {
  if (value === undefined || value === null) return null
  if (Array.isArray(value) && value.every((name) => typeof name === "string")) return value
  throw invalid(where, "a list of names or null", value, named)
}
