/**
 * One connection as the broker has it, from the client's first octet to the end of the socket: what comes in is parsed, looked
 * up in the script, and done, one command after the other. So a broker that is told to be slow reads nothing meanwhile, and what
 * waits is bounded by the socket.
 */
import type { HubError } from "@apium/hub/HubError"
import { AmqpError } from "@apium/protocol/amqp/AmqpError"
import { type Command, CommandParser } from "@apium/protocol/amqp/Command"
import * as Constants from "@apium/protocol/amqp/Constants"
import type { Content, ContentMethod } from "@apium/protocol/amqp/FrameWriter"
import * as Method from "@apium/protocol/amqp/Method"
import type { Limits } from "@apium/protocol/amqp/Tune"
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"
import { Outbox } from "../Outbox.ts"
import { ended } from "../errors.ts"
import { Handshake } from "./Handshake.ts"
import type { Host, Vhost } from "./Host.ts"
import { react } from "./react.ts"
import type { ServerChannel } from "./ServerChannel.ts"

/** What a short string holds, whatever the letters. */
const short = (text: string): string => text.slice(0, 80).concat(text.slice(80, 250).replaceAll(/[^ -~\n]/g, "?"))

/** How long a client may take to close the socket after our last word, or to answer it. */
const patience = "5 seconds"

export class ServerLink {
  readonly host: Host
  readonly id: number
  readonly outbox: Outbox
  readonly channels = new Map<number, ServerChannel>()
  readonly handshake: Handshake
  /** Since `connection.open`. */
  vhost!: Vhost
  user = ""
  /** `running` from `connection.open-ok` on; `closing` once one of the two has said goodbye. */
  state: "opening" | "running" | "closing" = "opening"
  lastReceived: number
  /** Nothing is read for now, so nobody is judged for his silence. */
  paused = false
  readonly #over = Deferred.makeUnsafe<void>()
  readonly #room = Latch.makeUnsafe(true)
  readonly #parser: CommandParser
  readonly #inbox: Array<Command | AmqpError> = []
  /** Those of its channels and consumers are within it. */
  scope!: Scope.Scope
  #writer!: Socket.Writer

  constructor(host: Host, id: number) {
    this.host = host
    this.id = id
    this.lastReceived = host.now()
    this.outbox = new Outbox(host.now)
    this.outbox.onFlushed = () => this.#room.openUnsafe()
    this.handshake = new Handshake(this)
    this.#parser = new CommandParser({
      side: "server",
      frameMax: host.profile.frameMin,
      maxMessageSize: host.maxMessageSize,
      onCommand: (command) => this.#inbox.push(command),
      onRefused: (error) => this.#inbox.push(error)
    })
  }

  /** Whether the client has said that it knows of this extension. */
  can(capability: string): boolean {
    const { capabilities } = this.handshake.clientProperties
    return typeof capabilities === "object" && capabilities !== null && Reflect.get(capabilities, capability) === true
  }

  tune(limits: Limits): void {
    this.handshake.limits = limits
    this.#parser.frameMax = limits.frameMax
    this.outbox.frames.frameMax = limits.frameMax
  }

  send(channel: number, method: Method.Method): void {
    this.outbox.frames.method(channel, method)
    this.outbox.wake()
  }

  /** A header that fits into no frame of this connection, though it did of the publisher's, ends it. */
  content(channel: number, method: ContentMethod, content: Content): void {
    try {
      this.outbox.frames.content(channel, method, content)
    } catch (error) {
      this.#goodbye(Constants.internalError, `INTERNAL_ERROR - ${String(error)}`, 0, 0)
    }
    this.outbox.wake()
  }

  /** Waits while the client reads less than it gets. */
  readonly room: Effect.Effect<void> = Effect.suspend(() => {
    if (!this.outbox.full) return Effect.void
    this.#room.closeUnsafe()
    return this.#room.await
  })

  /** These octets, behind all that was said before. */
  raw(octets: Uint8Array): Effect.Effect<void> {
    return Effect.andThen(this.outbox.flushed, Effect.ignore(this.#writer.write(octets)))
  }

  /** Ends the socket. */
  readonly cut: Effect.Effect<void> = Effect.sync(() => Deferred.doneUnsafe(this.#over, Effect.void))

  /** Says goodbye; the client answers, and the socket ends then. */
  close(replyCode: number, replyText: string, classId = 0, methodId = 0): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.state === "closing") return Effect.void
      this.#goodbye(replyCode, replyText, classId, methodId)
      return Effect.asVoid(Effect.forkIn(Effect.delay(this.cut, patience), this.scope))
    })
  }

  #goodbye(replyCode: number, replyText: string, classId: number, methodId: number): void {
    this.state = "closing"
    this.send(0, Method.connectionClose({ replyCode, replyText: short(replyText), classId, methodId }))
  }

  closeChannel(id: number, replyCode: number, replyText: string, classId = 0, methodId = 0): Effect.Effect<void> {
    return Effect.suspend(() => {
      const channel = this.channels.get(id)
      if (channel === undefined || channel.closing || this.state !== "running") return Effect.void
      channel.closing = true
      return Effect.map(channel.end, () => {
        channel.confirm()
        this.send(id, Method.channelClose({ replyCode, replyText: short(replyText), classId, methodId }))
      })
    })
  }

  /** Serves the socket to its end. */
  run(socket: Socket.Socket): Effect.Effect<void> {
    const { outbox } = this
    const served = Effect.gen({ self: this }, function* () {
      this.scope = yield* Effect.scope
      const pull = yield* Socket.readerBytes(socket)
      const writing = yield* Scope.fork(this.scope)
      this.#writer = yield* Scope.provide(socket.writer, writing)
      yield* Effect.addFinalizer(() => this.end)
      const out = outbox.run(this.#writer, (error) => ended(error, "while it was written to"))
      yield* Effect.forkIn(Effect.andThen(Effect.ignore(out), this.cut), this.scope)
      if (yield* react(this, this.host.scripted("accept"), 0, undefined)) return yield* Effect.forever(pull)
      const last = yield* this.#read(pull)
      // The client hears our last word before the socket ends: it is the one who closes.
      if (last) {
        yield* outbox.flushed
        yield* Scope.close(writing, Exit.void)
        yield* Effect.timeoutOption(Effect.ignore(Effect.forever(pull)), patience)
      }
    })
    return Effect.raceFirst(Effect.ignore(served), Deferred.await(this.#over)).pipe(Effect.scoped)
  }

  /** Reads and does what comes, until the connection is over; whether there was a last word of ours. */
  #read = Effect.fnUntraced(function* (
    this: ServerLink,
    pull: Effect.Effect<NonEmptyReadonlyArray<Uint8Array>, Socket.SocketError>
  ): Effect.fn.Return<boolean, Socket.SocketError> {
    for (;;) {
      const chunks = yield* pull
      this.lastReceived = this.host.now()
      this.#push(chunks)
      if (this.handshake.state === "header") {
        if (this.handshake.refused) {
          yield* this.raw(Uint8Array.from(Constants.protocolHeader))
          return true
        }
        if (!this.handshake.greeted) continue
        this.handshake.state = "starting"
        if (!(yield* react(this, this.host.scripted("protocol-header"), 0, undefined))) this.handshake.start()
      }
      for (const command of this.#inbox.splice(0)) {
        if (command instanceof AmqpError ? yield* this.#protest(command) : yield* this.#take(command)) return true
      }
      for (const channel of this.channels.values()) if (!channel.closing) channel.confirm()
    }
  })

  /** What cannot be read comes last, behind the commands that could. */
  #push(chunks: ReadonlyArray<Uint8Array>): void {
    try {
      for (const chunk of chunks) {
        const rest = this.handshake.header(chunk)
        if (rest.length > 0) this.#parser.pushUnsafe(rest)
      }
    } catch (error) {
      if (!(error instanceof AmqpError)) throw error
      this.#inbox.push(error)
    }
  }

  /** True: the connection is over. */
  #take(command: Command): Effect.Effect<boolean> {
    const { channel, method } = command
    this.host.record(this, command)
    if (method._tag === "connection.close-ok") return Effect.as(this.cut, true)
    if (method._tag === "connection.close" && this.state === "closing") {
      this.send(0, Method.connectionCloseOk)
      return Effect.succeed(true)
    }
    if (this.state === "closing") return Effect.succeed(false)
    if (this.channels.get(channel)?.closing === true) return Effect.as(this.#closed(channel, method), false)
    return Effect.flatMap(react(this, this.host.scripted(method._tag, command), channel, method), (reacted) => {
      if (reacted) return Effect.succeed(false)
      return Effect.as(
        Effect.catch(this.#do(command), (error) => this.#refuse(channel, error)),
        method._tag === "connection.close"
      )
    })
  }

  #do(command: Command): Effect.Effect<void, HubError> {
    const { channel: id, content, method } = command
    if (id === 0) return this.handshake.handle(method)
    if (this.state !== "running") return this.handshake.unexpected(method)
    const channel = this.channels.get(id)
    if (channel === undefined) return this.handshake.openChannel(id, method)
    if (method._tag === "channel.close") {
      return Effect.map(channel.end, () => {
        channel.confirm()
        this.send(id, Method.channelCloseOk)
        this.channels.delete(id)
      })
    }
    if (method._tag === "channel.open") return this.handshake.channelError(method, "second 'channel.open' seen")
    return method._tag === "basic.publish" && this.host.alarm() !== undefined
      ? Effect.andThen(this.pause(this.host.calm.await), () => channel.handle(method, content))
      : channel.handle(method, content)
  }

  /** We have closed the channel: nothing counts but that the client has heard so. */
  #closed(id: number, { _tag }: Method.Method): Effect.Effect<void> {
    return Effect.sync(() => {
      if (_tag === "channel.close") this.send(id, Method.channelCloseOk)
      if (_tag === "channel.close" || _tag === "channel.close-ok") this.channels.delete(id)
    })
  }

  /** Reads nothing until then. */
  pause(until: Effect.Effect<void>): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.paused = true
      return Effect.map(until, () => {
        this.paused = false
        this.lastReceived = this.host.now()
      })
    })
  }

  /** Refuses by the connection, or by the channel alone. */
  say(id: number, replyCode: number, replyText: string, classId: number, methodId: number): Effect.Effect<void> {
    return id === 0 || Constants.replyScope(replyCode) === "connection"
      ? this.close(replyCode, replyText, classId, methodId)
      : this.closeChannel(id, replyCode, replyText, classId, methodId)
  }

  #refuse(id: number, { reason }: HubError): Effect.Effect<void> {
    if (reason._tag !== "ChannelClosed") return Effect.void
    return this.say(id, reason.replyCode, reason.replyText, reason.classId, reason.methodId)
  }

  /** Octets that cannot be read end the connection; a message that is too large, its channel alone. True: it is over. */
  #protest(error: AmqpError): Effect.Effect<boolean> {
    const { channel = 0, classId, message, methodId, replyCode } = error
    if (replyCode === Constants.contentTooLarge) {
      const text = `PRECONDITION_FAILED - message size is larger than configured max size ${this.host.maxMessageSize}`
      return Effect.as(this.closeChannel(channel, Constants.preconditionFailed, text, 60, 40), false)
    }
    if (this.state === "closing") return Effect.succeed(true)
    return Effect.as(this.close(replyCode, `${Constants.replyName(replyCode)} - ${message}`, classId, methodId), true)
  }

  /** Channels before exclusive queues: what they hold of those goes with them. */
  readonly end: Effect.Effect<void> = Effect.suspend(() => {
    this.state = "closing"
    const channels = [...this.channels.values()]
    this.channels.clear()
    return Effect.andThen(
      Effect.forEach(channels, ({ end }) => end, { discard: true }),
      Effect.suspend(() => (this.vhost === undefined ? Effect.void : Effect.ignore(this.vhost.broker.release(this))))
    )
  })
}
