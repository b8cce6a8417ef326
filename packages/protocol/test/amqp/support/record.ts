/**
 * Makes `recorded.txt`, what a RabbitMQ and a client of ours say to each other, for the fuzzer to start from:
 * `node --conditions=@apium/source packages/protocol/test/amqp/support/record.ts`. What Celery and py-amqp say is in the fixtures.
 */
import { once } from "node:events"
import * as fs from "node:fs"
import * as net from "node:net"
import { CommandParser, type Command } from "@apium/protocol/amqp/Command"
import * as Constants from "@apium/protocol/amqp/Constants"
import { type Content, type ContentMethod, FrameWriter } from "@apium/protocol/amqp/FrameWriter"
import * as Method from "@apium/protocol/amqp/Method"
import { Decimal } from "@apium/protocol/kombu/Json"
import { Effect } from "effect"
import * as RabbitMq from "../../../../../test/support/RabbitMq.ts"
import { recordedFile, toHex } from "./Frames.ts"

type Tag = Method.Method["_tag"]

/** A client that says one thing after the other. */
interface Peer {
  readonly say: (channel: number, method: Method.Method) => void
  readonly publish: (channel: number, method: ContentMethod, content: Content) => void
  /** The next command of this kind. */
  readonly hear: (tag: Tag) => Promise<Command>
  /** Says it and hears the answer. */
  readonly ask: (channel: number, method: Method.Method, answer: Tag) => Promise<Command>
}

const connect = async (node: RabbitMq.Node, frameMax: number) => {
  const said: Record<"c2s" | "s2c", Array<Uint8Array>> = { c2s: [], s2c: [] }
  const heard: Array<Command> = []
  let wake = (): void => undefined
  const parser = new CommandParser({
    side: "client",
    frameMax: 131_072,
    onCommand: (command) => {
      heard.push(command)
      wake()
    },
    onRefused: (error) => {
      throw error
    }
  })
  const writer = new FrameWriter(frameMax)
  const socket = net.connect(node.port, node.host)
  socket.on("data", (chunk: Buffer) => {
    said.s2c.push(Uint8Array.from(chunk))
    parser.pushUnsafe(chunk)
  })
  await once(socket, "connect")
  const flush = (): void => {
    for (const chunk of writer.take()) {
      said.c2s.push(Uint8Array.from(chunk))
      socket.write(chunk)
    }
  }
  const say: Peer["say"] = (channel, method) => {
    writer.method(channel, method)
    flush()
  }
  const hear: Peer["hear"] = async (tag) => {
    for (;;) {
      const at = heard.findIndex(({ method }) => method._tag === tag)
      if (at >= 0) return heard.splice(at, 1)[0]!
      await new Promise<void>((resolve) => (wake = resolve))
    }
  }
  const peer: Peer = {
    say,
    hear,
    publish: (channel, method, content) => {
      writer.content(channel, method, content)
      flush()
    },
    ask: (channel, method, answer) => {
      say(channel, method)
      return hear(answer)
    }
  }
  socket.write(Uint8Array.from(Constants.protocolHeader))
  await hear("connection.start")
  const capabilities = { consumer_cancel_notify: true, "basic.nack": true, publisher_confirms: true }
  const response = new TextEncoder().encode("\0guest\0guest")
  await peer.ask(
    0,
    Method.connectionStartOk({ clientProperties: { capabilities }, mechanism: "PLAIN", response, locale: "en_US" }),
    "connection.tune"
  )
  say(0, Method.connectionTuneOk({ channelMax: 2047, frameMax, heartbeat: 0 }))
  await peer.ask(0, Method.connectionOpen({ virtualHost: "/" }), "connection.open-ok")
  await peer.ask(1, Method.channelOpen, "channel.open-ok")
  return { peer, said, socket }
}

const text = (size: number): Uint8Array => new Uint8Array(size).fill(0x61)

const headers = {
  lang: "py",
  task: "proj.add",
  id: "7b0e7d3c-6c1f-4f0e-9d43-0b6a2f1f9f11",
  shadow: null,
  eta: null,
  timelimit: [null, 30],
  root_id: "7b0e7d3c-6c1f-4f0e-9d43-0b6a2f1f9f11",
  argsrepr: "(2, 3)",
  origin: "gen1@host",
  ignore_result: false,
  stamps: {}
}

/** Every property, and every type of value that we write. */
const everything: Content = {
  properties: {
    contentType: "application/json",
    contentEncoding: "utf-8",
    deliveryMode: "persistent",
    priority: 9,
    correlationId: "c",
    replyTo: "r",
    expiration: "600000",
    messageId: "m",
    timestamp: new Date(1_700_000_000_000),
    type: "t",
    userId: "guest",
    appId: "a",
    clusterId: "k"
  },
  headers: {
    integer: -1,
    long: 2n ** 62n,
    float: 0.5,
    text: "å値🐍",
    octets: Uint8Array.from([255, 254]),
    time: new Date(1_700_000_000_000),
    decimal: new Decimal("-10.20"),
    nothing: null,
    yes: true,
    deep: { a: [1, { b: [[]] }] },
    ["__proto__"]: { constructor: 1 }
  },
  body: text(17)
}

const sessions: Readonly<Record<string, (peer: Peer) => Promise<void>>> = {
  /** A message dies by rejection and by its age, in turns: `x-death` with two entries that count, and the first reasons. */
  deaths: async ({ ask, publish, say, hear }) => {
    const dead = { "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead" }
    const again = { "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "work", "x-message-ttl": 1 }
    await ask(1, Method.queueDeclare({ queue: "work", exclusive: true, arguments: dead }), "queue.declare-ok")
    await ask(1, Method.queueDeclare({ queue: "dead", exclusive: true, arguments: again }), "queue.declare-ok")
    publish(1, Method.basicPublish({ routingKey: "work" }), { properties: {}, headers, body: text(40) })
    await ask(1, Method.basicConsume({ queue: "work", consumerTag: "one" }), "basic.consume-ok")
    for (let round = 0; round < 4; round++) {
      const { method } = await hear("basic.deliver")
      if (method._tag === "basic.deliver") say(1, Method.basicReject({ deliveryTag: method.deliveryTag }))
    }
    await hear("basic.deliver")
  },
  /** Confirms of many at once, returns before them, and a message that a full queue refuses. */
  confirms: async ({ ask, publish, hear }) => {
    await ask(1, Method.confirmSelect(), "confirm.select-ok")
    const limits = { "x-max-length": 20, "x-overflow": "reject-publish" }
    await ask(1, Method.queueDeclare({ queue: "full", exclusive: true, arguments: limits }), "queue.declare-ok")
    for (let count = 0; count < 60; count++) {
      const routingKey = count % 5 === 0 ? "nowhere" : "full"
      publish(1, Method.basicPublish({ routingKey, mandatory: true }), { properties: {}, body: text(count % 3) })
    }
    await hear("basic.nack")
    publish(1, Method.basicPublish({ routingKey: "nowhere", mandatory: true }), everything)
    await hear("basic.return")
    await ask(1, Method.queuePurge({ queue: "full" }), "queue.purge-ok")
  },
  /** Two channels at once, bodies of several frames, a get, a recover, and a consumer whose queue goes away. */
  deliveries: async ({ ask, publish, say, hear }) => {
    await ask(2, Method.channelOpen, "channel.open-ok")
    for (const channel of [1, 2]) {
      const queue = `q${channel}`
      await ask(channel, Method.queueDeclare({ queue, exclusive: true }), "queue.declare-ok")
      await ask(channel, Method.basicQos({ prefetchCount: 30 }), "basic.qos-ok")
      await ask(channel, Method.basicConsume({ queue, consumerTag: queue }), "basic.consume-ok")
    }
    for (let count = 0; count < 24; count++) {
      const size = [0, 1, 30, 200, 0, 1, 30, count < 8 ? 9000 : 4089][count % 8]!
      publish(1, Method.basicPublish({ routingKey: `q${1 + (count % 2)}` }), {
        properties: { contentType: "text/plain", deliveryMode: "transient" },
        ...(count % 4 === 0 ? {} : { headers: { ...headers, retries: count } }),
        body: text(size)
      })
    }
    for (let count = 0; count < 24; count++) await hear("basic.deliver")
    say(1, Method.basicAck({ deliveryTag: 8, multiple: true }))
    await ask(1, Method.basicRecover({ requeue: true }), "basic.recover-ok")
    for (let count = 0; count < 4; count++) await hear("basic.deliver")
    publish(1, Method.basicPublish({ routingKey: "mixed" }), everything)
    await ask(1, Method.queueDeclare({ queue: "mixed", exclusive: true }), "queue.declare-ok")
    publish(1, Method.basicPublish({ routingKey: "mixed" }), everything)
    await ask(1, Method.basicGet({ queue: "mixed", noAck: true }), "basic.get-ok")
    await ask(1, Method.basicGet({ queue: "mixed" }), "basic.get-empty")
    await ask(1, Method.exchangeBind({ destination: "amq.topic", source: "amq.direct" }), "exchange.bind-ok")
    await ask(1, Method.exchangeUnbind({ destination: "amq.topic", source: "amq.direct" }), "exchange.unbind-ok")
    await ask(1, Method.queueDelete({ queue: "q2" }), "queue.delete-ok")
    await hear("basic.cancel")
    await ask(2, Method.queueDeclare({ queue: "missing", passive: true }), "channel.close")
    say(2, Method.channelCloseOk)
  }
}

const recorded = Effect.scoped(
  Effect.gen(function* () {
    const { node } = yield* RabbitMq.start()
    return yield* Effect.promise(async () => {
      const lines: Array<string> = ["# Made by support/record.ts on RabbitMQ 3.10: a session, a direction, its octets."]
      for (const [name, session] of Object.entries(sessions)) {
        const { peer, said, socket } = await connect(node, 4096)
        await session(peer)
        await peer.ask(0, Method.connectionClose({ replyCode: 200, replyText: "OK" }), "connection.close-ok")
        socket.destroy()
        for (const [direction, chunks] of Object.entries(said)) {
          lines.push(`${name} ${direction} ${chunks.map(toHex).join("")}`)
        }
      }
      return lines
    })
  })
)

fs.writeFileSync(recordedFile, `${(await Effect.runPromise(recorded)).join("\n")}\n`)
