/** Which keys commands write, and of what shape their values are. */
import type { Asked } from "./monitor.ts"

const writes = new Set(["SADD", "LPUSH", "PUBLISH", "ZADD", "HSET", "ZREM", "HDEL", "SETEX", "SET"])

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return text
  }
}

/** An envelope's body is read, too. */
const read = (text: string): unknown => {
  const value = parsed(text)
  const envelope = Array.isArray(value) ? (value[0] as unknown) : value
  if (typeof envelope === "object" && envelope !== null && "body" in envelope) {
    envelope.body = parsed(Buffer.from(String(envelope.body), "base64").toString())
  }
  return value
}

export interface Write {
  /** The command and its key, without what is another one each time. */
  readonly label: string
  readonly values: ReadonlyArray<unknown>
}

/** Events come as lists of any length, and results one after the other: each by what it is. */
const apart = (label: string, values: ReadonlyArray<unknown>): ReadonlyArray<Write> => {
  const at = values.findIndex((value) => typeof value === "object" && value !== null && !Array.isArray(value))
  if (at < 0) return [{ label, values }]
  const record = values[at] as Readonly<Record<string, unknown>>
  if (typeof record.status === "string") return [{ label: `${label} ${record.status}`, values }]
  if (!label.includes("task.multi") || !Array.isArray(record.body)) return [{ label, values }]
  return (record.body as ReadonlyArray<{ readonly type: string }>).map((event) => ({
    label: `${label} ${event.type}`,
    values: [{ ...record, body: event }]
  }))
}

/** `node`: the name of the worker. */
export const written = (asked: ReadonlyArray<Pick<Asked, "command" | "args">>, node: string): ReadonlyArray<Write> => {
  const generic = (text: string) =>
    text
      .replaceAll(node, "<node>")
      .replaceAll(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, "<id>")
      .replace(/^\/\d+\./, "/<db>.")
  return asked.flatMap(({ command, args: [key = "", ...args] }) => {
    if (!writes.has(command)) return []
    const values = args.map(read).map((value) => (typeof value === "string" ? generic(value) : value))
    return apart(`${command} ${generic(key)}`, values)
  })
}

const kind = (value: unknown): string => (Array.isArray(value) ? "list" : typeof value)

/** What differs in kind: fields that one has and the other has not, and types. `null` is of every type. */
export const differences = (ours: unknown, theirs: unknown, at: string): ReadonlyArray<string> => {
  if (ours === null || theirs === null) return []
  if (kind(ours) !== kind(theirs)) return [`${at} is a ${kind(ours)}, and a ${kind(theirs)} there`]
  if (Array.isArray(ours) && Array.isArray(theirs)) {
    return ours
      .slice(0, theirs.length)
      .flatMap((value, index) => differences(value, (theirs as ReadonlyArray<unknown>)[index], `${at}[${index}]`))
  }
  if (typeof ours !== "object") return []
  const [one, other] = [ours as Record<string, unknown>, theirs as Record<string, unknown>]
  return [...new Set([...Object.keys(one), ...Object.keys(other)])].flatMap((name) =>
    !(name in one)
      ? [`${at}.${name} is missing`]
      : !(name in other)
        ? [`${at}.${name} is ours alone`]
        : differences(one[name], other[name], `${at}.${name}`)
  )
}
