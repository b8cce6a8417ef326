/**
 * Which bindings a message matches, exactly as RabbitMQ decides it. Pure; linear in the length of the key for patterns
 * with one `#`, and never a regular expression made from foreign text.
 */
import * as Equal from "effect/Equal"
import type { Arguments, ExchangeType } from "../Exchange.ts"

/**
 * Whether a topic pattern matches a routing key: words are parted by dots, `*` is exactly one word, `#` is zero or more.
 * The empty key has no words, as in RabbitMQ: `#` matches it and `*` does not.
 */
export const topicMatches = (pattern: string, routingKey: string): boolean => {
  if (pattern === "#" || pattern === routingKey) return true
  const words = routingKey === "" ? [] : routingKey.split(".")
  const parts = pattern === "" ? [] : pattern.split(".")
  let word = 0
  let part = 0
  // Where to go back to when the last `#` has to take one more word.
  let hashPart = -1
  let hashWord = 0
  while (word < words.length) {
    const current = parts[part]
    if (current === "#") {
      hashPart = part++
      hashWord = word
    } else if (current !== undefined && (current === "*" || current === words[word])) {
      part++
      word++
    } else if (hashPart >= 0) {
      part = hashPart + 1
      word = ++hashWord
    } else {
      return false
    }
  }
  while (parts[part] === "#") part++
  return part === parts.length
}

/**
 * Whether headers match the arguments of a binding: `x-match` is `all` (default), `any`, `all-with-x` or `any-with-x`.
 * Arguments that start with `x-` are left out unless it says `-with-x`. An argument without a value asks for presence; dates,
 * bytes, arrays and tables are compared by what they hold.
 */
export const headersMatch = (wanted: Arguments, headers: Arguments): boolean => {
  const mode = typeof wanted["x-match"] === "string" ? wanted["x-match"] : "all"
  const withX = mode.endsWith("-with-x")
  const any = mode.startsWith("any")
  for (const key of Object.keys(wanted)) {
    if (key === "x-match" || (!withX && key.startsWith("x-"))) continue
    const value = wanted[key]
    const matches =
      Object.hasOwn(headers, key) && (value === undefined || value === null || Equal.equals(headers[key], value))
    if (matches && any) return true
    if (!matches && !any) return false
  }
  return !any
}

interface Bound {
  readonly routingKey: string
  readonly arguments: Arguments
}

/** Whether this binding of an exchange of that type takes the message. An unknown type routes as direct, as in kombu. */
export const matches = (type: ExchangeType, binding: Bound, routingKey: string, headers: Arguments): boolean => {
  switch (type) {
    case "fanout":
      return true
    case "topic":
      return topicMatches(binding.routingKey, routingKey)
    case "headers":
      return headersMatch(binding.arguments, headers)
    default:
      return binding.routingKey === routingKey
  }
}
