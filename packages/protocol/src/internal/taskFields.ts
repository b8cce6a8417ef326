/**
 * Checks of single header fields of a task message. Each throws an `InvalidTask` that names the field, and the task as far as it is known.
 *
 * FAST: a path is put together where there is something to say of it, for most headers are null. (With seven paths, and closures over the message,
 * reading them made 0.7 kB of garbage a task.)
 */
import * as Data from "effect/Data"
import * as IsoTime from "../kombu/IsoTime.ts"
import { PyDateTime } from "../kombu/Json.ts"
import { describe, type Fields, field } from "./record.ts"

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

export const readText = (wire: Fields, key: string, where: string, named: Named): string | null => {
  const value = field(wire, key) ?? null
  if (value === null || typeof value === "string") return value
  throw invalid(`${where}.${key}`, "a string or null", value, named)
}

/** For people alone. A name of Python's with half a character in it (`surrogateescape`, of any file system) is no UTF-8 over AMQP. */
export const readShown = (wire: Fields, key: string, where: string, named: Named): string | null => {
  const value = field(wire, key)
  return value instanceof Uint8Array ? new TextDecoder().decode(value) : readText(wire, key, where, named)
}

export const readNumber = (wire: Fields, key: string, where: string, named: Named): number | null => {
  const value = field(wire, key) ?? null
  return value === null ? null : toNumber(value, `${where}.${key}`, named)
}

/** AMQP's 64-bit integers may arrive as bigint. */
const toNumber = (value: unknown, where: string, named: Named): number | null => {
  if (value === null) return null
  if (typeof value === "number" && Number.isFinite(value)) return value
  if (typeof value === "bigint" && Number.isSafeInteger(Number(value))) return Number(value)
  throw invalid(where, "a number or null", value, named)
}

export const readTime = (wire: Fields, key: string, where: string, named: Named): string | null => {
  const value = field(wire, key) ?? null
  if (value === null || typeof value === "string") return value
  // a sender's own headers may carry a real time: AMQP has a type for it, and so has kombu's JSON
  if (value instanceof PyDateTime) return value.text
  if (value instanceof Date && IsoTime.representable(value.getTime())) return IsoTime.format(value.getTime())
  throw invalid(`${where}.${key}`, "an ISO 8601 time or null", value, named)
}

export const readLimits = (
  wire: Fields,
  key: string,
  where: string,
  named: Named
): readonly [hard: number | null, soft: number | null] => {
  const value = field(wire, key) ?? null
  if (value === null) return noLimits
  if (!Array.isArray(value) || value.length !== 2)
    throw invalid(`${where}.${key}`, "the pair [hard, soft]", value, named)
  const [first = null, second = null] = value as ReadonlyArray<unknown>
  if (first === null && second === null) return noLimits
  const hard = toNumber(first, `${where}.${key}[0]`, named)
  return [hard, toNumber(second, `${where}.${key}[1]`, named)]
}

export const readNames = (wire: Fields, key: string, where: string, named: Named): ReadonlyArray<string> | null => {
  const value = field(wire, key) ?? null
  if (value === null) return null
  if (Array.isArray(value) && value.every((name) => typeof name === "string")) return value
  throw invalid(`${where}.${key}`, "a list of names or null", value, named)
}
