/** The captured sessions of py-amqp and Celery with RabbitMQ, as octets. */
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import * as Command from "@apium/protocol/amqp/Command"
import type { AmqpError } from "@apium/protocol/amqp/AmqpError"

const here = path.dirname(fileURLToPath(import.meta.url))
const root = path.join(here, "..", "..", "fixtures")
/** Made by `record.ts`. */
export const recordedFile = path.join(here, "..", "recorded.txt")

export const hex = (text: string): Uint8Array =>
  Uint8Array.from(text.match(/../g) ?? [], (octet) => Number.parseInt(octet, 16))

export const toHex = (bytes: Uint8Array): string =>
  Array.from(bytes, (octet) => octet.toString(16).padStart(2, "0")).join("")

export interface Captured {
  readonly where: string
  readonly dir: "c2s" | "s2c"
  readonly conn: number
  readonly type: string
  readonly channel: number
  readonly method: string | undefined
  /** `undefined` where the capture kept a checksum only. */
  readonly bytes: Uint8Array | undefined
}

const visit = (where: string, value: unknown, out: Array<Captured>): void => {
  if (Array.isArray(value)) return value.forEach((item, index) => visit(`${where}[${index}]`, item, out))
  if (typeof value !== "object" || value === null) return
  const record = value as Readonly<Record<string, unknown>>
  if ((record.dir === "c2s" || record.dir === "s2c") && typeof record.type === "string") {
    const whole =
      typeof record.hex === "string" &&
      (record.type === "protocol-header" || record.hex.length === (Number(record.size) + 8) * 2)
    out.push({
      where,
      dir: record.dir,
      conn: Number(record.conn),
      type: record.type,
      channel: Number(record.channel ?? 0),
      method: typeof record.method === "string" ? record.method : undefined,
      bytes: whole ? hex(record.hex as string) : undefined
    })
    return
  }
  for (const [name, item] of Object.entries(record)) visit(`${where}.${name}`, item, out)
}

/** Every captured frame, by file. */
export const files = (): ReadonlyMap<string, ReadonlyArray<Captured>> => {
  const out = new Map<string, ReadonlyArray<Captured>>()
  for (const version of fs.readdirSync(root).toSorted()) {
    const folder = path.join(root, version, "frames")
    if (!fs.existsSync(folder)) continue
    for (const file of fs.readdirSync(folder).toSorted()) {
      const frames: Array<Captured> = []
      visit(`${version}/${file}`, JSON.parse(fs.readFileSync(path.join(folder, file), "utf8")), frames)
      out.set(`${version}/${file}`, frames)
    }
  }
  return out
}

/** What one side of one connection said, in one piece; streams with a frame that was not kept whole are left out. */
export const streams = (): ReadonlyArray<Uint8Array> => {
  const out: Array<Uint8Array> = []
  for (const frames of files().values()) {
    const sides = Map.groupBy(
      frames.filter(({ type }) => type !== "protocol-header"),
      ({ conn, dir }) => `${conn} ${dir}`
    )
    for (const side of sides.values()) {
      if (side.every(({ bytes }) => bytes !== undefined)) out.push(concat(side.map(({ bytes }) => bytes!)))
    }
  }
  return out
}

/** What RabbitMQ and a client of ours said to each other: deliveries on two channels, deaths, returns, confirms. */
export const recorded = (): ReadonlyArray<{ readonly name: string; readonly bytes: Uint8Array }> =>
  fs
    .readFileSync(recordedFile, "utf8")
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => {
      const [session = "", direction = "", octets = ""] = line.split(" ")
      return { name: `${session} ${direction}`, bytes: hex(octets) }
    })

export const concat = (parts: ReadonlyArray<Uint8Array>): Uint8Array => {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.length
  }
  return out
}

/** What a parser gives, as data that can be compared. */
export interface Heard {
  readonly commands: Array<unknown>
  readonly refused: Array<AmqpError>
  heartbeats: number
}

export const plain = (command: Command.Command): unknown => ({
  channel: command.channel,
  method: command.method,
  content:
    command.content === undefined
      ? undefined
      : {
          properties: { ...command.content.properties },
          headers: command.content.hasHeaders ? command.content.headersUnsafe() : undefined,
          body: toHex(command.content.body)
        }
})

export const listen = (
  options: Partial<Command.Options> = {}
): { readonly parser: Command.CommandParser; readonly heard: Heard } => {
  const heard: Heard = { commands: [], refused: [], heartbeats: 0 }
  const parser = new Command.CommandParser({
    side: "either",
    frameMax: 131_072,
    onCommand: (command) => void heard.commands.push(plain(command)),
    onRefused: (error) => void heard.refused.push(error),
    onHeartbeat: () => void heard.heartbeats++,
    ...options
  })
  return { parser, heard }
}
