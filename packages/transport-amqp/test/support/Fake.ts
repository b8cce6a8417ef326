/** Clients of a `FakeBroker`: ours over its own sockets, and a bare one that says what it is told to. */
import type { HubError } from "@apium/hub/HubError"
import * as Message from "@apium/hub/Message"
import * as HubQueue from "@apium/hub/Queue"
import type { TransportConnection } from "@apium/hub/Transport"
import * as AmqpUri from "@apium/protocol/amqp/AmqpUri"
import { type Command, CommandParser } from "@apium/protocol/amqp/Command"
import * as Constants from "@apium/protocol/amqp/Constants"
import { type Content, type ContentMethod, FrameWriter } from "@apium/protocol/amqp/FrameWriter"
import * as Method from "@apium/protocol/amqp/Method"
import * as Sasl from "@apium/protocol/amqp/Sasl"
import * as AmqpConnection from "@apium/transport-amqp/AmqpConnection"
import * as FakeBroker from "@apium/transport-amqp/testing/FakeBroker"
import { Effect, Queue, Redacted, type Scope } from "effect"
import * as Socket from "effect/socket/Socket"

type Fake = FakeBroker.FakeBroker["Service"]

export const connect = (
  fake: Fake,
  url = "amqp://guest:guest@localhost//",
  options: Partial<AmqpConnection.Options> = {}
): Effect.Effect<TransportConnection, HubError, Scope.Scope> => {
  const uri = AmqpUri.parseAllUnsafe(url)[0]
  return AmqpConnection.make({ ...options, uri, socket: fake.dial(uri) })
}

/** Why it cannot connect. */
export const refusal = (fake: Fake, url?: string) =>
  Effect.map(Effect.flip(Effect.scoped(connect(fake, url))), ({ reason }) => reason)

/** Until it is so; what it waits for is done by fibers of this process. */
export const until = (ask: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() => (ask() ? Effect.void : Effect.andThen(Effect.yieldNow, until(ask))))

/** Everything that can happen without the passing of time has happened. */
export const settle = Effect.repeat(Effect.yieldNow, { times: 50 })

export const bytes = (text: string) => new TextEncoder().encode(text)
export const message = (text: string, properties?: Message.Properties) => Message.make(bytes(text), properties)

/** A broker that keeps what it is sent, and a client with a channel and a queue of its own. */
export const world = (options?: FakeBroker.Options) =>
  Effect.gen(function* () {
    const fake = yield* FakeBroker.make({ record: 1000, ...options })
    const connection = yield* connect(fake)
    const channel = yield* connection.channel
    const { name } = yield* channel.queueDeclare(HubQueue.temporary())
    return { fake, connection, channel, name, route: { exchange: "", routingKey: name } }
  })

/** What the broker was sent, by name. */
export const tags = (fake: Fake) => fake.received().map(({ method }) => method._tag)

export interface Raw {
  readonly say: (channel: number, method: Method.Method) => Effect.Effect<void>
  readonly publish: (channel: number, method: ContentMethod, content: Content) => Effect.Effect<void>
  readonly octets: (octets: Uint8Array | string) => Effect.Effect<void>
  readonly heard: Effect.Effect<Command>
  /** The next command must be this one. */
  readonly expect: <T extends Method.Tag>(tag: T) => Effect.Effect<Extract<Method.Method, { readonly _tag: T }>>
  /** Octets that are no frames, and the end: what came before the socket ended. */
  readonly rest: Effect.Effect<string>
}

/** Without a handshake. */
export const raw = (fake: Fake): Effect.Effect<Raw, HubError, Scope.Scope> =>
  Effect.gen(function* () {
    const socket = yield* fake.dial(AmqpUri.parseAllUnsafe("amqp://localhost//")[0])
    const pull = yield* Effect.orDie(Socket.readerBytes(socket))
    const writer = yield* socket.writer
    const commands = yield* Queue.unbounded<Command>()
    const parser = new CommandParser({
      side: "client",
      frameMax: 0,
      onCommand: (command) => Queue.offerUnsafe(commands, command),
      onRefused: (error) => {
        throw error
      }
    })
    const write = (frames: FrameWriter) =>
      Effect.orDie(Effect.forEach(frames.take(), (chunk) => writer.write(chunk), { discard: true }))
    const written = (fill: (frames: FrameWriter) => void) =>
      Effect.suspend(() => {
        const frames = new FrameWriter(0)
        fill(frames)
        return write(frames)
      })
    const heard: Effect.Effect<Command> = Effect.suspend(() => {
      const next = Queue.takeUnsafe(commands)
      if (next?._tag === "Success") return Effect.succeed(next.value)
      return Effect.flatMap(Effect.orDie(pull), (chunks) => {
        for (const chunk of chunks) parser.pushUnsafe(chunk)
        return heard
      })
    })
    return {
      say: (channel, method) => written((frames) => frames.method(channel, method)),
      publish: (channel, method, content) => written((frames) => frames.content(channel, method, content)),
      octets: (octets) => Effect.orDie(writer.write(octets)),
      heard,
      expect: <T extends Method.Tag>(tag: T) =>
        Effect.map(heard, ({ method }) => {
          if (method._tag !== tag) throw new Error(`${JSON.stringify(method)}, where ${tag} was due`)
          return method as Extract<Method.Method, { readonly _tag: T }>
        }),
      rest: Effect.suspend(() => {
        let text = ""
        const more: Effect.Effect<string> = Effect.matchEffect(pull, {
          onFailure: () => Effect.succeed(text),
          onSuccess: (chunks) => {
            for (const chunk of chunks) text += String.fromCharCode(...chunk)
            return more
          }
        })
        return more
      })
    }
  })

export const credentials = { username: "guest", password: Redacted.make("guest") }

/** With a handshake, and channel 1 open. */
export const logged = (fake: Fake, capabilities: Readonly<Record<string, boolean>> = {}, heartbeat = 0) =>
  Effect.gen(function* () {
    const client = yield* raw(fake)
    yield* client.octets(Uint8Array.from(Constants.protocolHeader))
    yield* client.expect("connection.start")
    const response = Sasl.respond("PLAIN", credentials)
    const clientProperties = { capabilities }
    yield* client.say(0, Method.connectionStartOk({ mechanism: "PLAIN", response, clientProperties, locale: "en_US" }))
    const tune = yield* client.expect("connection.tune")
    yield* client.say(0, Method.connectionTuneOk({ ...tune, heartbeat }))
    yield* client.say(0, Method.connectionOpen({ virtualHost: "/" }))
    yield* client.expect("connection.open-ok")
    yield* client.say(1, Method.channelOpen)
    yield* client.expect("channel.open-ok")
    return client
  })
