/**
 * The AMQP codec, without a socket, against amqplib's. Encoding: one publish as the octets a socket takes. Decoding: a delivery of three frames in a
 * chunk of many, as a socket brings them; ours owns what it hands out (copies of body and headers), amqplib's are views.
 *
 * Equal work is asserted before anything is timed: both read what both wrote, and give the same values. amqplib keeps small integers in fewer octets
 * (`b`, `s`), which py-amqp misreads; the tables it reads here are as py-amqp and we write them, integers in `I`.
 */
import assert from "node:assert/strict"
import { createRequire } from "node:module"
import * as path from "node:path"
import * as Command from "@apium/protocol/amqp/Command"
import type { FieldTable } from "@apium/protocol/amqp/FieldTable"
import type { Properties } from "@apium/protocol/amqp/BasicProperties"
import { FrameWriter } from "@apium/protocol/amqp/FrameWriter"
import * as Method from "@apium/protocol/amqp/Method"
import { headers as celeryHeaders } from "./amqp/work.ts"
import * as Bench from "./Bench.ts"

interface Fields {
  readonly [name: string]: unknown
}
interface Amqplib {
  readonly defs: {
    readonly BasicPublish: number
    readonly BasicDeliver: number
    readonly BasicProperties: number
    readonly encodeMethod: (id: number, channel: number, fields: Fields) => Buffer
    readonly encodeProperties: (id: number, channel: number, size: number, fields: Fields) => Buffer
  }
  readonly frame: {
    readonly makeBodyFrame: (channel: number, body: Buffer) => Buffer
    readonly parseFrame: (bytes: Buffer, max: number) => { readonly rest: Buffer } | false
    readonly decodeFrame: (frame: object) => {
      readonly fields?: Fields
      readonly payload?: Buffer
      readonly content?: Buffer
    }
  }
}

/** amqplib's codec is not among its exports: it is loaded by its place. */
const amqplib = (): Amqplib => {
  const require = createRequire(import.meta.url)
  const lib = path.join(path.dirname(require.resolve("amqplib")), "lib")
  return { defs: require(path.join(lib, "defs.js")), frame: require(path.join(lib, "frame.js")) }
}

const { defs, frame } = amqplib()

const messages = 100_000
const perChunk = 40

/**
 * The last message of every contestant, alive: as in a consumer that holds some. Else the full collection before each turn takes the shapes of all objects
 * with it, and the turn begins with compiling.
 */
const held = new Map<string, unknown>()

assert.equal(Object.keys(celeryHeaders).length, 15)

const death = {
  count: 3,
  reason: "expired",
  queue: "celery_delayed_5",
  exchange: "celery_delayed_5",
  "routing-keys": ["0.0.0.0.1.0.1.celery"],
  time: 1_700_000_000
}
/** As RabbitMQ writes them, but for the time: amqplib has no plain value for a timestamp. */
const deathHeaders: FieldTable = {
  "x-death": [
    death,
    { ...death, queue: "celery_delayed_3", exchange: "celery_delayed_3" },
    { ...death, queue: "dead" }
  ],
  "x-first-death-exchange": "celery_delayed_5",
  "x-first-death-queue": "celery_delayed_5",
  "x-first-death-reason": "expired"
}

const celeryProperties: Properties = {
  contentType: "application/json",
  contentEncoding: "utf-8",
  deliveryMode: "persistent",
  priority: 0,
  correlationId: "7b0e7d3c-6c1f-4f0e-9d43-0b6a2f1f9f11",
  replyTo: "3c0f0f7e-1d5b-3a0e-8a53-7a3a4cb6a1c2"
}
const fewProperties: Properties = { contentType: "application/json", deliveryMode: "persistent" }

const body = new TextEncoder().encode(
  '[[2, 2], {}, {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]'.padEnd(100)
)
const bodyBuffer = Buffer.from(body)

const theirProperties = (properties: Properties, headers: FieldTable | undefined): Fields => ({
  ...properties,
  deliveryMode: properties.deliveryMode === "persistent" ? 2 : 1,
  ...(headers === undefined ? undefined : { headers })
})

// ------------------------------------------------------------------ encoding

const route = { exchange: "", routingKey: "celery", mandatory: true, immediate: false }

const ourPublish = (writer: FrameWriter, properties: Properties, headers: FieldTable | undefined): void =>
  writer.publish(1, Method.basicPublish(route), { properties, headers, body })

/** As `Connection.sendMessage` and `Mux` do it for messages below 2048 octets. */
const theirPublish = (fields: Fields): Buffer => {
  const method = defs.encodeMethod(defs.BasicPublish, 1, route)
  const header = defs.encodeProperties(defs.BasicProperties, 1, bodyBuffer.length, fields)
  const all = Buffer.allocUnsafe(method.length + header.length + bodyBuffer.length + 8)
  let offset = method.copy(all, 0)
  offset += header.copy(all, offset)
  frame.makeBodyFrame(1, bodyBuffer).copy(all, offset)
  return all
}

const publishing = (title: string, properties: Properties, headers: FieldTable | undefined): Bench.Timed => {
  const fields = theirProperties(properties, headers)
  const check = new FrameWriter(131_072)
  ourPublish(check, properties, headers)
  const ours = Buffer.concat(check.take())
  assert.deepEqual(readTheirs(ours), readTheirs(theirPublish(fields)))
  assert.deepEqual(readOurs(theirPublish(fields)), readOurs(ours))
  return Bench.timed({
    title,
    unit: "messages",
    operations: messages,
    contestants: [
      {
        name: "amqplib",
        start: () => ({
          turn: () => {
            let octets = 0
            for (let index = 0; index < messages; index++) octets += theirPublish(fields).length
            held.set(`${title} amqplib`, theirPublish(fields))
            assert.ok(octets > 0)
          }
        })
      },
      {
        name: "apium",
        start: () => {
          const writer = new FrameWriter(131_072)
          held.set(`${title} apium`, [Method.basicPublish(route), { properties, headers, body }])
          return {
            turn: () => {
              for (let index = 0; index < messages; index++) {
                ourPublish(writer, properties, headers)
                // As an outbox does it: what has gathered goes out in one piece.
                if (writer.size > 56 * 1024) writer.take()
              }
              writer.take()
            }
          }
        }
      }
    ]
  })
}

// ------------------------------------------------------------------ decoding

interface Read {
  readonly fields: unknown
  readonly properties: unknown
  readonly headers: unknown
  readonly body: string
}

const defined = (record: object): Fields =>
  Object.fromEntries(Object.entries(record).filter(([key, value]) => value !== undefined && key !== "_tag"))

const readTheirs = (bytes: Buffer): ReadonlyArray<Read> => {
  const out: Array<Read> = []
  let rest = bytes
  const next = () => {
    const parsed = frame.parseFrame(rest, 131_072)
    assert.ok(parsed !== false)
    rest = parsed.rest
    return frame.decodeFrame(parsed)
  }
  while (rest.length > 0) {
    const { ticket: _ticket, ...fields } = defined(next().fields!)
    const { headers, deliveryMode, ...properties } = defined(next().fields!)
    const body = next().content ?? Buffer.alloc(0)
    const mode = deliveryMode === 2 ? "persistent" : "transient"
    out.push({
      fields,
      properties: { ...properties, deliveryMode: mode },
      headers: headers ?? {},
      body: body.toString()
    })
  }
  return out
}

const parser = (onCommand: (command: Command.Command) => void, copy = true): Command.CommandParser =>
  new Command.CommandParser({
    side: "either",
    frameMax: 131_072,
    copy,
    onCommand,
    onRefused: (error) => {
      throw error
    }
  })

const readOurs = (bytes: Buffer): ReadonlyArray<Read> => {
  const out: Array<Read> = []
  parser(({ method, content }) => {
    out.push({
      fields: defined(method),
      properties: defined(content!.properties),
      headers: content!.headersUnsafe(),
      body: Buffer.from(content!.body).toString()
    })
  }).pushUnsafe(bytes)
  return out
}

const deliveries = (headers: FieldTable): Buffer => {
  const writer = new FrameWriter(131_072)
  for (let index = 1; index <= perChunk; index++) {
    const method = Method.basicDeliver({ consumerTag: "None1", deliveryTag: index, exchange: "", routingKey: "celery" })
    // Every message of its own id, as in life: a cache of strings is not to win by it.
    const id = `7b0e7d3c-6c1f-4f0e-9d43-0b6a2f1f${String(index).padStart(4, "0")}`
    writer.content(1, method, {
      properties: { ...celeryProperties, correlationId: id },
      headers: "id" in headers ? { ...headers, id, root_id: id } : headers,
      body
    })
  }
  return Buffer.concat(writer.take())
}

type Reading = "nothing" | "properties" | "all"

const delivering = (title: string, headers: FieldTable, readings: ReadonlyArray<Reading>): Bench.Timed => {
  const chunk = deliveries(headers)
  assert.deepEqual(JSON.parse(JSON.stringify(readOurs(chunk))), JSON.parse(JSON.stringify(readTheirs(chunk))))
  const ours = (read: Reading, copy: boolean): Bench.Contestant => ({
    name: `apium, ${read} read${copy ? "" : ", views of the chunk"}`,
    start: () => {
      let octets = 0
      let last: unknown
      const commands = parser((command) => {
        const { content } = command
        last = command
        if (read === "all") octets += Object.hasOwn(content!.headersUnsafe(), "id") ? 1 : 0
        if (read !== "nothing") octets += content!.properties.correlationId!.length
        octets += content!.body.length
      }, copy)
      return {
        turn: () => {
          for (let index = 0; index < messages; index += perChunk) commands.pushUnsafe(chunk)
          held.set(`${title} ${read} ${copy}`, last)
          assert.ok(octets >= messages * body.length)
        }
      }
    }
  })
  return Bench.timed({
    title,
    unit: "messages",
    operations: messages,
    contestants: [
      {
        name: "amqplib",
        start: () => ({
          turn: () => {
            let octets = 0
            let last: Array<unknown> = []
            for (let index = 0; index < messages; index += perChunk) {
              last = []
              let rest = chunk
              while (rest.length > 0) {
                const parsed = frame.parseFrame(rest, 131_072)
                if (parsed === false) break
                rest = parsed.rest
                const decoded = frame.decodeFrame(parsed)
                last.push(decoded)
                octets += decoded.content?.length ?? 0
              }
            }
            held.set(`${title} amqplib`, last)
            assert.equal(octets, messages * body.length)
          }
        })
      },
      ...readings.flatMap((read) => [ours(read, true), ours(read, false)])
    ]
  })
}

export const headersBench = publishing(
  "amqp-codec: encode publish + 15 Celery headers",
  celeryProperties,
  celeryHeaders
)
export const twoBench = publishing("amqp-codec: encode publish + 2 properties", fewProperties, undefined)

export default [
  headersBench,
  twoBench,
  delivering("amqp-codec: decode deliver + 15 headers, read", celeryHeaders, ["all"]),
  delivering("amqp-codec: decode deliver + 15 headers, unread", celeryHeaders, ["nothing", "properties"]),
  delivering("amqp-codec: decode deliver + nested x-death, read", deathHeaders, ["all"])
]
