/** A WebSocket in front of a broker, as small as RFC 6455 lets it be: each binary message's octets go on, and what comes back are messages. */
import { Effect, type Scope } from "effect"
import { createHash } from "node:crypto"
import { connect, type Socket } from "node:net"
import { server } from "./Mute.ts"

export interface Relay {
  readonly port: number
  /** The heads of all requests. */
  readonly requests: ReadonlyArray<string>
  /** Reads nothing more of what clients send, or goes on. */
  readonly pause: (paused: boolean) => void
  /** Ends all connections, and takes no more. */
  readonly close: () => void
}

export interface Options {
  /** What it agrees to; others are not answered, and nobody has to ask. */
  readonly subprotocol?: string
}

export const relay = (
  broker: { readonly host: string; readonly port: number },
  { subprotocol }: Options = {}
): Effect.Effect<Relay, never, Scope.Scope> => {
  const requests: Array<string> = []
  const clients = new Set<Socket>()
  return Effect.map(
    server((client) => {
      clients.add(client)
      const upstream = connect(broker.port, broker.host)
      let waiting: Buffer = Buffer.alloc(0)
      let open = false
      upstream.on("error", () => {})
      upstream.on("close", () => client.destroy())
      upstream.on("data", (bytes: Buffer) => void client.write(message(bytes)))
      client.on("close", () => upstream.destroy())
      client.on("data", (bytes: Buffer) => {
        waiting = Buffer.concat([waiting, bytes])
        if (!open) {
          const end = waiting.indexOf("\r\n\r\n")
          if (end < 0) return
          const head = waiting.subarray(0, end).toString("latin1")
          waiting = waiting.subarray(end + 4)
          open = true
          requests.push(head)
          client.write(agreed(head, subprotocol))
        }
        for (let next = unframe(waiting); next !== undefined; next = unframe(waiting)) {
          waiting = next.rest
          if (next.opcode === 8) return void client.end()
          if (next.opcode <= 2) upstream.write(next.payload)
        }
      })
    }),
    ({ close, port }) => ({
      port,
      requests,
      pause: (paused) => {
        for (const client of clients) {
          if (paused) client.pause()
          else client.resume()
        }
      },
      close
    })
  )
}

const agreed = (head: string, subprotocol: string | undefined): string => {
  const key = /^sec-websocket-key: *(\S+)/im.exec(head)?.[1] ?? ""
  const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64")
  const asked = /^sec-websocket-protocol: *(.+)$/im.exec(head)?.[1]?.split(/, */) ?? []
  const lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
  lines.push(`Sec-WebSocket-Accept: ${accept}`)
  if (subprotocol !== undefined && asked.includes(subprotocol)) lines.push(`Sec-WebSocket-Protocol: ${subprotocol}`)
  return `${lines.join("\r\n")}\r\n\r\n`
}

/** One whole binary message of a server's. */
const message = (payload: Buffer): Buffer => {
  const long = payload.length > 65_535
  const head = payload.length < 126 ? Buffer.alloc(2) : Buffer.alloc(long ? 10 : 4)
  head[0] = 0x82
  head[1] = payload.length < 126 ? payload.length : long ? 127 : 126
  if (long) head.writeBigUInt64BE(BigInt(payload.length), 2)
  else if (payload.length >= 126) head.writeUInt16BE(payload.length, 2)
  return Buffer.concat([head, payload])
}

/** The first of a client's frames, which are masked; nothing while it is not all there. */
const unframe = (
  bytes: Buffer
): { readonly opcode: number; readonly payload: Buffer; readonly rest: Buffer } | undefined => {
  if (bytes.length < 2) return undefined
  const short = bytes[1]! & 0x7f
  const at = short < 126 ? 2 : short === 126 ? 4 : 10
  if (bytes.length < at + 4) return undefined
  const length = short < 126 ? short : short === 126 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2))
  const end = at + 4 + length
  if (bytes.length < end) return undefined
  const mask = bytes.subarray(at, at + 4)
  const payload = Buffer.from(bytes.subarray(at + 4, end))
  for (let index = 0; index < length; index++) payload[index]! ^= mask[index & 3]!
  return { opcode: bytes[0]! & 0x0f, payload, rest: bytes.subarray(end) }
}
