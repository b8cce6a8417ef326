/**
 * One connection to a broker, from its first octet to its last: bytes come in, commands go to their channels, and what is to go
 * out waits in the outbox. All of it is synchronous; the fibers that read, write and watch are `AmqpConnection`'s.
 */
import type { HubError } from "@apium/hub/HubError"
import { AmqpError } from "@apium/protocol/amqp/AmqpError"
import { type Command, CommandParser } from "@apium/protocol/amqp/Command"
import * as Constants from "@apium/protocol/amqp/Constants"
import type { Content } from "@apium/protocol/amqp/Content"
import * as Method from "@apium/protocol/amqp/Method"
import type { Limits } from "@apium/protocol/amqp/Tune"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import { ChannelIds } from "../ChannelIds.ts"
import { lost, refused } from "./errors.ts"
import { Held } from "./Held.ts"
import type { Lattice } from "./Lattice.ts"
import { Outbox } from "./Outbox.ts"
import { Requests } from "./Requests.ts"

/** What a link knows of a channel. */
export interface Receiver {
  readonly receive: (method: Method.Method, content: Content | undefined) => void
  /** All that was read at once has been received. */
  readonly received: () => void
  /** The link is gone, or closes. */
  readonly lost: (error: HubError) => void
  /** A message that may not be taken. */
  readonly refuse: (error: AmqpError) => void
  /** Publishes that wait may go on. */
  readonly resume: () => void
  /** The request that waits for its answer. */
  readonly asking: Method.Tag | undefined
  /** Requests that were sent before this, on the monotonic clock, have waited long enough. */
  readonly expire: (before: number) => void
}

/** Octets of the broker's first frame: RabbitMQ's server properties take less than one kB. */
const firstFrame = 131_072

export class Link {
  readonly outbox: Outbox
  readonly channels = new Map<number, Receiver>()
  readonly closed = Deferred.makeUnsafe<never, HubError>()
  ids = new ChannelIds(0)
  limits: Limits = { channelMax: 0, frameMax: firstFrame, heartbeat: 0 }
  serverProperties: Readonly<Record<string, unknown>> = {}
  /** When octets came in last, on the monotonic clock. */
  lastReceived: number
  /** When something came that answers what we wrote: the peer takes our octets, however slowly. */
  lastAnswered: number
  /** `connection.blocked`. */
  blocked = false
  #unblocked = Number.NEGATIVE_INFINITY
  readonly onBlocked = new Set<(blocked: boolean) => void>()
  /** Where messages wait that are not due; there before the first channel. */
  lattice!: Lattice
  /** Queues whose consumers stay. */
  readonly held = new Held()
  /** Set once: everything fails with it from then on. */
  cause: HubError | undefined
  /** We have told the broker why, or answered its farewell: that has to leave before the socket closes. */
  lastWord = false
  /** Why the broker does not let us in: whatever ends the link after that, this is what happened. */
  refusal: HubError | undefined
  /** The peer takes nothing any more: the socket is not to wait for it. */
  hopeless = false
  readonly now: () => number
  readonly #parser: CommandParser
  /** Of an open connection: `connection.update-secret`. */
  readonly requests = new Requests(
    (method) => this.send(method),
    () => this.now()
  )
  /** What the handshake, and the farewell, wait for on channel 0. */
  #expecting: ((method: Method.Method) => void) | undefined
  readonly #unread: Array<Method.Method> = []
  #answered = false
  /** Those to be told when all of a read is through. */
  readonly #touched = new Set<Receiver>()

  constructor(now: () => number, maxMessageSize: number | undefined) {
    this.now = now
    this.lastReceived = this.lastAnswered = now()
    this.outbox = new Outbox(now)
    this.outbox.onFlushed = () => this.resume()
    this.#parser = new CommandParser({
      side: "client",
      onCommand: (command) => this.#command(command),
      onRefused: (error) => this.channels.get(error.channel ?? 0)?.refuse(error),
      frameMax: firstFrame,
      maxMessageSize
    })
  }

  tune(limits: Limits): void {
    this.limits = limits
    this.ids = new ChannelIds(limits.channelMax)
    this.#parser.frameMax = limits.frameMax
    this.outbox.frames.frameMax = limits.frameMax
  }

  /** Of the connection's own methods, which are never too large. */
  send(method: Method.Method): void {
    this.outbox.frames.method(0, method)
    this.outbox.wake()
  }

  /** The next method on channel 0. */
  readonly next: Effect.Effect<Method.Method> = Effect.callback((resume) => {
    const method = this.#unread.shift()
    if (method !== undefined) return resume(Effect.succeed(method))
    this.#expecting = (method) => resume(Effect.succeed(method))
    return Effect.sync(() => void (this.#expecting = undefined))
  })

  /** From here on channel 0 is heard, not waited for. */
  opened = false

  /** Throws what no peer may send; the link is lost then. */
  push(chunks: ReadonlyArray<Uint8Array>): void {
    this.lastReceived = this.now()
    this.#answered = false
    for (const chunk of chunks) this.#parser.pushUnsafe(chunk)
    if (this.#answered) this.lastAnswered = this.lastReceived
    for (const receiver of this.#touched) receiver.received()
    this.#touched.clear()
  }

  /** Everything that waits fails with this, once. */
  fail(reason: HubError): void {
    if (this.cause !== undefined) return
    const error = this.refusal ?? reason
    this.cause = error
    this.hopeless = error.reason._tag === "ConnectionLost" && error.reason.cause !== "closed"
    this.requests.fail(error)
    for (const channel of this.channels.values()) channel.lost(error)
    this.channels.clear()
    Deferred.doneUnsafe(this.closed, Effect.fail(error))
  }

  /** What a peer sent cannot be read: it hears why, and the link is lost. */
  protest(error: AmqpError): void {
    if (this.cause !== undefined) return
    this.lastWord = true
    this.send(
      Method.connectionClose({
        replyCode: error.replyCode,
        replyText: error.message.slice(0, 200),
        classId: error.classId,
        methodId: error.methodId
      })
    )
    this.fail(lost("closed", `the broker sent what cannot be read: ${error.message}`))
  }

  /** Ends channels whose request waits for longer than this, in milliseconds. A broker that has said `blocked` reads none. */
  expire(timeout: number): void {
    const before = this.now() - timeout
    if (this.blocked || this.#unblocked > before) return
    const { asking, since } = this.requests
    if (since !== undefined && since <= before) {
      return this.fail(lost("closed", `the broker has not answered ${asking} in time`))
    }
    for (const channel of this.channels.values()) channel.expire(before)
  }

  resume(): void {
    for (const channel of this.channels.values()) channel.resume()
  }

  /** Its number is free, and what it had begun to receive is forgotten. */
  forget(id: number): void {
    this.#parser.forget(id)
    if (this.channels.delete(id)) this.ids.release(id)
  }

  #command({ channel, content, method }: Command): void {
    // Deliveries come from who takes nothing, too.
    if (method._tag !== "basic.deliver") this.#answered = true
    if (channel === 0) return this.#connection(method)
    const receiver = this.channels.get(channel)
    if (receiver === undefined) {
      // After the end of the link nobody is there, and nobody has to be.
      if (this.cause !== undefined) return
      throw new AmqpError({
        message: `${method._tag} on channel ${channel}, which is not open`,
        replyCode: Constants.channelError,
        channel
      })
    }
    this.#touched.add(receiver)
    receiver.receive(method, content)
  }

  #connection(method: Method.Method): void {
    if (!this.opened || method._tag === "connection.close-ok") {
      // What comes in the same read is the open connection's.
      if (method._tag === "connection.open-ok") this.opened = true
      const expecting = this.#expecting
      this.#expecting = undefined
      if (expecting !== undefined) expecting(method)
      else if (this.#unread.length === 0) this.#unread.push(method)
      else throw unexpected(method)
      return
    }
    switch (method._tag) {
      case "connection.close": {
        this.lastWord = true
        this.send(Method.connectionCloseOk)
        const { classId, methodId, replyCode, replyText } = method
        // A hard error answers one request of one channel: who asked hears that it was refused, not that the link was lost.
        const asked = Method.nameOf(classId, methodId)
        const askers = [...this.channels.values()].filter(({ asking }) => asking === asked)
        for (const channel of askers) channel.lost(refused(method))
        return this.fail(lost("closed", `${replyCode} ${replyText}`))
      }
      case "connection.blocked":
      case "connection.unblocked":
        this.blocked = method._tag === "connection.blocked"
        for (const tell of this.onBlocked) tell(this.blocked)
        if (this.blocked) return
        this.#unblocked = this.now()
        this.resume()
        return
      default:
        if (!this.requests.answer({ method, content: undefined })) throw unexpected(method)
    }
  }
}

const unexpected = ({ _tag }: Method.Method): AmqpError =>
  new AmqpError({ message: `${_tag}, for which nobody has asked`, replyCode: Constants.commandInvalid, channel: 0 })
