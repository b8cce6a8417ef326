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
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"
import * as Stream from "effect/Stream"
import { openChannel } from "./AmqpChannel.ts"
import { ended, lost, notOpened } from "./internal/errors.ts"
import { Lattice, type Remembered } from "./internal/Lattice.ts"
import { Link } from "./internal/Link.ts"
import { grace, watch } from "./internal/watch.ts"

export interface Options {
  readonly uri: AmqpUri.AmqpUri
  /** A fresh socket each time it runs: a socket's writer outlives its connection. */
  readonly socket: Effect.Effect<Socket.Socket, HubError>
  /**
   * Who logs in, asked at each attempt: for credentials that change while we run. Default: the URL's. A failure with
   * `ConnectionLost` is tried again as any other.
   */
  readonly credentials?: Effect.Effect<Sasl.Credentials, HubError> | undefined
  /** Each password goes to the broker over the open connection, as {@link AmqpConnection.updateSecret} does. */
  readonly newPasswords?: Stream.Stream<Redacted.Redacted> | undefined
  /** As the broker's list of connections shows it. */
  readonly name?: string | undefined
  /** To the end of the handshake. Default 10 s, if the URL does not say otherwise. */
  readonly connectTimeout?: Duration.Input | undefined
  /** How long the peer may take nothing of what is written. Default 10 s. */
  readonly writeTimeout?: Duration.Input | undefined
  /**
   * How long the broker may take to answer one request of a channel, or to confirm its oldest publish; then that fails with
   * `ConnectionLost`, and its channel closes. Time in which the broker blocks publishers does not count. Default 30 s.
   */
  readonly requestTimeout?: Duration.Input | undefined
  /** Octets of a message that is received; a larger one closes its channel, and ends its consumer for good. Default 128 MiB. */
  readonly maxMessageSize?: number | undefined
}

/** A link to a broker that speaks AMQP. */
export interface AmqpConnection extends TransportConnection {
  /**
   * Another password, or token, for the open connection, before the old one expires (RabbitMQ's `connection.update-secret`).
   * The channels go on. Completes when the broker has taken it.
   */
  readonly updateSecret: (password: Redacted.Redacted, reason?: string) => Effect.Effect<void, HubError>
}

/** How long the broker may take to answer our farewell. */
const farewell = "1 second"
const blockedFarewell = "100 millis"

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

export const make = (options: Options): Effect.Effect<AmqpConnection, HubError, Scope.Scope> => {
  // Of all the links that it makes.
  const remembered: Remembered = { refusal: undefined, until: 0 }
  return Effect.gen(function* () {
    const clock = yield* Clock.Clock
    const now = (): number => Number(clock.monotonicTimeNanosUnsafe() / 1_000_000n)
    const link = new Link(now, options.maxMessageSize)
    link.lattice = new Lattice(openChannel(link), yield* Effect.scope, remembered)
    const { uri } = options
    const where = AmqpUri.format(uri)
    let step = "while credentials were asked for"

    const limit = Duration.fromInputUnsafe(options.connectTimeout ?? Duration.seconds(uri.connectTimeout ?? 10))

    const open = Effect.gen(function* () {
      const credentials = yield* options.credentials ?? Effect.succeed(uri)
      const socket = yield* options.socket
      step = "before it said anything"
      const pull = yield* Effect.mapError(Socket.readerBytes(socket), (error) => notOpened(error, where))
      const writer = yield* socket.writer
      // A socket that closes waits until the peer has taken what was written, and this one may never.
      yield* Effect.addFinalizer(() =>
        link.hopeless ? Effect.ignore(writer.write(new Socket.CloseEvent())) : Effect.void
      )
      yield* Effect.forkScoped(
        die(
          link,
          link.outbox
            .run(writer, (error) => ended(error, step))
            .pipe(
              // Why it cannot write any more is often there to be read: a broker says so, and closes.
              Effect.catch((error) => Effect.andThen(Effect.sleep(grace), Effect.fail(error)))
            )
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
      yield* handshake(link, { ...options, credentials }, (next) => void (step = next))
    })

    yield* Effect.timeoutOrElse(Effect.raceFirst(open, Deferred.await(link.closed)), {
      duration: limit,
      orElse: () =>
        Effect.fail(lost("unreachable", `${where}: no answer within ${Duration.format(limit)}, ${step}${hint(step)}`))
    })
    step = "while it was open"
    yield* Effect.addFinalizer(() => close(link))
    yield* Effect.forkScoped(die(link, watch(link, now, options)))

    const updateSecret: AmqpConnection["updateSecret"] = (password, reason = "a new password") =>
      Effect.suspend(() => {
        const newSecret = new TextEncoder().encode(Redacted.value(password))
        return Effect.asVoid(link.requests.ask(Method.connectionUpdateSecret({ newSecret, reason })))
      })
    yield* Effect.forkScoped(
      Effect.ignore(Stream.runForEach(options.newPasswords ?? Stream.empty, (password) => updateSecret(password)))
    )

    return {
      updateSecret,
      channel: openChannel(link),
      closed: Deferred.await(link.closed),
      blocked: Stream.callback<boolean>(
        (queue) =>
          Effect.acquireRelease(
            Effect.sync(() => {
              const tell = (blocked: boolean): void => void Queue.offerUnsafe(queue, blocked)
              link.onBlocked.add(tell)
              tell(link.blocked)
              return tell
            }),
            (tell) => Effect.sync(() => link.onBlocked.delete(tell))
          ),
        { bufferSize: 16, strategy: "sliding" }
      )
    }
  })
}

/** Its failure is the link's. So is a fault of our own: a link that nobody reads must not look alive. */
const die = (link: Link, work: Effect.Effect<never, HubError>): Effect.Effect<void> =>
  Effect.catch(work, (error) => Effect.sync(() => link.fail(error))).pipe(
    Effect.tapDefect((defect) => Effect.sync(() => link.fail(lost("closed", `a fault in Apium: ${String(defect)}`))))
  )

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
  /HTTP|TLS|(?<=offers )AMQP \d+-\d+/.exec(message)?.[0] ?? `${message}${octets === undefined ? "" : ` (${octets})`}`

/** A server of something else often waits for a line that AMQP does not send. */
const hint = (step: string): string => (step.includes("connection.start ") ? ": is that the port of AMQP?" : "")

const handshake = Effect.fnUntraced(function* (
  link: Link,
  { credentials, name, uri }: Omit<Options, "credentials"> & { readonly credentials: Sasl.Credentials },
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
      link.refusal = refusal(method)
      link.send(Method.connectionCloseOk)
      return Effect.andThen(link.outbox.flushed, Effect.fail(link.refusal))
    })
  }
  const closed = ({ replyCode, replyText }: Method.ConnectionClose): HubError =>
    lost("closed", `${replyCode} ${replyText}`)

  link.outbox.frames.protocolHeader()
  link.outbox.wake()
  const start = yield* expect("connection.start", closed)
  link.serverProperties = start.serverProperties
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
  // Neither side will want something else the next time.
  if (Result.isFailure(limits)) return yield* fail(new ProtocolMismatch({ offered: limits.failure.message }))
  link.tune(limits.success)
  link.send(Method.connectionTuneOk(limits.success))
  link.send(Method.connectionOpen({ virtualHost: uri.vhost }))
  yield* expect("connection.open-ok", (close) => {
    const { replyCode, replyText } = close
    if (replyCode === 402 || (replyCode === 530 && replyText.endsWith(" not found")))
      return new HubError({ reason: new VhostNotFound({ vhost: uri.vhost }) })
    // The `frame_max` of the URL, below what RabbitMQ 4 takes.
    if (replyCode === 530 && replyText.includes("negotiated"))
      return new HubError({ reason: new ProtocolMismatch({ offered: `${replyCode} ${replyText}` }) })
    // 530 is also for what passes: "access to vhost 'v' refused for user 'u': connection limit (3) is reached".
    return replyCode === 403 || (replyCode === 530 && /refused(?!.*limit)/s.test(replyText))
      ? new HubError({ reason: new AccessRefused({ replyText }) })
      : closed(close)
  })
})

/** Says goodbye, and waits for the answer while the broker is there to give one. */
const close = (link: Link): Effect.Effect<void> =>
  Effect.suspend(() => {
    const within = (answer: Effect.Effect<unknown>): Effect.Effect<void> =>
      Effect.timeoutOrElse(Effect.asVoid(Effect.interruptible(answer)), {
        // A broker that blocks its publishers does not read the farewell either.
        duration: link.blocked ? blockedFarewell : farewell,
        orElse: () => Effect.sync(() => void (link.hopeless = true))
      })
    if (link.cause !== undefined) return link.lastWord ? within(link.outbox.flushed) : Effect.void
    for (const prepare of link.outbox.beforeFlush.splice(0)) prepare()
    link.send(Method.connectionClose({ replyCode: 200, replyText: "Goodbye" }))
    link.fail(lost("closed", "the connection was closed"))
    return within(link.next)
  })
