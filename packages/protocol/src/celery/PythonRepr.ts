/**
 * Values as Python shows them: for `argsrepr` and `kwargsrepr`, for events, and for the texts of exceptions, which Flower and people read.
 *
 * {@link repr} is Python's `repr`. {@link argsRepr} and {@link kwargsRepr} follow Celery's `saferepr` (`celery/utils/saferepr.py`): three levels deep, cut near 1,024
 * characters, strings always in single quotes. JavaScript has one number: `1.0` is shown as `1`, and arrays are lists.
 */
import { isRecord } from "../internal/record.ts"
import { Decimal, LocalDate, LocalTime, PyDateTime, Uuid } from "../kombu/Json.ts"

/** Characters that `argsrepr` and `kwargsrepr` hold before they are cut. */
export const maxLength = 1024

/** Levels shown before `[...]`. */
export const maxLevels = 3

// ------------------------------------------------------------------ repr

export interface Options {
  /** Levels of lists and dicts to show; deeper ones are `[...]` and `{...}`. 100 when left out. */
  readonly maxLevels?: number | undefined
}

/** Python's `repr`. A cycle ends at the deepest level. */
export const repr = (value: unknown, options: Options = {}): string => reprAt(value, options.maxLevels ?? 100)

const reprAt = (value: unknown, levels: number): string => {
  if (typeof value === "string") return reprString(value)
  const scalar = reprScalar(value)
  if (scalar !== undefined) return scalar
  if (value instanceof Uint8Array) return reprBytes(value)
  if (Array.isArray(value)) {
    return levels <= 0 ? "[...]" : `[${value.map((item) => reprAt(item, levels - 1)).join(", ")}]`
  }
  if (levels <= 0) return "{...}"
  const items = entries(value as object).map(([key, item]) => `${reprString(key)}: ${reprAt(item, levels - 1)}`)
  return `{${items.join(", ")}}`
}

const entries = (value: object): ReadonlyArray<readonly [string, unknown]> =>
  Object.entries(value).filter(([, item]) => item !== undefined)

/** Everything that holds nothing else, apart from text and octets; `undefined` for containers. */
const reprScalar = (value: unknown): string | undefined => {
  switch (typeof value) {
    case "undefined":
      return "None"
    case "boolean":
      return value ? "True" : "False"
    case "number":
      return reprNumber(value)
    case "bigint":
      return value.toString()
    case "object":
      return value === null ? "None" : reprObject(value)
    case "string":
      return undefined
    default:
      return `<${typeof value}>`
  }
}

/** Python writes an exponent below 1e-4, with two digits, and from 1e16 on. As it travels: `-0` is 0, and whole numbers beyond 2^53 are floats. */
const reprNumber = (value: number): string => {
  if (Number.isNaN(value)) return "nan"
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf"
  const size = Math.abs(value)
  if (size > Number.MAX_SAFE_INTEGER && size < 1e16) return `${value}.0`
  const text = (size < 1e-4 && value !== 0) || size >= 1e16 ? value.toExponential() : String(value)
  return text.replace(/e([+-])(\d)$/, "e$10$2")
}

const reprObject = (value: object): string | undefined => {
  if (value instanceof Date) return reprDate(value)
  if (value instanceof PyDateTime) return reprTime("datetime", value.text)
  if (value instanceof LocalDate) return reprTime("date", value.text)
  if (value instanceof LocalTime) return reprTime("time", value.text)
  if (value instanceof Decimal) return `Decimal(${reprString(value.text)})`
  if (value instanceof Uuid) return `UUID(${reprString(value.text)})`
  if (value instanceof Uint8Array || Array.isArray(value) || isRecord(value)) return undefined
  // instances show their fields, as the serializer writes them; those without any show their name
  return Object.keys(value).length > 0 ? undefined : `<${value.constructor?.name ?? "object"}>`
}

const reprDate = (value: Date): string => {
  if (Number.isNaN(value.getTime())) return "<invalid Date>"
  const parts = [
    value.getUTCFullYear(),
    value.getUTCMonth() + 1,
    value.getUTCDate(),
    value.getUTCHours(),
    value.getUTCMinutes()
  ]
  const micros = value.getUTCMilliseconds() * 1000
  return datetime("datetime", [...parts, value.getUTCSeconds(), micros], "datetime.timezone.utc")
}

const datetime = (type: string, parts: ReadonlyArray<number>, zone: string): string => {
  const shown = [...parts]
  // seconds and microseconds are left out while they are zero, from the right
  while (shown.length > (type === "time" ? 2 : type === "date" ? 3 : 5) && shown.at(-1) === 0) shown.pop()
  return `datetime.${type}(${shown.join(", ")}${zone === "" ? "" : `, tzinfo=${zone}`})`
}

const timeParts =
  /^(?:(\d{4})-(\d{2})-(\d{2}))?[T ]?(?:(\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,6}))?)?)?\s?(Z|[+-]\d{2}:?\d{2})?/

const reprTime = (type: string, text: string): string => {
  const match = timeParts.exec(text)
  if (match === null) return `<${type} ${text}>`
  const [, year, month, day, hour, minute, second, fraction, zone] = match
  const date = type === "time" ? [] : [year, month, day]
  const time = type === "date" ? [] : [hour ?? "0", minute ?? "0", second ?? "0", (fraction ?? "0").padEnd(6, "0")]
  return datetime(type, [...date, ...time].map(Number), type === "date" ? "" : reprZone(zone))
}

const reprZone = (zone: string | undefined): string => {
  if (zone === undefined) return ""
  if (zone === "Z" || /^[+-]00:?00$/.test(zone)) return "datetime.timezone.utc"
  const seconds = (Number(zone.slice(1, 3)) * 60 + Number(zone.slice(-2))) * 60
  // a timedelta keeps its seconds positive and lets its days be negative
  const delta = zone.startsWith("-") ? `days=-1, seconds=${86_400 - seconds}` : `seconds=${seconds}`
  return `datetime.timezone(datetime.timedelta(${delta}))`
}

/** What Python escapes: backslash, control characters, and what Unicode does not call printable. */
const escapable = /[\\\p{C}\p{Zl}\p{Zp}\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]/gu
const needsEscape = /[\\\p{C}\p{Zl}\p{Zp}\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]/u

const named: ReadonlyMap<string, string> = new Map([
  ["\\", "\\\\"],
  ["\n", "\\n"],
  ["\r", "\\r"],
  ["\t", "\\t"]
])

const escapeCharacter = (character: string): string => {
  const code = character.codePointAt(0)!
  if (code < 0x100) return `\\x${code.toString(16).padStart(2, "0")}`
  return code < 0x1_0000 ? `\\u${code.toString(16).padStart(4, "0")}` : `\\U${code.toString(16).padStart(8, "0")}`
}

/** Single quotes, unless the text has some and no double ones. */
const reprString = (text: string): string => {
  const body = needsEscape.test(text) ? text.replace(escapable, (c) => named.get(c) ?? escapeCharacter(c)) : text
  if (!body.includes("'")) return `'${body}'`
  return body.includes('"') ? `'${body.replaceAll("'", "\\'")}'` : `"${body}"`
}

const reprBytes = (bytes: Uint8Array): string => {
  let body = ""
  for (const octet of bytes) {
    const character = String.fromCharCode(octet)
    body += named.get(character) ?? (octet >= 0x20 && octet < 0x7f ? character : escapeCharacter(character))
  }
  if (!body.includes("'")) return `b'${body}'`
  return body.includes('"') ? `b'${body.replaceAll("'", "\\'")}'` : `b"${body}"`
}

/** Python's repr of an exception: `ValueError('bad', 1)`. Of a class within a class it is the name of the inner one. */
export const exceptionRepr = (type: string, args: ReadonlyArray<unknown>): string =>
  `${type.slice(type.lastIndexOf(".") + 1)}(${args.map((arg) => repr(arg)).join(", ")})`

// ------------------------------------------------------------------ saferepr

/** Positional arguments, as a tuple: `(2, 3)`, `(2,)`, `()`. */
export const argsRepr = (args: ReadonlyArray<unknown>): string => (args.length === 0 ? "()" : safe(args, "tuple"))

/** Keyword arguments, as a dict: `{'a': 1}`. */
export const kwargsRepr = (kwargs: Readonly<Record<string, unknown>>): string => safe(kwargs, "value")

/** One value as Celery shows it in events. Arrays are lists. */
export const safeRepr = (value: unknown): string => safe(value, "value")

const safe = (value: unknown, as: "tuple" | "value"): string => {
  const out = new SafeWriter()
  if (as === "tuple")
    out.sequence(value as ReadonlyArray<unknown>, "(", (value as ReadonlyArray<unknown>).length === 1 ? ",)" : ")", 0)
  else out.value(value, 0)
  return out.text
}

/**
 * Writes tokens until the budget is spent; the token after that becomes `, ...`, and of the rest only the closing brackets are written. Budget and cuts are
 * Celery's, counted in UTF-16 units where Python counts characters.
 */
class SafeWriter {
  text = ""
  #left = maxLength
  #cut = false

  token(text: string): void {
    if (this.#cut) return
    if (this.#left <= 0) {
      this.#cut = true
      this.text += ", ..."
      return
    }
    this.text += text
    this.#left -= text.length
  }

  close(bracket: string): void {
    if (this.#cut) this.text += bracket
    else this.token(bracket)
  }

  value(value: unknown, level: number): void {
    if (this.#cut) return
    if (typeof value === "string") this.token(`'${truncate(value, this.#left).replaceAll("'", "\\'")}'`)
    else if (value instanceof Uint8Array) this.token(this.#bytes(value))
    else this.#other(value, level)
  }

  #other(value: unknown, level: number): void {
    const scalar = reprScalar(value)
    if (scalar !== undefined) return this.token(truncate(scalar, this.#left))
    if (Array.isArray(value))
      return level >= maxLevels ? this.token(truncate("[...]", this.#left)) : this.sequence(value, "[", "]", level)
    return level >= maxLevels ? this.token(truncate("{...}", this.#left)) : this.#record(value as object, level)
  }

  /** Octets that are UTF-8 are shown as text, others in hex. */
  #bytes(bytes: Uint8Array): string {
    const isLong = this.#left > 0 && bytes.length > this.#left
    const shown = isLong ? bytes.subarray(0, this.#left) : bytes
    return `b'${textOrHex(shown)}${isLong ? "..." : ""}'`
  }

  sequence(items: ReadonlyArray<unknown>, open: string, close: string, level: number): void {
    this.token(open)
    for (let index = 0; index < items.length && !this.#cut; index++) {
      if (index > 0) this.token(", ")
      this.value(items[index], level + 1)
    }
    this.close(close)
  }

  #record(record: object, level: number): void {
    this.token("{")
    let first = true
    for (const [key, value] of entries(record)) {
      if (this.#cut) break
      if (!first) this.token(", ")
      first = false
      this.token(`'${truncate(key, this.#left).replaceAll("'", "\\'")}'`)
      this.token(": ")
      this.value(value, level + 1)
    }
    this.close("}")
  }
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

const textOrHex = (bytes: Uint8Array): string => {
  try {
    return utf8.decode(bytes)
  } catch {
    return Array.from(bytes, (octet) => octet.toString(16).padStart(2, "0")).join("")
  }
}

/** Celery's `truncate`: cut at `length`, then back to the last blank. */
const truncate = (text: string, length: number): string => {
  if (length <= 0 || text.length < length) return text
  const head = text.slice(0, length)
  const blank = head.lastIndexOf(" ")
  const kept = blank >= 0 ? head.slice(0, blank) : head
  // never half of a surrogate pair: a strict UTF-8 reader would refuse the header
  return `${/[\ud800-\udbff]$/.test(kept) ? kept.slice(0, -1) : kept}...`
}
