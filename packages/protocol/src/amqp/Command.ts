/**
 * Commands out of bytes: a method, and for the methods that carry content its header and body, put together per channel.
 *
 * ```text
 *   method ──▶ command                          (without content)
 *   method ──▶ header ──▶ body ... ──▶ command  (basic.publish, deliver, return, get-ok)
 * ```
 *
 * What the header announces is checked before anything is buffered: a message above `maxMessageSize` is refused with 311, which is the channel's affair
 * alone; its bodies are passed over, and the rest of the connection goes on. Bodies take memory as they arrive, never as announced.
 *
 * A command owns its octets, and outlives the chunk. `copy: false` leaves the body and the headers in the chunk, for who is done with them first.
 */
import type * as Result from "effect/Result"
import { ByteReader } from "../internal/byteReader.ts"
import { AmqpError } from "./AmqpError.ts"
import * as BasicProperties from "./BasicProperties.ts"
import * as Constants from "./Constants.ts"
import { Content } from "./Content.ts"
import { FrameParser } from "./FrameParser.ts"
import * as Method from "./Method.ts"

export interface Command {
  readonly channel: number
  readonly method: Method.Method
  /** There if, and only if, `Method.infos[method._tag].content`. */
  readonly content: Content | undefined
}

const noOctets = new Uint8Array(0)

export interface Options {
  /** Whose methods are read: a client reads what servers send. `either` reads both, for a trace. */
  readonly side: "client" | "server" | "either"
  /** Each command in order. */
  readonly onCommand: (command: Command) => void
  /** A message that is refused while its connection goes on: close `error.channel` with `error.replyCode`. */
  readonly onRefused: (error: AmqpError) => void
  readonly onHeartbeat?: (() => void) | undefined
  /** Octets of a body. Default 128 MiB. */
  readonly maxMessageSize?: number | undefined
  /** Default `Constants.frameMinSize`; set {@link CommandParser.frameMax} once the connection is tuned. */
  readonly frameMax?: number | undefined
  /** Default true: a command owns its octets. */
  readonly copy?: boolean | undefined
}

export const defaultMaxMessageSize = 128 * 1024 * 1024

/** A message whose header or body is still to come. */
class Partial {
  method: Method.Method
  /** The content header: `undefined` until it is in. */
  header: Uint8Array | undefined = undefined
  start = 0
  end = 0
  tableStart = -1
  tableEnd = -1
  /** The header lies in the chunk: it has to be copied before the chunk is gone. */
  borrowed = false
  size = 0
  body = noOctets
  held = 0
  /** Too large: its bodies are counted and dropped. */
  refused = false

  constructor(method: Method.Method) {
    this.method = method
  }

  /** The header stands somewhere else now. */
  moved(header: Uint8Array, by: number): void {
    this.header = header
    this.start += by
    this.end += by
    if (this.tableStart >= 0) {
      this.tableStart += by
      this.tableEnd += by
    }
    this.borrowed = false
  }

  /** Copies the header out of its chunk. */
  own(): void {
    if (this.borrowed) this.moved(this.header!.slice(this.start, this.end), -this.start)
  }
}

/** Bytes in, commands out. A parser that has failed stays failed. */
export class CommandParser {
  private readonly frames: FrameParser
  private readonly options: Options
  private readonly maxMessageSize: number
  private readonly copy: boolean
  private readonly reader = new ByteReader(noOctets)
  private readonly span: BasicProperties.Span = { start: -1, end: -1 }
  private readonly partials = new Map<number, Partial>()
  /** The last one, for the frames of a message follow each other as a rule. */
  private recent: Partial | undefined
  private recentChannel = -1
  private slab = noOctets
  private slabAt = slabSize

  constructor(options: Options) {
    this.options = options
    this.maxMessageSize = options.maxMessageSize ?? defaultMaxMessageSize
    this.copy = options.copy ?? true
    this.frames = new FrameParser(this.frame, options.frameMax)
  }

  get frameMax(): number {
    return this.frames.frameMax
  }

  set frameMax(value: number) {
    this.frames.frameMax = value
  }

  /** Takes the next bytes, and hands out the commands that are whole now. After a failure, always that failure. */
  push(chunk: Uint8Array): Result.Result<void, AmqpError> {
    const pushed = this.frames.push(chunk)
    if (this.recent !== undefined) this.recent.own()
    return pushed
  }

  /** The same; throws {@link AmqpError}. */
  pushUnsafe(chunk: Uint8Array): void {
    this.frames.pushUnsafe(chunk)
    if (this.recent !== undefined) this.recent.own()
  }

  /** Forgets what a channel has begun: it is closed, and its number may come again. */
  forget(channel: number): void {
    this.partials.delete(channel)
    if (this.recentChannel === channel) this.remember(-1, undefined)
  }

  private remember(channel: number, partial: Partial | undefined): void {
    this.recent = partial
    this.recentChannel = channel
  }

  private partial(channel: number): Partial | undefined {
    return channel === this.recentChannel ? this.recent : this.partials.get(channel)
  }

  private readonly frame = (type: number, channel: number, bytes: Uint8Array, start: number, end: number): void => {
    if (type === Constants.frameMethod) return this.method(channel, bytes, start, end)
    if (type === Constants.frameHeartbeat) return this.options.onHeartbeat?.()
    if (channel === 0) throw refuse(Constants.channelError, "Content on channel 0, which carries none", 0)
    if (type === Constants.frameHeader) return this.header(channel, bytes, start, end)
    this.body(channel, bytes, start, end)
  }

  private method(channel: number, bytes: Uint8Array, start: number, end: number): void {
    const partial = this.partial(channel)
    const method = this.decode(channel, bytes, start, end)
    const info = Method.infos[method._tag]
    this.check(channel, method, info)
    if (partial !== undefined) {
      // Who refused a message will see the channel closed in the middle of it.
      if (!(partial.refused && method._tag.startsWith("channel.close"))) {
        throw refuse(
          Constants.unexpectedFrame,
          `${method._tag}, where the content of ${partial.method._tag} was due`,
          channel
        )
      }
      this.forget(channel)
    }
    if (!info.content) {
      this.options.onCommand({ channel, method, content: undefined })
      return
    }
    const begun = new Partial(method)
    // The one before goes to the map: two channels take turns.
    if (this.recent !== undefined) {
      this.recent.own()
      this.partials.set(this.recentChannel, this.recent)
    }
    this.remember(channel, begun)
  }

  private decode(channel: number, bytes: Uint8Array, start: number, end: number): Method.Method {
    const { reader } = this
    reader.reset(bytes, start, end)
    try {
      const method = Method.read(reader)
      if (reader.at !== end) throw reader.error(`${end - reader.at} octets behind ${method._tag}`)
      return method
    } catch (error) {
      throw error instanceof AmqpError ? within(error, channel, bytes, start, end) : error
    }
  }

  private check(channel: number, method: Method.Method, { classId, sentBy }: Method.Info): void {
    if (sentBy === this.options.side) {
      throw refuse(Constants.commandInvalid, `${method._tag} is the ${sentBy}'s to send`, channel)
    }
    if ((classId === connectionClass) !== (channel === 0)) {
      throw channel === 0
        ? refuse(Constants.channelError, `${method._tag} on channel 0, which is the connection's`, channel)
        : refuse(Constants.commandInvalid, `${method._tag} on channel ${channel}: it belongs on 0`, channel)
    }
  }

  private header(channel: number, bytes: Uint8Array, start: number, end: number): void {
    const partial = this.partial(channel)
    if (partial === undefined || partial.header !== undefined) {
      throw refuse(Constants.unexpectedFrame, "A content header, and no method that carries content before it", channel)
    }
    const { reader, span } = this
    reader.reset(bytes, start, end)
    let size: number
    try {
      const classId = reader.short()
      const weight = reader.short()
      size = reader.longlongInexact()
      if (classId !== basicClass || weight !== 0) {
        const found = `of class ${classId}, weight ${weight}`
        throw refuse(Constants.unexpectedFrame, `A content header ${found}, for ${partial.method._tag}`, channel)
      }
      partial.start = reader.at
      BasicProperties.skip(reader, span)
      if (reader.at !== end) throw reader.error(`${end - reader.at} octets behind the properties`)
    } catch (error) {
      throw error instanceof AmqpError ? within(error, channel, undefined, start, end) : error
    }
    partial.header = bytes
    partial.end = end
    partial.tableStart = span.start
    partial.tableEnd = span.end
    partial.borrowed = this.copy
    partial.size = size
    if (size > this.maxMessageSize) {
      partial.refused = true
      this.options.onRefused(
        refuse(
          Constants.contentTooLarge,
          `A message of ${size} octets, and ${this.maxMessageSize} are the most (maxMessageSize)`,
          channel
        )
      )
      return
    }
    if (size === 0) this.finish(channel, partial, noOctets)
  }

  private body(channel: number, bytes: Uint8Array, start: number, end: number): void {
    const partial = this.partial(channel)
    if (partial?.header === undefined) {
      throw refuse(Constants.unexpectedFrame, "A content body, and no content header before it", channel)
    }
    const held = partial.held + (end - start)
    if (held > partial.size) {
      throw refuse(
        Constants.frameError,
        `A body of ${held} octets or more, and ${partial.size} were announced`,
        channel
      )
    }
    if (partial.refused) {
      partial.held = held
      if (held === partial.size) this.forget(channel)
      return
    }
    if (end - start === partial.size) {
      this.finish(channel, partial, this.copy ? this.owned(partial, bytes, start, end) : bytes.subarray(start, end))
      return
    }
    if (held > partial.body.length) {
      // Twice as much each time, and all of it once a quarter is there: the last step from half to whole would hold twice the body, and leave as much
      // to the collector (128 MiB from a socket: 2.4 times the body in buffers, and 1.9 like this).
      const larger = new Uint8Array(held * 4 >= partial.size ? partial.size : Math.max(held, partial.body.length * 2))
      larger.set(partial.body.subarray(0, partial.held))
      partial.body = larger
    }
    partial.body.set(bytes.subarray(start, end), partial.held)
    partial.held = held
    if (held === partial.size) this.finish(channel, partial, partial.body)
  }

  /**
   * A copy of the body, and of the header where it lies in the same chunk: in a slab that other small messages share, for an `ArrayBuffer` of its own costs
   * more than all the rest. Who keeps one message keeps up to {@link slabSize} octets.
   */
  private owned(partial: Partial, bytes: Uint8Array, start: number, end: number): Uint8Array {
    const withHeader = partial.borrowed && partial.header === bytes && start >= partial.end
    const first = withHeader ? partial.start : start
    const size = end - first
    if (size > pooledSize) return bytes.slice(start, end)
    if (this.slabAt + size > slabSize) {
      this.slab = new Uint8Array(slabSize)
      this.slabAt = 0
    }
    const { slab, slabAt } = this
    // What lies between the two comes along: one copy is cheaper than two.
    slab.set(bytes.subarray(first, end), slabAt)
    this.slabAt = slabAt + size
    if (withHeader) partial.moved(slab, slabAt - first)
    return slab.subarray(slabAt + start - first, slabAt + size)
  }

  private finish(channel: number, partial: Partial, body: Uint8Array): void {
    partial.own()
    this.forgetRecent(channel)
    const content = new Content(body, partial.header!, partial)
    this.options.onCommand({ channel, method: partial.method, content })
  }

  private forgetRecent(channel: number): void {
    if (this.recentChannel === channel) this.remember(-1, undefined)
    if (this.partials.size > 0) this.partials.delete(channel)
  }
}

const slabSize = 8192
const pooledSize = 2048

const connectionClass = 10
const basicClass = 60

const refuse = (replyCode: number, message: string, channel: number): AmqpError =>
  new AmqpError({ message, replyCode, channel })

/** The same error with its place. What a login holds is shown to nobody. */
const within = (
  error: AmqpError,
  channel: number,
  bytes: Uint8Array | undefined,
  start: number,
  end: number
): AmqpError => {
  const known = bytes !== undefined && end - start >= 4
  const classId = known ? (bytes[start]! << 8) | bytes[start + 1]! : undefined
  const methodId = known ? (bytes[start + 2]! << 8) | bytes[start + 3]! : undefined
  const named = classId === undefined ? "a content header" : Method.nameOf(classId, methodId!)
  return new AmqpError({
    message: `${error.message}, in ${named} on channel ${channel}`,
    replyCode: error.replyCode,
    channel,
    classId: classId ?? basicClass,
    methodId: methodId ?? 0,
    ...(error.octets === undefined || classId === connectionClass ? undefined : { octets: error.octets })
  })
}
