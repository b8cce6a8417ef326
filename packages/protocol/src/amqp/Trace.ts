/**
 * A command in one line, for people who watch the wire:
 *
 * ```text
 * c2s #1 queue.declare queue="celery" durable arguments={"x-max-priority":10}
 * s2c #1 basic.deliver consumer_tag="None1" delivery_tag=7 exchange="" routing_key="celery" | application/json, 15 headers, 123 octets
 * ```
 *
 * What logs in is never shown, and neither are bodies and the values of headers: those are somebody's data.
 */
import * as Result from "effect/Result"
import type { AmqpError } from "./AmqpError.ts"
import * as Constants from "./Constants.ts"
import type { Command } from "./Command.ts"

export type Direction = "c2s" | "s2c"

/** Fields that are credentials, or a step of a login. */
const secret: ReadonlySet<string> = new Set(["response", "challenge", "newSecret"])
const secretKey = /pass|secret|token|credential/i
const longest = 400

/** `deliveryTag` as the specification writes it. */
const wireName = (name: string): string => name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

/** One line, without its end; control characters are escaped. */
export const command = (direction: Direction, command: Command): string => {
  const words = [direction, `#${command.channel}`, command.method._tag]
  for (const [name, value] of Object.entries(command.method)) {
    if (name === "_tag") continue
    const word = field(name, value)
    if (word !== "") words.push(word)
  }
  if (command.content !== undefined) {
    const { properties, body } = command.content
    const headers = command.content.headers()
    const about = [
      properties.contentType === undefined ? "no content type" : quoted(properties.contentType).slice(1, -1),
      Result.isSuccess(headers) ? `${Object.keys(headers.success).length} headers` : "unreadable headers",
      `${body.length} octets`
    ]
    words.push(`| ${about.join(", ")}`)
  }
  return words.join(" ")
}

export const heartbeat = (direction: Direction): string => `${direction} #0 heartbeat`

/** What was refused, and what is closed for it. */
export const refusal = (direction: Direction, error: AmqpError): string =>
  `${direction} #${error.channel ?? 0} refused ${error.replyCode} ${Constants.replyName(error.replyCode)}: ${quoted(error.message).slice(1, -1)}`

const field = (name: string, value: unknown): string => {
  const shown = wireName(name)
  if (typeof value === "boolean") return value ? shown : ""
  if (typeof value === "string") return `${shown}=${quoted(value)}`
  if (value instanceof Uint8Array) return `${shown}=${secret.has(name) ? "**" : `<${value.length} octets>`}`
  if (typeof value === "object" && value !== null) {
    return Object.keys(value).length === 0 ? "" : `${shown}=${cut(JSON.stringify(value, replaced))}`
  }
  return `${shown}=${String(value)}`
}

const replaced = (key: string, value: unknown): unknown => {
  if (secretKey.test(key)) return "**"
  if (typeof value === "bigint") return String(value)
  return value instanceof Uint8Array ? `<${value.length} octets>` : value
}

/** As JSON, which leaves the controls of 128 to 159 to us: what is shown goes to a terminal. */
const quoted = (text: string): string =>
  printable(JSON.stringify(text.length > longest ? `${text.slice(0, longest)}…` : text))
const cut = (text: string): string => printable(text.length > longest ? `${text.slice(0, longest)}…` : text)
const printable = (text: string): string => text.replaceAll(/\p{Cc}/gu, "?")
