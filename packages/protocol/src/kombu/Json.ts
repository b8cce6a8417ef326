/**
 * Kombu's dialect of JSON (`kombu/utils/json.py`, WIRE 4.1.7): JSON as Python writes it, plus values tagged `{"__type__": T, "__value__": V}`.
 *
 * | Python | wire | here |
 * | --- | --- | --- |
 * | int beyond 2^53 | bare digits | `bigint` |
 * | nan, inf, -inf | `NaN`, `Infinity`, `-Infinity` | the number |
 * | datetime, aware, whole milliseconds | `datetime` | `Date` |
 * | any other datetime | `datetime` | {@link PyDateTime} |
 * | date, time | `date`, `time` | {@link LocalDate}, {@link LocalTime} |
 * | Decimal | `decimal` | {@link Decimal} |
 * | UUID | `uuid` | {@link Uuid} |
 * | bytes | `bytes` (UTF-8 text) or `base64` | `Uint8Array` |
 *
 * Not kept: whether a number was written `1` or `1.0` (a whole number beyond 2^53 is a float here as in Python; an integer there is a `bigint`), the sign
 * of -0, and the offset of a `Date` (it is the same moment). An unknown `__type__`, which Python refuses, stays the object it is, so that types a peer
 * registered survive a trip through us. The last of two equal keys wins; `__proto__` is a key like any other.
 */
import * as Data from "effect/Data"
import * as base64 from "../internal/base64.ts"
import { exactParse } from "../internal/jsonParser.ts"
import { isRecord } from "../internal/record.ts"
import * as IsoTime from "./IsoTime.ts"

/** Text that is not this JSON, or a value that JSON cannot carry. `offset` is the UTF-16 index in the text, `path` the place in the value. */
export class JsonError extends Data.TaggedError("JsonError")<{
  readonly message: string
  readonly offset?: number | undefined
  readonly path?: string | undefined
}> {}

/** A Python datetime that a `Date` cannot hold: naive, or with microseconds. `text` is its isoformat. */
export class PyDateTime {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
  /** The nearest `Date`, rounded up to the millisecond; a naive time is taken for UTC. An invalid `Date` if the text is no time. */
  toDate(): Date {
    return new Date(IsoTime.parse(this.text)?.epochMillis ?? Number.NaN)
  }
}

/** A calendar day, `2031-05-06`. */
export class LocalDate {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}

/** A time of day, `07:08:09.000100`, perhaps with an offset. */
export class LocalTime {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}

/** A decimal number with its exponent kept: `10.20` is not `10.2`. */
export class Decimal {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}

/** A UUID in its usual form with hyphens, lower case. */
export class Uuid {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}

/** Everything a Celery JSON body can hold. */
export type KombuJson =
  | null
  | boolean
  | number
  | string
  | bigint
  | Date
  | Uint8Array
  | PyDateTime
  | LocalDate
  | LocalTime
  | Decimal
  | Uuid
  | ReadonlyArray<KombuJson>
  | { readonly [key: string]: KombuJson }

/** Levels of nesting, both ways. Python's own json gives up at about 1,000. */
export const maxDepth = 512

/** Digits of an integer, both ways: where Python's `int()` gives up (`sys.set_int_max_str_digits`). */
export const maxDigits = 4300

// ------------------------------------------------------------------ reading

/**
 * Reads a text, or throws {@link JsonError}.
 *
 * FAST: plain texts go through the native parser and one walk of what it made (measured: the walk costs a tenth of the parse; a regular expression over the
 * text cost as much as the parse). The exact parser runs for tagged values, integers beyond 2^53, and to say what is wrong.
 */
export const parse = (text: string): KombuJson => {
  if (!text.includes("__type__")) {
    let value: unknown
    try {
      value = JSON.parse(text)
    } catch {
      return parseExactly(text)
    }
    if (isFaithful(value, 0, text.includes("\\"))) return value as KombuJson
  }
  return parseExactly(text)
}

const parseExactly = (text: string): KombuJson =>
  exactParse<KombuJson>(text, {
    maxDepth,
    maxDigits,
    fail: (message, offset) => new JsonError({ message: `${message} at offset ${offset}`, offset }),
    object: revive
  })

/**
 * Whether the native parser gave what was written: an integer it had to round is one that is not safe, or has become infinite. Of a text with escapes a
 * key with a backslash may be none of its own: once V8 (13.6 to 15.0: Node.js 24, Deno 2) has seen `{"a": 1, "\\": 2}` it reads `{"a": 1, "\n": 2}` as that.
 */
const isFaithful = (value: unknown, depth: number, escaped: boolean): boolean => {
  if (typeof value === "number") return Number.isInteger(value) ? Number.isSafeInteger(value) : Number.isFinite(value)
  if (typeof value !== "object" || value === null) return true
  if (depth >= maxDepth) return false
  if (Array.isArray(value)) {
    for (const item of value) if (!isFaithful(item, depth + 1, escaped)) return false
    return true
  }
  for (const key in value) {
    if (escaped && key.includes("\\")) return false
    if (!isFaithful((value as Record<string, unknown>)[key], depth + 1, escaped)) return false
  }
  return true
}

const encoder = new TextEncoder()
const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

const datePattern = /^\d{4}-\d{2}-\d{2}$/
const timePattern = /^([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,6})?)?(Z|[+-]\d{2}:?\d{2}(:?\d{2}(\.\d+)?)?)?$/
const decimalPattern = /^[+-]?((\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?|s?nan\d*|inf(inity)?)$/i
const hexPattern = /^[0-9a-f]{32}$/i

/** A tagged value, or the object itself. `undefined`: the tag is known and its value makes no sense. */
const revive = (object: Record<string, unknown>): KombuJson | undefined => {
  const type = object.__type__
  if (typeof type !== "string" || !("__value__" in object) || Object.keys(object).length !== 2)
    return object as KombuJson
  const value = object.__value__
  switch (type) {
    case "datetime":
      return typeof value === "string" ? reviveDateTime(value) : undefined
    case "date":
      return typeof value === "string" && datePattern.test(value) && IsoTime.parse(value) !== undefined
        ? new LocalDate(value)
        : undefined
    case "time":
      return typeof value === "string" && timePattern.test(value) ? new LocalTime(value) : undefined
    case "decimal":
      return typeof value === "string" && value.length <= maxDigits && decimalPattern.test(value)
        ? new Decimal(value)
        : undefined
    case "uuid":
      return reviveUuid(value)
    case "bytes":
      return typeof value === "string" ? encoder.encode(value) : undefined
    case "base64":
      return reviveBase64(value)
    default:
      return object as KombuJson
  }
}

const reviveDateTime = (text: string): Date | PyDateTime | undefined => {
  const time = IsoTime.parse(text)
  if (time === undefined) return undefined
  return time.aware && time.exact && IsoTime.representable(time.epochMillis)
    ? new Date(time.epochMillis)
    : new PyDateTime(text)
}

const reviveUuid = (value: unknown): Uuid | undefined => {
  const hex = isRecord(value) ? value.hex : undefined
  if (typeof hex !== "string" || !hexPattern.test(hex)) return undefined
  const h = hex.toLowerCase()
  return new Uuid(`${h.slice(0, 8)}-${h.slice(8, 12)}-${h.slice(12, 16)}-${h.slice(16, 20)}-${h.slice(20)}`)
}

const reviveBase64 = (value: unknown): Uint8Array | undefined => {
  if (typeof value !== "string") return undefined
  try {
    return base64.decode(value)
  } catch {
    return undefined
  }
}

// ------------------------------------------------------------------ writing

/**
 * Writes a value, or throws {@link JsonError} with the path of what JSON cannot carry: functions, symbols, `undefined` in an array, a cycle, an object
 * without enumerable fields that is not plain (a Map, a Promise). Fields that are `undefined` are left out; `toJSON` is honoured.
 *
 * FAST: a tree of plain values is checked in one walk and given to the native writer.
 */
export const stringify = (value: unknown): string => {
  if (isPlain(value, 0)) return JSON.stringify(value)
  return write(value, [], new Set())
}

/** {@link stringify}, to the byte as Python's `json.dumps` has it: `", "` and `": "` between, and nothing beyond ASCII. For texts that are compared. */
export const stringifyAscii = (value: unknown): string => {
  const text = write(value, [], new Set())
  return beyondAscii.test(text)
    ? text.replace(/[\x7f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)
    : text
}

const beyondAscii = /[\x7f-\uffff]/

const isPlain = (value: unknown, depth: number): boolean => {
  switch (typeof value) {
    case "string":
    case "boolean":
      return true
    case "number":
      return Number.isInteger(value) ? Number.isSafeInteger(value) : Number.isFinite(value)
    case "object": {
      if (value === null) return true
      if (depth >= maxDepth) return false
      if (Array.isArray(value)) {
        for (let index = 0; index < value.length; index++) if (!isPlain(value[index], depth + 1)) return false
        return true
      }
      const prototype: unknown = Object.getPrototypeOf(value)
      if (prototype !== Object.prototype && prototype !== null) return false
      for (const key in value) {
        const item = (value as Record<string, unknown>)[key]
        if (item !== undefined && !isPlain(item, depth + 1)) return false
      }
      return true
    }
    default:
      return false
  }
}

type Path = Array<string | number>

const identifier = /^[A-Za-z_$][\w$]*$/

const pathText = (path: Path): string => {
  let text = "$"
  // a path as deep as the limit would drown the message
  for (const part of path.slice(0, 32)) {
    text += typeof part === "number" ? `[${part}]` : identifier.test(part) ? `.${part}` : `[${JSON.stringify(part)}]`
  }
  return path.length > 32 ? `${text}...` : text
}

const refuse = (what: string, path: Path): JsonError => {
  const at = pathText(path)
  return new JsonError({ message: `JSON cannot carry ${what} at ${at}`, path: at })
}

const tagged = (type: string, value: string): string => `{"__type__": "${type}", "__value__": ${JSON.stringify(value)}}`

const write = (value: unknown, path: Path, above: Set<object>): string => {
  switch (typeof value) {
    case "string":
    case "boolean":
      return JSON.stringify(value)
    case "number":
      return writeNumber(value)
    case "bigint":
      return writeBigint(value, path)
    case "object":
      return value === null ? "null" : writeObject(value, path, above)
    case "undefined":
      throw refuse("undefined", path)
    default:
      throw refuse(`a ${typeof value}`, path)
  }
}

/** A whole number beyond 2^53 is a float, in Python as here; without its point it would be read as an integer, which is a `bigint`. */
const writeNumber = (value: number): string => {
  if (!Number.isFinite(value)) return String(value)
  const text = JSON.stringify(value)
  return Number.isInteger(value) && !Number.isSafeInteger(value) && !text.includes("e") ? `${text}.0` : text
}

const tooManyDigits = 10n ** BigInt(maxDigits)

const writeBigint = (value: bigint, path: Path): string => {
  if (value >= tooManyDigits || value <= -tooManyDigits) {
    throw refuse(`an integer of more than ${maxDigits} digits (Python would not read it)`, path)
  }
  return value.toString()
}

const writeObject = (value: object, path: Path, above: Set<object>): string => {
  const leaf = writeLeaf(value, path)
  if (leaf !== undefined) return leaf
  if (above.has(value)) throw refuse("a cycle", path)
  if (path.length >= maxDepth) throw refuse(`more than ${maxDepth} levels`, path)
  above.add(value)
  const text = Array.isArray(value) ? writeArray(value, path, above) : writeRecord(value, path, above)
  above.delete(value)
  return text
}

const writeLeaf = (value: object, path: Path): string | undefined => {
  if (value instanceof Uint8Array) return writeBytes(value)
  if (value instanceof Date) {
    const millis = value.getTime()
    if (!IsoTime.representable(millis)) throw refuse("an invalid Date, or one outside of the years 1 to 9999", path)
    return tagged("datetime", IsoTime.format(millis))
  }
  if (value instanceof PyDateTime) return tagged("datetime", value.text)
  if (value instanceof LocalDate) return tagged("date", value.text)
  if (value instanceof LocalTime) return tagged("time", value.text)
  if (value instanceof Decimal) return tagged("decimal", value.text)
  if (value instanceof Uuid)
    return `{"__type__": "uuid", "__value__": {"hex": ${JSON.stringify(value.text.replaceAll("-", ""))}}}`
  return undefined
}

/** As kombu does: text when the bytes are UTF-8, which a human can read in the queue, else base64. */
const writeBytes = (bytes: Uint8Array): string => {
  let text: string
  try {
    text = strictUtf8.decode(bytes)
  } catch {
    return tagged("base64", base64.encode(bytes))
  }
  return tagged("bytes", text)
}

const writeArray = (items: ReadonlyArray<unknown>, path: Path, above: Set<object>): string => {
  const parts: Array<string> = []
  for (let index = 0; index < items.length; index++) {
    path.push(index)
    parts.push(write(items[index], path, above))
    path.pop()
  }
  return `[${parts.join(", ")}]`
}

const writeRecord = (value: object, path: Path, above: Set<object>): string => {
  const record = value as Record<string, unknown>
  const prototype: unknown = Object.getPrototypeOf(value)
  const isClass = prototype !== Object.prototype && prototype !== null
  if (isClass && typeof record.toJSON === "function") {
    // one more level, so that a toJSON which gives another such object for ever is stopped by the depth
    path.push("toJSON()")
    const text = write((record.toJSON as (key: string) => unknown)(""), path, above)
    path.pop()
    return text
  }
  const keys = Object.keys(record)
  if ((isClass && keys.length === 0) || ArrayBuffer.isView(value)) {
    throw refuse(`a ${value.constructor?.name ?? "object"}`, path)
  }
  const parts: Array<string> = []
  for (const key of keys) {
    const item = record[key]
    if (item === undefined) continue
    path.push(key)
    parts.push(`${JSON.stringify(key)}: ${write(item, path, above)}`)
    path.pop()
  }
  return `{${parts.join(", ")}}`
}
