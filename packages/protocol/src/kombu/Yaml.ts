/**
 * The serializer `yaml` (`application/x-yaml`). Reads what PyYAML's `safe_dump` writes for task messages, by Effect's YAML parser; writes flow style, which
 * is JSON but for the numbers PyYAML would take for strings. Its own subpath, so that a bundle without YAML does not carry the parser.
 *
 * Times are read as text. The parser refuses tags (`!!binary`, `!!python/...`) and explicit keys (`? `), which PyYAML writes for empty keys and for those with
 * line breaks.
 */
import * as YamlParser from "effect/encoding/Yaml"
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
  decode: (body) => YamlParser.parse(expand(utf8.decode(body)))
}

/** YAML 1.1 reads an exponent only after a decimal point, and 1e+21 as a string. */
const writeNumber = (value: number): string => {
  if (Number.isNaN(value)) return ".nan"
  if (!Number.isFinite(value)) return value > 0 ? ".inf" : "-.inf"
  const text = JSON.stringify(value)
  return text.includes("e") && !text.includes(".") ? text.replace("e", ".0e") : text
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

/**
 * Writes `- - 1` as two lines. PyYAML begins every task body that way, and Effect's parser refuses it. Only indicators of structure are touched: lines that
 * continue a scalar are those indented deeper than the indicator the scalar belongs to, and a multi-line flow collection is one too.
 */
const expand = (text: string): string => {
  if (!/^[^\S\n]*(- )*- - /m.test(text)) return text
  const out: Array<string> = []
  /** Column of the indicator whose value goes on in deeper lines; -1 when nothing does. */
  let owner = -1
  for (const line of text.split("\n")) {
    const indent = line.length - line.trimStart().length
    if (line.trim() === "" || (owner >= 0 && indent > owner)) {
      out.push(line)
      continue
    }
    const dashes = /^(?:- +)*/.exec(line.slice(indent))![0]
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
    owner = valueOwner(line.slice(indent + dashes.length), indent + dashes.length, dashes)
  }
  return out.join("\n")
}

const keyPattern =
  /^(?:(?:"(?:[^"\\]|\\.)*"|'(?:[^']|'')*')\s*|[^\s"'[\]{}#&*!|>%@`,-](?:[^:#]|:(?=\S)|(?<=\S)#)*?):(?:\s+|$)/

/** The column whose deeper lines continue what this line begins, or -1 where nested structure may follow. */
const valueOwner = (rest: string, column: number, dashes: string): number => {
  const key = keyPattern.exec(rest)
  if (key !== null) return rest.length > key[0].length ? column : -1
  if (rest === "" || rest === "-") return -1
  const lastDash = /- +$/.exec(dashes)
  return lastDash === null ? column : column - lastDash[0].length
}
