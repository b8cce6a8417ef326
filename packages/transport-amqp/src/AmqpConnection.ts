/**
 * One link to a broker as a scoped resource: handshake, heartbeats, farewell. It is never revived: who wants another one runs
 * `make` again, on a fresh socket, and nothing that was written to this one can reach that.
 *
 * Each step of the handshake has its own failure, and they name it: `AccessRefused` (credentials), `VhostNotFound`,
 * `NoCommonMechanism`, `ProtocolMismatch` (an HTTP server, TLS, another AMQP), `TlsFailed`, and `ConnectionLost` for the rest.
 */
import type { TransportConnection } from "@apium/hub/Transport"
import { AccessRefused, fail, HubError, NoCommonMechanism, ProtocolMismatch, VhostNotFound } from "@apium/hub/HubError"
import { AmqpError } from "@apium/protocol/amqp/AmqpError"
import * as AmqpUri from "@apium/protocol/amqp/AmqpUri"
import * as Method from "@apium/protocol/amqp/Method"
import * as Sasl from "@apium/protocol/amqp/Sasl"
import * as Tune from "@apium/protocol/amqp/Tune"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"
import * as Stream from "effect/Stream"
import { openChannel } from "./AmqpChannel.ts"
import { ended, lost, notOpened } from "./internal/errors.ts"
import { Link } from "./internal/Link.ts"

export interface Options {
  readonly uri: AmqpUri.AmqpUri
  /** A fresh socket each time it runs: a socket's writer outlives its connection. */
  readonly socket: Effect.Effect<Socket.Socket, HubError>
  /** As the broker's list of connections shows it. */
  readonly name?: string | undefined
  /** To the end of the handshake. Default 10 s, if the URL does not say otherwise. */
  readonly connectTimeout?: Duration.Input | undefined
  /** How long the peer may take nothing of what is written. Default 10 s. */
  readonly writeTimeout?: Duration.Input | undefined
  /** Octets of a message that is received; larger ones close their channel. Default 128 MiB. */
  readonly maxMessageSize?: number | undefined
}

/** How long the broker may take to answer our farewell. */
const farewell = "1 second"

const clientProperties = (name: string | undefined): Readonly<Record<string, unknown>> => ({
  product: "apium",
  platform: "JavaScript",
  ...(name === undefined ? {} : { connection_name: name }),
  capabilities: {
    publisher_confirms: true,
    exchange_exchange_bindings: true,
    "basic.nack": true,
    consumer_cancel_notify: true,
    "connection.blocked": true,
    per_consumer_qos: true,
    authentication_failure_close: true
  }
})

export const make = (options: Options): Effect.Effect<TransportConnection, HubError, Scope.Scope> =>
  Effect.gen(function* () {
    const clock = yield* Clock.Clock
    const now = (): number => Number(clock.monotonicTimeNanosUnsafe() / 1_000_000n)
    const link = new Link(now, options.maxMessageSize)
    const { uri } = options
    const where = AmqpUri.format(uri)
    let step = "before it said anything"

    const socket = yield* options.socket
    const limit = Duration.fromInputUnsafe(options.connectTimeout ?? Duration.seconds(uri.connectTimeout ?? 10))

    const open = Effect.gen(function* () {
      const pull = yield* Effect.mapError(Socket.readerBytes(socket), (error) => notOpened(error, where))
      const writer = yield* socket.writer
      yield* Effect.forkScoped(
        die(
          link,
          link.outbox.run(writer, (error) => ended(error, step))
        )
      )
      yield* Effect.forkScoped(
        die(
          link,
          Effect.forever(
            Effect.flatMap(
              Effect.mapError(pull, (error) => ended(error, step)),
              (chunks) => Effect.suspend(() => receive(link, chunks))
            ),
            { disableYield: true }
          )
        )
      )
      yield* handshake(link, options, (next) => void (step = next))
    })

    yield* Effect.timeoutOrElse(Effect.raceFirst(open, Deferred.await(link.closed)), {
      duration: limit,
      orElse: () => Effect.fail(lost("unreachable", `${where}: no answer within ${Duration.format(limit)}, ${step}`))
    })
    step = "while it was open"
    link.opened = true
    yield* Effect.addFinalizer(() => close(link))
    yield* Effect.forkScoped(
      die(link, watch(link, now, Duration.toMillis(Duration.fromInputUnsafe(options.writeTimeout ?? "10 seconds"))))
    )

    return {
      channel: openChannel(link),
      closed: Deferred.await(link.closed),
      blocked: Stream.callback<boolean>((queue) =>
        Effect.acquireRelease(
          Effect.sync(() => {
            const tell = (blocked: boolean): void => void Queue.offerUnsafe(queue, blocked)
            link.onBlocked.add(tell)
            tell(link.blocked)
            return tell
          }),
          (tell) => Effect.sync(() => link.onBlocked.delete(tell))
        )
      )
    }
  })

/** Its failure is the link's. */
const die = (link: Link, work: Effect.Effect<never, HubError>): Effect.Effect<void> =>
  Effect.catch(work, (error) => Effect.sync(() => link.fail(error)))

const receive = (link: Link, chunks: ReadonlyArray<Uint8Array>): Effect.Effect<void, HubError> => {
  try {
    link.push(chunks)
    return Effect.void
  } catch (error) {
    if (!(error instanceof AmqpError)) throw error
    if (!link.opened) return fail(new ProtocolMismatch({ offered: offered(error) }))
    link.protest(error)
    // The broker hears why before the socket closes.
    return Effect.andThen(link.outbox.flushed, Effect.never)
  }
}

const offered = ({ message, octets }: AmqpError): string =>
  /HTTP|TLS|AMQP \d+-\d+/.exec(message)?.[0] ?? `${message}${octets === undefined ? "" : ` (${octets})`}`

const handshake = Effect.fnUntraced(function* (
  link: Link,
  { name, uri }: Options,
  at: (step: string) => void
): Effect.fn.Return<void, HubError> {
  const expect = <T extends Method.Tag>(
    tag: T,
    refusal: (close: Method.ConnectionClose) => HubError
  ): Effect.Effect<Extract<Method.Method, { readonly _tag: T }>, HubError> => {
    at(`while ${tag} was due`)
    return Effect.flatMap(link.next, (method) => {
      if (method._tag === tag) return Effect.succeed(method as Extract<Method.Method, { readonly _tag: T }>)
      if (method._tag !== "connection.close")
        return fail(new ProtocolMismatch({ offered: `${method._tag} where ${tag} was due` }))
      link.send(Method.connectionCloseOk)
      return Effect.andThen(link.outbox.flushed, Effect.fail(refusal(method)))
    })
  }
  const closed = ({ replyCode, replyText }: Method.ConnectionClose): HubError =>
    lost("closed", `${replyCode} ${replyText}`)

  link.outbox.frames.protocolHeader()
  link.outbox.wake()
  const start = yield* expect("connection.start", closed)
  link.serverProperties = start.serverProperties
  const credentials = { username: uri.username, password: uri.password }
  const chosen = Sasl.choose(start.mechanisms, credentials, uri.loginMethods)
  if (Result.isFailure(chosen)) return yield* fail(new NoCommonMechanism({ offered: [...chosen.failure.offered] }))
  link.send(
    Method.connectionStartOk({
      clientProperties: clientProperties(name),
      mechanism: chosen.success,
      response: Sasl.respond(chosen.success, credentials),
      locale: "en_US"
    })
  )
  const tune = yield* expect("connection.tune", (close) =>
    close.replyCode === 403
      ? new HubError({ reason: new AccessRefused({ replyText: close.replyText }) })
      : closed(close)
  )
  const limits = Tune.negotiate(tune, {
    channelMax: uri.channelMax ?? Tune.defaults.channelMax,
    frameMax: uri.frameMax ?? Tune.defaults.frameMax,
    heartbeat: uri.heartbeat ?? Tune.defaults.heartbeat
  })
  if (Result.isFailure(limits)) return yield* lost("closed", limits.failure.message)
  link.tune(limits.success)
  link.send(Method.connectionTuneOk(limits.success))
  link.send(Method.connectionOpen({ virtualHost: uri.vhost }))
  yield* expect("connection.open-ok", (close) => {
    const { replyCode, replyText } = close
    if (replyCode === 402 || (replyCode === 530 && replyText.endsWith(" not found")))
      return new HubError({ reason: new VhostNotFound({ vhost: uri.vhost }) })
    // 530 is also for what passes: a limit of connections.
    return replyCode === 403 || (replyCode === 530 && /refused/.test(replyText))
      ? new HubError({ reason: new AccessRefused({ replyText }) })
      : closed(close)
  })
})

/**
 * Heartbeats, sent when half a period went by in silence, and the peer's judged: nothing at all for two periods is its end. Any
 * octet counts. What waited in the socket while our own thread was busy is read before anybody is judged.
 */
const watch = (link: Link, now: () => number, writeTimeout: number): Effect.Effect<never, HubError> => {
  const { outbox } = link
  const heartbeat = link.limits.heartbeat * 1000
  const patience = heartbeat === 0 ? Number.POSITIVE_INFINITY : 2 * heartbeat
  const silence = (): number => now() - link.lastReceived
  const stalled = (): boolean => outbox.writingSince !== undefined && now() - outbox.writingSince >= writeTimeout
  const round = Effect.gen(function* () {
    if (heartbeat > 0 && outbox.writingSince === undefined && now() - outbox.lastSent >= heartbeat / 2) {
      outbox.frames.heartbeat()
      outbox.wake()
    }
    if (silence() >= patience || stalled()) {
      yield* Effect.sleep(grace)
      if (stalled()) return yield* lost("writeTimeout", `the peer has taken nothing for ${writeTimeout / 1000} s`)
      if (silence() >= patience) return yield* lost("heartbeat", `no octet from the peer for ${patience / 1000} s`)
    }
    const next = Math.min(
      heartbeat === 0 ? Number.POSITIVE_INFINITY : outbox.lastSent + heartbeat / 2,
      link.lastReceived + patience,
      (outbox.writingSince ?? now()) + writeTimeout
    )
    yield* Effect.sleep(Math.max(next - now(), grace))
  })
  return Effect.forever(round)
}

/** In milliseconds: long enough for a turn of the event loop, which reads. */
const grace = 20

/** Says goodbye, and waits for the answer while the broker is there to give one. */
const close = (link: Link): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { flushed } = link.outbox
    if (link.cause !== undefined) {
      return link.lastWord ? Effect.asVoid(Effect.timeoutOption(Effect.interruptible(flushed), farewell)) : Effect.void
    }
    for (const prepare of link.outbox.beforeFlush.splice(0)) prepare()
    link.send(Method.connectionClose({ replyCode: 200, replyText: "Goodbye" }))
    link.fail(lost("closed", "the connection was closed"))
    return Effect.asVoid(Effect.timeoutOption(Effect.interruptible(link.next), farewell))
  })
