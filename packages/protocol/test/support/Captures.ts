/**
 * Every message in the captured fixtures, wherever it is hidden: AMQP publishes and deliveries, kombu envelopes in Redis lists, hashes and MONITOR lines, stored
 * results, chord parts, result tuples.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import * as Base64 from "effect/encoding/Base64"
import * as Result from "effect/Result"
import * as Json from "@apium/protocol/kombu/Json"

type Fields = Readonly<Record<string, unknown>>

export interface AmqpMessage {
  readonly where: string
  readonly version: string
  readonly exchange: string
  readonly routingKey: string
  readonly contentType: string
  readonly contentEncoding: string
  readonly headers: Fields
  /** `undefined` where the capture kept a checksum only. */
  readonly body: Uint8Array | undefined
}

export interface Captured<A> {
  readonly where: string
  readonly version: string
  readonly value: A
}

export interface Captures {
  readonly amqp: ReadonlyArray<AmqpMessage>
  /** Envelope texts. */
  readonly envelopes: ReadonlyArray<Captured<string>>
  /** `[envelope, exchange, routingKey]` texts kept under `unacked`. */
  readonly unacked: ReadonlyArray<Captured<string>>
  /** Texts of stored results. */
  readonly results: ReadonlyArray<Captured<string>>
  readonly groups: ReadonlyArray<Captured<string>>
  readonly chordParts: ReadonlyArray<Captured<string>>
  readonly tuples: ReadonlyArray<Captured<unknown>>
  /** Texts that look like a message and were not recognised as one: none, or this reader is wrong. */
  readonly unread: ReadonlyArray<string>
}

const root = path.join(path.dirname(fileURLToPath(import.meta.url)), "..", "fixtures")

const filesIn = (folder: string): ReadonlyArray<string> =>
  fs
    .readdirSync(folder, { withFileTypes: true })
    .flatMap((entry) =>
      entry.isDirectory()
        ? filesIn(path.join(folder, entry.name))
        : entry.name.endsWith(".json")
          ? [path.join(folder, entry.name)]
          : []
    )

/** One fixture as data. Fixtures were written by Python: they hold bare Infinity, too. */
export const fixture = (name: string): unknown => Json.parse(fs.readFileSync(path.join(root, name), "utf8"))

const isRecord = (value: unknown): value is Fields => Object.prototype.toString.call(value) === "[object Object]"

const fromBase64 = (text: string): Uint8Array => Result.getOrThrow(Base64.decode(text))

/** The quoted words of a MONITOR line, escapes undone. MONITOR escapes octets, so the words are read as UTF-8. */
export const monitorWords = (command: string): ReadonlyArray<string> =>
  Array.from(command.matchAll(/"((?:[^"\\]|\\.)*)"/g), ([, word]) => {
    const octets: Array<number> = []
    const plain = new TextEncoder()
    for (const [, hex, escaped, other] of word!.matchAll(/\\x([0-9a-f]{2})|\\(.)|([^\\]+)/gs)) {
      if (hex !== undefined) octets.push(Number.parseInt(hex, 16))
      else if (escaped !== undefined) octets.push({ n: 10, r: 13, t: 9, a: 7, b: 8 }[escaped] ?? escaped.charCodeAt(0))
      else octets.push(...plain.encode(other))
    }
    return new TextDecoder().decode(Uint8Array.from(octets))
  })

const parsed = (text: string): unknown => {
  if (!/^\s*[[{]/.test(text)) return undefined
  try {
    return Json.parse(text)
  } catch {
    return undefined
  }
}

const isEnvelope = (value: unknown): boolean => isRecord(value) && isRecord(value.properties) && "body" in value

export const load = (): Captures => {
  const amqp: Array<AmqpMessage> = []
  const envelopes: Array<Captured<string>> = []
  const unacked: Array<Captured<string>> = []
  const results: Array<Captured<string>> = []
  const groups: Array<Captured<string>> = []
  const chordParts: Array<Captured<string>> = []
  const tuples: Array<Captured<unknown>> = []
  const unread: Array<string> = []

  const text = (where: string, version: string, value: string): void => {
    const json = parsed(value)
    if (isEnvelope(json)) envelopes.push({ where, version, value })
    else if (Array.isArray(json) && json.length === 3 && isEnvelope(json[0])) unacked.push({ where, version, value })
    else if (Array.isArray(json) && json.length === 4 && json[0] === 1) chordParts.push({ where, version, value })
    else if (isRecord(json) && "status" in json && "result" in json) results.push({ where, version, value })
    else if (isRecord(json) && Object.keys(json).join() === "result") groups.push({ where, version, value })
    else if (/"delivery_tag"|"task_id".*"status"|"status".*"task_id"/s.test(value)) unread.push(where)
  }

  const visit = (where: string, version: string, key: string, value: unknown): void => {
    if (typeof value === "string") {
      // bodies of AMQP messages are taken with their message
      if (key === "command") for (const word of monitorWords(value)) text(where, version, word)
      else if (key !== "bodyText") text(where, version, value)
    } else if (Array.isArray(value)) {
      if (key === "resultIds") tuples.push({ where, version, value })
      else value.forEach((item, index) => visit(`${where}[${index}]`, version, key, item))
    } else if (isRecord(value)) {
      if (typeof value.kind === "string" && isRecord(value.properties)) amqp.push(amqpMessage(where, version, value))
      else for (const [name, item] of Object.entries(value)) visit(`${where}.${name}`, version, name, item)
    }
  }

  for (const file of filesIn(root)) {
    const name = path.relative(root, file).replaceAll(path.sep, "/")
    visit(name, name.split("/", 1)[0]!, "", fixture(name))
  }
  return { amqp, envelopes, unacked, results, groups, chordParts, tuples, unread }
}

const amqpMessage = (where: string, version: string, value: Fields): AmqpMessage => {
  const properties = value.properties as Fields
  return {
    where,
    version,
    exchange: String(value.exchange),
    routingKey: String(value.routingKey),
    contentType: String(properties.content_type),
    contentEncoding: String(properties.content_encoding),
    headers: (value.headers ?? {}) as Fields,
    body: typeof value.bodyBase64 === "string" ? fromBase64(value.bodyBase64) : undefined
  }
}

/** Unpacks a zlib stream, which is what kombu calls gzip. */
export const inflate = async (body: Uint8Array): Promise<Uint8Array> => {
  const stream = new Blob([Uint8Array.from(body)]).stream().pipeThrough(new DecompressionStream("deflate"))
  return new Uint8Array(await new Response(stream).arrayBuffer())
}
