/** What real Celery was asked and answered (the fixtures of `@apium/protocol`; of 5.2.6 there is what differs from 5.6.3). */
import * as fs from "node:fs"

export type Version = "5.6.3" | "5.2.6"

interface Capture {
  readonly command: string
  readonly arguments: Readonly<Record<string, unknown>>
  readonly decodedReply: ReadonlyArray<Readonly<Record<string, unknown>>> | null
}

const read = (version: Version, path: string): unknown =>
  JSON.parse(
    fs.readFileSync(new URL(`../../../protocol/test/fixtures/${version}/${path}.json`, import.meta.url), "utf8")
  )

/** A command, and what its first worker answered, if it did. */
export const pidbox = (name: string, version: Version = "5.6.3") => {
  const { command, arguments: args, decodedReply } = read(version, `pidbox-amqp/${name}`) as Capture
  return { command, args, reply: Object.values(decodedReply?.[0] ?? {})[0] }
}

/** The events of a worker's life, each with its routing key. */
export const workerLife = (version: Version = "5.6.3") => {
  const { events } = read(version, "events/worker_life_amqp") as {
    readonly events: ReadonlyArray<{ readonly routingKey: string; readonly bodyText?: string }>
  }
  return events.flatMap(({ routingKey, bodyText = "[]" }) =>
    ([JSON.parse(bodyText)].flat() as ReadonlyArray<Readonly<Record<string, unknown>>>).map((event) => ({
      routingKey,
      event
    }))
  )
}

/** The `task-sent` of a Python client. */
export const sentEvent = (version: Version = "5.6.3"): Readonly<Record<string, unknown>> => {
  const { published } = read(version, "tasks-amqp/sent_event") as {
    readonly published: ReadonlyArray<{ readonly exchange: string; readonly bodyText: string }>
  }
  return JSON.parse(published.find(({ exchange }) => exchange === "celeryev")!.bodyText) as Record<string, unknown>
}

/**
 * What differs in kind: names of fields, and the types of what is no `null` in either. The elements of a list are against the
 * first one, unless both are as long as a pair.
 */
export const differences = (actual: unknown, expected: unknown, at = "reply"): ReadonlyArray<string> => {
  if (actual === null || expected === null) return []
  if (Array.isArray(actual) && Array.isArray(expected)) {
    if (expected.length === 0) return []
    const isPair = actual.length === 2 && expected.length === 2
    return actual.flatMap((item, index) => differences(item, expected[isPair ? index : 0], `${at}[${index}]`))
  }
  const [is, should] = [actual, expected].map((value) => (Array.isArray(value) ? "list" : typeof value))
  if (is !== should) return [`${at} is a ${is}, and should be a ${should}`]
  if (is !== "object") return []
  const one = actual as Readonly<Record<string, unknown>>
  const other = expected as Readonly<Record<string, unknown>>
  return [...new Set([...Object.keys(one), ...Object.keys(other)])].flatMap((key) =>
    Object.hasOwn(one, key) && Object.hasOwn(other, key)
      ? differences(one[key], other[key], `${at}.${key}`)
      : [`${at}.${key} is only in one of them`]
  )
}

/** What a Python client sent for a case, and the ids of the results it was given. */
export const capturedTasks = (name: string, version: Version = "5.6.3") =>
  read(version, `tasks-amqp/${name}`) as {
    readonly resultIds: unknown
    readonly received: ReadonlyArray<{ readonly headers: Readonly<Record<string, unknown>>; readonly bodyText: string }>
  }
