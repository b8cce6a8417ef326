/** Every message that Python was recorded to send is decoded, encoded again, and means the same. */
import * as Result from "effect/Result"
import { assert, describe, it } from "@effect/vitest"
import * as EventMessage from "@apium/protocol/celery/EventMessage"
import * as ResultMessage from "@apium/protocol/celery/ResultMessage"
import * as TaskMessage from "@apium/protocol/celery/TaskMessage"
import * as Bzip2 from "@apium/protocol/kombu/Bzip2"
import * as Content from "@apium/protocol/kombu/Content"
import * as Envelope from "@apium/protocol/kombu/Envelope"
import * as Json from "@apium/protocol/kombu/Json"
import * as MailboxMessage from "@apium/protocol/kombu/MailboxMessage"
import { msgpack } from "@apium/protocol/kombu/Msgpack"
import { yaml } from "@apium/protocol/kombu/Yaml"
import * as Captures from "./support/Captures.ts"

const registry = Content.registry([Content.json, Content.text, Content.bytes, msgpack, yaml])
const captures = Captures.load()

/** What the fixtures hold. A message that stops to be recognised makes one of these numbers smaller. */
const expectedAmqp = {
  "application/x-lzma": 4,
  "application/x-python-serialize": 4,
  event: 310,
  "mailbox reply": 126,
  "mailbox request": 73,
  "no body": 2,
  result: 52,
  "task v1": 12,
  "task v2": 264
}
const expectedRedis = {
  "application/x-lzma": 2,
  "application/x-python-serialize": 2,
  event: 245,
  "mailbox reply": 56,
  "mailbox request": 65,
  "task v1": 6,
  "task v2": 216
}
const expectedResults = { results: 150, groups: 4, "chord parts": 6, "result tuples": 222 }

type Fields = Readonly<Record<string, unknown>>

/** Messages that are not read, and why. Nothing else may be left out. */
const refused = {
  "application/x-python-serialize": "pickle is refused always; the headers are read",
  "application/x-lzma": "no lzma in this package; the headers are read",
  "no body": "the capture of the 200 KB message keeps a checksum of the body; the headers are read"
} as const

/** Keys that our encoders write though an older or newer sender left them out. */
const added: ReadonlySet<string> = new Set([
  // 5.2.6 knows no nesting and no stamps; rpc results lack date_done
  "replaced_task_nesting",
  "stamped_headers",
  "stamps",
  "ignore_result",
  "date_done"
])

/** What was sent, in what we would send: equal, but for keys that are `added`, and lists that are sets. */
const assertContains = (ours: Fields, theirs: Fields, where: string): void => {
  for (const key of Object.keys(theirs)) {
    const value = theirs[key]
    if (key === "stamped_headers" && Array.isArray(value)) {
      assert.deepStrictEqual(new Set(ours[key] as ReadonlyArray<unknown>), new Set(value), `${where} ${key}`)
    } else {
      assert.deepStrictEqual(ours[key], value, `${where} ${key}`)
    }
  }
  for (const key of Object.keys(ours))
    assert.isTrue(key in theirs || added.has(key), `${where}: ${key} is not Python's`)
}

const without = (record: Fields, key: string): Fields =>
  Object.fromEntries(Object.entries(record).filter(([name]) => name !== key))

type Kind = "task v1" | "task v2" | "event" | "mailbox request" | "mailbox reply" | "result"

interface Wire {
  readonly where: string
  readonly exchange: string
  readonly contentType: string
  readonly contentEncoding: string
  readonly headers: Fields
  readonly body: Uint8Array | undefined
}

const roundTripTask = (wire: Wire, payload: unknown): Kind => {
  const task = Result.getOrThrow(TaskMessage.decode(wire.headers, payload))
  if (task.protocol === 1) {
    const again = TaskMessage.encodeV1(task)
    assertContains(again, payload as Fields, wire.where)
    assert.deepStrictEqual(Result.getOrThrow(TaskMessage.decode({}, again)), task, wire.where)
    return "task v1"
  }
  const headers = TaskMessage.encodeHeaders(task.headers)
  const body = TaskMessage.encodeBody(task.args, task.kwargs, task.embed)
  assertContains(headers, without(wire.headers, "compression"), wire.where)
  assert.deepStrictEqual(body, payload, wire.where)
  const serialised = Content.encodeUnsafe(registry, wire.contentType, body)
  const parsed = Content.decodeUnsafe(registry, serialised.body, serialised.contentType, serialised.contentEncoding)
  assert.deepStrictEqual(Result.getOrThrow(TaskMessage.decode(headers, parsed)), task, wire.where)
  return "task v2"
}

const roundTripEvent = (wire: Wire, payload: unknown): Kind => {
  const events = Result.getOrThrow(EventMessage.decode(payload))
  const again = Array.isArray(payload) ? EventMessage.encodeMulti(events) : EventMessage.encode(events[0]!)
  assert.deepStrictEqual(again, payload, wire.where)
  assert.deepStrictEqual(Result.getOrThrow(EventMessage.decode(Json.parse(Json.stringify(again)))), events, wire.where)
  return "event"
}

const roundTripRequest = (wire: Wire, payload: unknown): Kind => {
  const request = Result.getOrThrow(MailboxMessage.decodeRequest(payload))
  const headers = Result.getOrThrow(MailboxMessage.decodeRequestHeaders(wire.headers))
  assert.deepStrictEqual(MailboxMessage.encodeRequest(request), payload, wire.where)
  assert.deepStrictEqual(MailboxMessage.encodeRequestHeaders(headers), wire.headers, wire.where)
  return "mailbox request"
}

const roundTripReply = (wire: Wire, payload: unknown): Kind => {
  const reply = Result.getOrThrow(MailboxMessage.decodeReply(payload))
  const headers = Result.getOrThrow(MailboxMessage.decodeReplyHeaders(wire.headers))
  assert.deepStrictEqual(MailboxMessage.encodeReply(reply), payload, wire.where)
  assert.deepStrictEqual(MailboxMessage.encodeReplyHeaders(headers), wire.headers, wire.where)
  return "mailbox reply"
}

const roundTripResult = (where: string, payload: unknown): Kind => {
  const result = Result.getOrThrow(ResultMessage.decode(payload))
  const again = ResultMessage.encode(result)
  assertContains(again, payload as Fields, where)
  assert.deepStrictEqual(Result.getOrThrow(ResultMessage.decode(Json.parse(Json.stringify(again)))), result, where)
  const failure = ResultMessage.decodeFailure(result.result)
  if (failure !== undefined) assert.deepStrictEqual(ResultMessage.encodeFailure(failure), result.result, where)
  return "result"
}

const roundTrip = async (wire: Wire): Promise<Kind | keyof typeof refused> => {
  const compression = wire.headers.compression
  const reason =
    wire.body === undefined
      ? "no body"
      : typeof compression === "string" && compression in refused
        ? compression
        : wire.contentType
  if (reason in refused) {
    const headers = Result.getOrThrow(TaskMessage.decodeHeaders(wire.headers))
    assertContains(TaskMessage.encodeHeaders(headers), without(wire.headers, "compression"), wire.where)
    return reason as keyof typeof refused
  }
  const body =
    compression === undefined
      ? wire.body!
      : compression === "application/x-bz2"
        ? new Uint8Array(
            await new Blob([...Bzip2.decode(wire.body!)] as ReadonlyArray<BlobPart> as Array<BlobPart>).arrayBuffer()
          )
        : await Captures.inflate(wire.body!)
  const payload = Result.getOrThrow(Content.decode(registry, body, wire.contentType, wire.contentEncoding))
  if (wire.exchange === EventMessage.exchange) return roundTripEvent(wire, payload)
  if (wire.exchange === MailboxMessage.requestExchange()) return roundTripRequest(wire, payload)
  if (wire.exchange === MailboxMessage.replyExchange()) return roundTripReply(wire, payload)
  return TaskMessage.version(wire.headers, payload) === undefined
    ? roundTripResult(wire.where, payload)
    : roundTripTask(wire, payload)
}

const tally = (names: ReadonlyArray<string>): Record<string, number> => {
  const counts: Record<string, number> = {}
  for (const name of names.toSorted()) counts[name] = (counts[name] ?? 0) + 1
  return counts
}

const fromEnvelope = (where: string, envelope: Envelope.Envelope): Wire => ({
  where,
  exchange: envelope.deliveryInfo.exchange,
  contentType: envelope.properties.contentType!,
  contentEncoding: envelope.properties.contentEncoding!,
  headers: envelope.headers,
  body: envelope.body
})

const roundTripEnvelope = (where: string, text: string): Wire => {
  const envelope = Result.getOrThrow(Envelope.decode(text))
  assert.deepStrictEqual(Json.parse(Envelope.encode(envelope)), Json.parse(text), where)
  assert.deepStrictEqual(Result.getOrThrow(Envelope.decode(Envelope.encode(envelope))), envelope, where)
  return fromEnvelope(where, envelope)
}

const report = (what: string, counts: Record<string, number>): void => {
  const total = Object.values(counts).reduce((sum, count) => sum + count, 0)
  console.log(
    `golden: ${total} ${what}: ${Object.entries(counts)
      .map(([name, count]) => `${count} ${name}`)
      .join(", ")}`
  )
}

describe("captured messages", () => {
  it("on AMQP come back the same", async () => {
    const kinds: Array<string> = []
    for (const message of captures.amqp) kinds.push(await roundTrip(message))
    const counts = tally(kinds)
    report("AMQP messages", counts)
    assert.deepStrictEqual(counts, expectedAmqp)
  })

  it("in Redis envelopes come back the same", async () => {
    const kinds: Array<string> = []
    for (const { where, value } of captures.envelopes) kinds.push(await roundTrip(roundTripEnvelope(where, value)))
    for (const { where, value } of captures.unacked) {
      const [envelope, exchange, routingKey] = Json.parse(value) as ReadonlyArray<Json.KombuJson>
      assert.isString(exchange, where)
      assert.isString(routingKey, where)
      kinds.push(await roundTrip(roundTripEnvelope(where, Json.stringify(envelope))))
    }
    const counts = tally(kinds)
    report("Redis envelopes", counts)
    assert.deepStrictEqual(counts, expectedRedis)
  })

  it("of result backends come back the same", () => {
    for (const { where, value } of captures.results) roundTripResult(where, Json.parse(value))
    for (const { where, value } of captures.groups) {
      const group = Result.getOrThrow(ResultMessage.decodeGroup(Json.parse(value)))
      assert.deepStrictEqual(ResultMessage.encodeGroup(group), Json.parse(value), where)
    }
    for (const { where, value } of captures.chordParts) {
      const part = Result.getOrThrow(ResultMessage.decodeChordPart(Json.parse(value)))
      assert.deepStrictEqual(ResultMessage.encodeChordPart(part), Json.parse(value), where)
    }
    for (const { where, value } of captures.tuples) {
      const tuple = Result.getOrThrow(ResultMessage.decodeTuple(value))
      assert.deepStrictEqual(ResultMessage.encodeTuple(tuple), value, where)
    }
    const counts = {
      results: captures.results.length,
      groups: captures.groups.length,
      "chord parts": captures.chordParts.length,
      "result tuples": captures.tuples.length
    }
    report("stored results", counts)
    assert.deepStrictEqual(counts, expectedResults)
  })

  it("are all recognised", () => {
    assert.deepStrictEqual(captures.unread, [])
  })

  it("of pickled tasks are refused with a reason", () => {
    const pickled = captures.amqp.find((message) => message.contentType === "application/x-python-serialize")!
    const result = Content.decode(registry, pickled.body!, pickled.contentType, pickled.contentEncoding)
    assert.isTrue(Result.isFailure(result) && result.failure._tag === "ContentDisallowed")
  })
})
