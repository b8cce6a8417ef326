/**
 * The serializer `yaml` (`application/x-yaml`). Reads what PyYAML's `safe_dump` writes for task messages, by Effect's YAML parser; writes flow style, which
 * is JSON but for the numbers PyYAML would take for strings. Its own subpath, so that a bundle without YAML does not carry the parser.
 *
 * Times are read as text, integers beyond 2^53 as `bigint`, and what is text in YAML 1.1 as text (`1e3`). The parser refuses tags (`!!binary`,
 * `!!python/...`) and explicit keys (`? `), which PyYAML writes for empty keys, long ones, and those with line breaks.
 */
import * as YamlParser from "effect/encoding/Yaml"
import { exactParse } from "../internal/jsonParser.ts"
import { isRecord, setField } from "../internal/record.ts"
import type { Serializer } from "./Content.ts"
import * as Json from "./Json.ts"

const encoder = new TextEncoder()
const utf8 = new TextDecoder("utf-8", { fatal: true })

/** YAML in and out, as kombu's `yaml` with `safe_load` and `safe_dump`. */
export const yaml: Serializer = {
  name: "yaml",
  contentType: "application/x-yaml",
  contentEncoding: "utf-8",
  encode: (value) => encoder.encode(`${write(Json.parse(Json.stringify(value)), "$")}\n`),
  decode: (body) => {
    const text = utf8.decode(body)
    return readFlow(text) ?? whole(YamlParser.parse(expand(text)))
  }
}

/** YAML 1.1 reads an exponent only after a decimal point, and 1e+21 as a string. Whole numbers beyond 2^53 are floats, as in JSON. */
const writeNumber = (value: number): string => {
  if (Number.isNaN(value)) return ".nan"
  if (!Number.isFinite(value)) return value > 0 ? ".inf" : "-.inf"
  const text = JSON.stringify(value)
  if (text.includes("e")) return text.includes(".") ? text : text.replace("e", ".0e")
  return Number.isInteger(value) && !Number.isSafeInteger(value) ? `${text}.0` : text
}

/** Characters that YAML 1.1 takes for line breaks or does not print. */
const unprintable = /[\u007f-\u009f\u2028\u2029\ufeff\ufffe\uffff]/g

const writeString = (value: string): string =>
  JSON.stringify(value).replace(unprintable, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`)

const write = (value: Json.KombuJson, path: string): string => {
  if (value === null) return "null"
  switch (typeof value) {
    case "boolean":
    case "bigint":
      return String(value)
    case "number":
      return writeNumber(value)
    case "string":
      return writeString(value)
    default:
  }
  if (value instanceof Date) return value.toISOString()
  if (Array.isArray(value)) return `[${value.map((item, index) => write(item, `${path}[${index}]`)).join(", ")}]`
  if (Object.getPrototypeOf(value) !== Object.prototype) {
    throw new Json.JsonError({ message: `YAML cannot carry a ${value.constructor.name} at ${path}`, path })
  }
  const fields = Object.entries(value as Readonly<Record<string, Json.KombuJson>>)
  // "? " marks a key of any length; without it PyYAML gives up on keys beyond 1,024 characters
  return `{${fields.map(([key, item]) => `${key.length > 500 ? "? " : ""}${writeString(key)}: ${write(item, `${path}.${key}`)}`).join(", ")}}`
}

const constants: ReadonlyMap<string, string> = new Map([
  [".inf", "Infinity"],
  ["-.inf", "-Infinity"],
  [".nan", "NaN"],
  ["? ", ""]
])

/** What {@link write} wrote is JSON, but for these: read as such its integers stay whole, and its long keys are what they were. */
const readFlow = (text: string): unknown => {
  if (!/^[[{]/.test(text)) return undefined
  try {
    // A text without its last quote goes on to the end: if it did not match, there would be 2^n ways to cut it that do not, either.
    const json = text.replace(/"(?:[^"\\]+|\\.)*"?|-?\.inf|\.nan|\? /g, (found) => constants.get(found) ?? found)
    return exactParse<unknown>(json, {
      maxDepth: Json.maxDepth,
      maxDigits: Json.maxDigits,
      fail: (message) => new SyntaxError(message),
      object: (object) => object
    })
  } catch {
    return undefined
  }
}

/** Before the digits of an integer that the parser would round. */
const mark = "\ufdd0integer "
const marked = new RegExp(`^${mark}[+-]?\\d{16,${Json.maxDigits}}$`)

const whole = (value: unknown): unknown => {
  if (typeof value === "string") return marked.test(value) ? BigInt(value.slice(mark.length)) : value
  if (Array.isArray(value)) return value.map(whole)
  if (!isRecord(value)) return value
  const record: Record<string, unknown> = {}
  for (const [key, item] of Object.entries(value)) setField(record, key, whole(item))
  return record
}

const wide = /^[+-]?[1-9]\d{15,}$/

/** Words, of which the parser takes more for numbers and constants than YAML 1.1: what is none of these is text, which PyYAML leaves without quotes. */
const word = /^[-+.]*\w[-+.\w]*$/
const number = /^(?:[+-]?\d[\d_]*(?:\.[\d_]*(?:[eE][+-]\d+)?)?|\.\d[\d_]*(?:[eE][+-]\d+)?|[+-]?0x[\da-fA-F_]+)$/
const constant = /^(?:[Tt]rue|TRUE|[Ff]alse|FALSE|[Nn]ull|NULL|[+-]?\.(?:[Ii]nf|INF)|\.(?:nan|NaN|NAN))$/

/** A key or a value, in quotes where the parser would make a number of it that was none, or another one. */
const kept = (scalar: string, isKey: boolean): string => {
  if (wide.test(scalar) && !Number.isSafeInteger(Number(scalar))) {
    if (scalar.length > Json.maxDigits) throw new RangeError(`An integer of more than ${Json.maxDigits} digits`)
    return isKey ? `'${scalar}'` : `'${mark}${scalar}'`
  }
  return word.test(scalar) && !number.test(scalar) && !constant.test(scalar) ? `'${scalar}'` : scalar
}

/**
 * Writes `- - 1` as two lines, and in quotes what the parser reads otherwise than PyYAML. PyYAML begins every task body with the first, and Effect's
 * parser refuses it. Only structure is touched: lines that continue a scalar are those indented deeper than the indicator the scalar belongs to, and
 * a multi-line flow collection is one too.
 */
const expand = (text: string): string => {
  const out: Array<string> = []
  /** Column of the indicator whose value goes on in deeper lines; -1 when nothing does. */
  let owner = -1
  const lines = text.split("\n")
  for (let at = 0; at < lines.length; at++) {
    let line = lines[at]!
    const indent = line.length - line.trimStart().length
    if (line.trim() === "" || (owner >= 0 && indent > owner)) {
      out.push(line)
      continue
    }
    const dashes = /^(?:- +)*/.exec(line.slice(indent))![0]
    const start = indent + dashes.length
    owner = valueOwner(line.slice(start), start, dashes)
    const rest = line.slice(start)
    const name = (keyPattern.exec(rest)?.[0] ?? "").replace(/:\s*$/, "")
    const gap = name === "" ? "" : /^:\s*/.exec(rest.slice(name.length))![0]
    const value = rest.slice(name.length + gap.length)
    const exact = kept(value, false)
    line = `${line.slice(0, start)}${kept(name, true)}${gap}${exact === value || goesOn(lines, at, owner) ? value : exact}`
    let column = indent
    const levels = dashes.match(/- +/g) ?? []
    // Each becomes a line indented deeper than the one before: 100 kB of dashes would be 2.5 GB.
    if (levels.length > Json.maxDepth) throw new RangeError(`YAML nested deeper than ${Json.maxDepth} levels`)
    for (const dash of levels) {
      const isLast = column + dash.length === indent + dashes.length
      if (!isLast) out.push(`${" ".repeat(column)}-`)
      else out.push(" ".repeat(column) + line.slice(column))
      column += dash.length
    }
    if (dashes === "") out.push(line)
  }
  return out.join("\n")
}

/** Whether what follows line `at` continues its scalar. */
const goesOn = (lines: ReadonlyArray<string>, at: number, owner: number): boolean => {
  let next = at + 1
  while (next < lines.length && lines[next]!.trim() === "") next++
  const line = lines[next] ?? ""
  return owner >= 0 && line.length - line.trimStart().length > owner
}

const keyPattern =
  /^(?:(?:"(?:[^"\\]|\\.)*"|'(?:[^']|'')*')\s*|(?:[^\s"'[\]{}#&*!|>%@`,-]|-(?=\S))(?:[^:#]|:(?=\S)|(?<=\S)#)*?):(?:\s+|$)/

/** The column whose deeper lines continue what this line begins, or -1 where nested structure may follow. */
const valueOwner = (rest: string, column: number, dashes: string): number => {
  const key = keyPattern.exec(rest)
  if (key !== null) return rest.length > key[0].length ? column : -1
  if (rest === "" || rest === "-") return -1
  const lastDash = /- +$/.exec(dashes)
  return lastDash === null ? column : column - lastDash[0].length
}
