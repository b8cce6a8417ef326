/**
 * The ceiling: what goes out was encoded before, and of what comes in the frames' headers are read and no more (of a confirm its tag, for the window is
 * counted by it). No checks, no recovery, no properties: nobody can use it.
 */
import { FrameWriter } from "@apium/protocol/amqp/FrameWriter"
import * as Method from "@apium/protocol/amqp/Method"
import { connect as connectSocket, type Socket } from "node:net"
import { body, each, nowhere, prefetch, queue, window, type Client } from "./work.ts"

const encode = (write: (frames: FrameWriter) => void): Buffer => {
  const frames = new FrameWriter(131_072)
  write(frames)
  return Buffer.concat(frames.take())
}
const method = (channel: number, method: Method.Method): Buffer => encode((frames) => frames.method(channel, method))

const passive = method(1, Method.queueDeclare({ queue, passive: true }))
const handshakeOf = (virtualHost: string): ReadonlyArray<Buffer> => [
  encode((frames) => frames.protocolHeader()),
  method(
    0,
    Method.connectionStartOk({
      clientProperties: { capabilities: { publisher_confirms: true, "basic.nack": true } },
      mechanism: "PLAIN",
      response: new TextEncoder().encode("\0guest\0guest"),
      locale: "en_US"
    })
  ),
  Buffer.concat([
    method(0, Method.connectionTuneOk({ channelMax: 2047, frameMax: 131_072, heartbeat: 0 })),
    method(0, Method.connectionOpen({ virtualHost }))
  ]),
  method(1, Method.channelOpen)
]

const handshakes = new Map<string, ReadonlyArray<Buffer>>()
const handshake = (url: string): ReadonlyArray<Buffer> => {
  const virtualHost = decodeURIComponent(new URL(url).pathname.slice(1))
  const known = handshakes.get(virtualHost) ?? handshakeOf(virtualHost)
  handshakes.set(virtualHost, known)
  return known
}

type OnFrame = (type: number, bytes: Buffer, at: number) => void

class Raw {
  readonly socket: Socket
  onFrame: OnFrame = () => {}
  /** The chunk is through. */
  onChunk = (): void => {}
  #rest: Buffer = Buffer.alloc(0)

  constructor(url: string) {
    const { hostname, port } = new URL(url)
    this.socket = connectSocket({ host: hostname, port: Number(port), noDelay: true })
    this.socket.on("data", (chunk: Buffer) => {
      const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
      let at = 0
      while (bytes.length - at >= 8) {
        const end = at + 8 + ((bytes[at + 3]! << 24) | (bytes[at + 4]! << 16) | (bytes[at + 5]! << 8) | bytes[at + 6]!)
        if (end > bytes.length) break
        this.onFrame(bytes[at]!, bytes, at + 7)
        at = end
      }
      this.#rest = at === bytes.length ? bytes.subarray(0, 0) : bytes.subarray(at)
      this.onChunk()
    })
  }

  /** The next frame. */
  ask(request: Buffer): Promise<void> {
    return new Promise((resolve) => {
      this.onFrame = () => {
        this.onFrame = () => {}
        resolve()
      }
      this.socket.write(request)
    })
  }

  drained(): Promise<void> {
    return new Promise((resolve) => this.socket.once("drain", () => resolve()))
  }
}

const open = async (url: string): Promise<Raw> => {
  const raw = new Raw(url)
  for (const step of handshake(url)) await raw.ask(step)
  return raw
}

const message = (key: string, headers: object | undefined): Buffer =>
  encode((frames) =>
    frames.publish(1, Method.basicPublish({ exchange: "", routingKey: key }), {
      properties: {},
      headers: headers as Record<string, unknown> | undefined,
      body
    })
  )

/** As a producer of JSON sends it. */
const persistent = (key: string): Buffer =>
  encode((frames) =>
    frames.publish(1, Method.basicPublish({ exchange: "", routingKey: key, mandatory: true }), {
      properties: { contentType: "application/json", contentEncoding: "utf-8", deliveryMode: "persistent" },
      body
    })
  )

const repeated = (one: Buffer, count: number): Buffer => Buffer.concat(Array.from({ length: count }, () => one))

/** The octets of one publish, again and again. */
export const confirming = (one: Buffer) => async (url: string) => {
  const raw = await open(url)
  await raw.ask(method(1, Method.confirmSelect({})))
  const full = repeated(one, window)
  let next = 1
  return {
    turn: (count: number) =>
      new Promise<void>((resolve) => {
        const first = next
        let sent = 0
        const open = new Set<number>()
        let floor = first
        const send = (many: number) => {
          if (many <= 0) return
          raw.socket.write(full.subarray(0, many * one.length))
          for (let index = 0; index < many; index++) open.add(next++)
          sent += many
        }
        raw.onFrame = (_type, bytes, at) => {
          const tag = bytes.readUInt32BE(at + 8)
          if (bytes[at + 12] === 1) while (floor <= tag) open.delete(floor++)
          else open.delete(tag)
        }
        raw.onChunk = () => {
          send(Math.min(window - open.size, count - sent))
          if (open.size > 0) return
          raw.onChunk = () => {}
          resolve()
        }
        send(Math.min(window, count))
      })
  }
}

export const client: Client = {
  publish: async (url, headers) => {
    const raw = await open(url)
    const made = new Map<string, { readonly one: Buffer; readonly piece: Buffer; readonly inPiece: number }>()
    return {
      turn: async (count, key = nowhere) => {
        let ready = made.get(key)
        if (ready === undefined) {
          const one = message(key, headers)
          const inPiece = Math.floor(65_536 / one.length)
          made.set(key, (ready = { one, inPiece, piece: repeated(one, inPiece) }))
        }
        const { inPiece, one, piece } = ready
        for (let left = count; left > 0; left -= inPiece) {
          if (!raw.socket.write(left >= inPiece ? piece : piece.subarray(0, left * one.length))) await raw.drained()
        }
        await raw.ask(passive)
      }
    }
  },
  confirm: confirming(message(queue, undefined)),
  consume: async (url) => {
    const raw = await open(url)
    await raw.ask(method(1, Method.basicQos({ prefetchCount: prefetch })))
    let tag = 0
    return {
      turn: async (count) => {
        const consume = method(1, Method.basicConsume({ queue, consumerTag: "bench" }))
        let octets = 0
        const from = tag
        const acks = new FrameWriter()
        await new Promise<void>((resolve) => {
          raw.onFrame = (type, bytes, at) => {
            if (type !== 3) return
            octets += bytes.readUInt32BE(at - 4)
            acks.ack(1, ++tag)
          }
          raw.onChunk = () => {
            for (const chunk of acks.take()) raw.socket.write(chunk)
            if (tag - from < count) return
            raw.onChunk = () => {}
            resolve()
          }
          raw.socket.write(consume)
        })
        await raw.ask(method(1, Method.basicCancel({ consumerTag: "bench" })))
        await raw.ask(passive)
        if (octets !== count * body.length) throw new Error(`${octets} octets`)
      }
    }
  },
  rpc: async (url) => {
    const raw = await open(url)
    return { turn: (count) => each(count, () => raw.ask(passive)) }
  },
  connect: async (url) => ({
    turn: async (count) => {
      const opened: Array<Raw> = []
      const times = await each(count, async () => opened.push(await open(url)))
      for (const raw of opened) {
        await raw.ask(method(0, Method.connectionClose({ replyCode: 200, replyText: "", classId: 0, methodId: 0 })))
        raw.socket.destroy()
      }
      return times
    }
  })
}

export const jsonClient: Client = { confirm: confirming(persistent(queue)) }
