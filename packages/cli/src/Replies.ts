/** Answers of workers as `celery inspect` prints them (celery/bin/base.py `pretty`, `say_chat`). */
import type * as Mailbox from "@apium/hub/Mailbox"
import * as PythonRepr from "@apium/protocol/celery/PythonRepr"
import * as Json from "@apium/protocol/kombu/Json"
import { indented, printable, printableJson, printableLines } from "./Text.ts"

interface Pretty {
  readonly status: "OK" | "ERROR"
  readonly text: string
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const sorted = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(sorted)
  if (!isRecord(value)) return value
  return Object.fromEntries(
    Object.entries(value)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, field]) => [key, sorted(field)])
  )
}

const pretty = (value: unknown): Pretty => {
  if (Array.isArray(value)) {
    const items = value.map((item) => `* ${typeof item === "string" ? item : PythonRepr.repr(item)}`)
    return { status: "OK", text: items.length === 0 ? "- empty -" : items.join("\n") }
  }
  if (!isRecord(value)) return { status: "OK", text: typeof value === "string" ? value : PythonRepr.repr(value) }
  if ("ok" in value) return { status: "OK", text: indented(pretty(value.ok).text, 4) }
  if ("error" in value) return { status: "ERROR", text: indented(pretty(value.error).text, 4) }
  return { status: "OK", text: JSON.stringify(sorted(JSON.parse(Json.stringify(value))), undefined, 4) }
}

/** `->  celery@host: OK`. */
export const head = ({ node, reply }: Mailbox.Reply): string => `->  ${printable(node)}: ${pretty(reply).status}`

/** The same, and the answer below it. */
export const format = (reply: Mailbox.Reply): string =>
  `${head(reply)}\n${indented(printableLines(pretty(reply.reply).text), 4)}`

export const count = (nodes: number): string => `\n${nodes} node${nodes === 1 ? "" : "s"} online.`

/** One object of all answers, as `celery inspect -j`. */
export const json = (replies: ReadonlyArray<Mailbox.Reply>): string =>
  printableJson(Json.stringify(Object.fromEntries(replies.map(({ node, reply }) => [node, reply]))))
