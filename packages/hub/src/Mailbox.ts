/**
 * Remote control by broadcast (kombu/pidbox.py): a request goes to every node by a fanout exchange, and each node that is
 * meant answers to a queue of the caller's own. What Celery says over it is in `@apium/protocol/celery/ControlMessage`.
 *
 * ```text
 *   broadcast ─▶ celery.pidbox (fanout) ─▶ <node>.celery.pidbox ─▶ serve
 *             ◀─ <oid>.reply.celery.pidbox ◀─ reply.celery.pidbox (direct) ◀─┘
 * ```
 *
 * The queues are transient: a node that is away when a request is sent never sees it. Both sides outlive a lost link: a
 * command that is being executed goes on and answers on the next one, and the caller goes on waiting. A request that the
 * broker took is not sent again, for that would execute it twice.
 */
import * as PythonRepr from "@apium/protocol/celery/PythonRepr"
import * as MailboxMessage from "@apium/protocol/kombu/MailboxMessage"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { pipe } from "effect/Function"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { Channel } from "./Channel.ts"
import { Connection } from "./Connection.ts"
import * as Consumer from "./Consumer.ts"
import type { Delivery } from "./Delivery.ts"
import * as Exchange from "./Exchange.ts"
import { ConnectionLost, fail, type HubError } from "./HubError.ts"
import type { Message } from "./Message.ts"
import * as Queue from "./Queue.ts"
import * as Serializer from "./Serializer.ts"
import * as Topology from "./Topology.ts"

/** A Lamport clock (kombu/clocks.py): raised before each message, and set past each one received. */
export interface LogicalClock {
  readonly forward: Effect.Effect<number>
  readonly adjust: (other: number) => Effect.Effect<unknown>
}

export interface Options {
  /** What the exchanges and queues are named after. Default `celery`. */
  readonly namespace?: string | undefined
  /** Default: none, and 0 in what is sent. */
  readonly clock?: LogicalClock | undefined
}

export interface Command {
  readonly method: string
  readonly arguments?: Exchange.Arguments | undefined
  /** The nodes that are meant; left out or empty: by `pattern`, or all. */
  readonly destination?: ReadonlyArray<string> | undefined
  /** With `matcher`: nodes whose name matches. `pcre` is anchored at the start only, as Python's `re.match`. */
  readonly pattern?: string | undefined
  readonly matcher?: "glob" | "pcre" | undefined
}

export interface Reply {
  readonly node: string
  readonly reply: unknown
}

const noClock: LogicalClock = { forward: Effect.succeed(0), adjust: () => Effect.void }

/** Both kinds of exchange: other flags are a 406 against Python, which declares them too (WIRE 4.2). */
const requestExchange = ({ namespace }: Options) =>
  Exchange.fanout(MailboxMessage.requestExchange(namespace), { durable: false })

const replyExchange = (name: string) => Exchange.direct(name, { durable: false })

/**
 * With Python's arguments, and exclusive, as Celery's own are on its main branch: RabbitMQ 4.3 refuses transient queues that are not
 * (541), and a durable one cannot be reached while its node of a cluster is down. Only its owner declares it.
 */
const transient = (name: string): Queue.Queue =>
  Queue.make(name, {
    durable: false,
    exclusive: true,
    autoDelete: true,
    arguments: { "x-expires": 10_000, "x-message-ttl": 300_000 }
  })

const uuid = Effect.sync(() => crypto.randomUUID())

// ---------------------------------------------------------------- asking

/** Where the answers go; left out: none are wanted. */
interface ReplyTo {
  readonly ticket: string
  readonly exchange: string
  readonly routingKey: string
}

const encodeRequest = Effect.fnUntraced(function* (
  command: Command,
  options: Options,
  expiresMillis: number,
  replyTo?: ReplyTo
): Effect.fn.Return<Message, HubError> {
  const clock = yield* (options.clock ?? noClock).forward
  const body = MailboxMessage.encodeRequest({
    method: command.method,
    arguments: command.arguments ?? {},
    destination: command.destination ?? null,
    pattern: command.pattern ?? null,
    matcher: command.matcher ?? null,
    ticket: replyTo?.ticket ?? null,
    replyTo: replyTo ?? null
  })
  return yield* Serializer.encode(body, {
    properties: { deliveryMode: "transient", priority: 0 },
    headers: MailboxMessage.encodeRequestHeaders({ clock, expires: expiresMillis / 1000 })
  })
})

/**
 * Sends the command and emits the replies as they come, until there are `limit` of them or the time is over; it measures
 * from the start and includes the wait for a link. The limit is by default the number of destinations, or none. Nodes are
 * told when the caller stops waiting, and ignore the request from then on.
 *
 * Ends without a reply when nobody answers; fails with `ConnectionLost` when the request could not be sent in time.
 */
export const broadcast = (
  command: Command,
  options: Options & { readonly timeout: Duration.Input; readonly limit?: number | undefined }
): Stream.Stream<Reply, HubError, Connection> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const connection = yield* Connection
      const deadline = (yield* Clock.currentTimeMillis) + Duration.toMillis(options.timeout)
      const oid = yield* uuid
      const exchange = requestExchange(options)
      const replies = replyExchange(MailboxMessage.replyExchange(options.namespace))
      const replyTo = { ticket: yield* uuid, exchange: replies.name, routingKey: oid }
      const limit = options.limit ?? (command.destination?.length || Number.POSITIVE_INFINITY)
      let sent = false
      let name = oid

      const send = Effect.fnUntraced(function* (channel: Channel) {
        if (sent) return
        const request = yield* encodeRequest(command, options, Number.isFinite(deadline) ? deadline : 0, replyTo)
        yield* channel.publish(request, { exchange: exchange.name, routingKey: "" })
        sent = true
      })

      /**
       * The queue is there before the request goes out, so no reply is missed. The next link has one of another name, for the
       * broker may not have found the old link dead; the routing key stays.
       */
      const attempt = Stream.unwrap(
        Effect.gen(function* () {
          const channel = yield* connection.channel
          const queue = pipe(transient(MailboxMessage.replyQueue(name, options.namespace)), Queue.bindTo(replies, oid))
          name = yield* uuid
          yield* Topology.declare(channel, { exchanges: [exchange], queues: [queue] })
          yield* send(channel)
          return channel.consume(queue.name, { noAck: true })
        })
      )

      const timeUp = Effect.suspend(() =>
        sent ? Effect.void : fail(new ConnectionLost({ cause: "unreachable", text: "no link to send the request on" }))
      )

      return attempt.pipe(
        Stream.retry(connection.recovery),
        Stream.mapEffect((delivery) => readReply(delivery, replyTo.ticket, options)),
        Stream.filter((reply) => reply !== undefined),
        Number.isFinite(limit) ? Stream.take(limit) : (stream) => stream,
        Stream.interruptWhen(Effect.delay(timeUp, options.timeout))
      )
    })
  )

/** Sends the command and wants no replies (pidbox's `cast` and `abcast`). */
export const cast = Effect.fnUntraced(function* (
  command: Command,
  options: Options = {}
): Effect.fn.Return<void, HubError, Connection> {
  const connection = yield* Connection
  const exchange = requestExchange(options)
  const request = yield* encodeRequest(command, options, 0)
  yield* connection.declare({ exchanges: [exchange] })
  yield* connection.publish(request, { exchange: exchange.name, routingKey: "" })
})

// Pure, so that a bundle with `cast` alone leaves them out: 2.7 KB gzipped of what a client at the edge ships.

/** `undefined`: too late, for another request, or no reply at all. */
const readReply = /* @__PURE__ */ Effect.fnUntraced(function* (
  { message }: Delivery,
  ticket: string,
  options: Options
): Effect.fn.Return<Reply | undefined> {
  const headers = MailboxMessage.decodeReplyHeaders(message.headers)
  const times = MailboxMessage.decodeRequestHeaders(message.headers)
  if (Result.isFailure(headers) || Result.isFailure(times)) return undefined
  yield* (options.clock ?? noClock).adjust(headers.success.clock)
  if (MailboxMessage.isExpired(times.success, yield* Clock.currentTimeMillis)) return undefined
  // Old nodes answer without a ticket.
  if (headers.success.ticket !== null && headers.success.ticket !== ticket) return undefined
  const body = yield* Effect.result(Serializer.decode(message))
  const reply = Result.flatMap(body, MailboxMessage.decodeReply)
  if (Result.isSuccess(reply)) return { node: reply.success.node, reply: reply.success.value }
  yield* Effect.logWarning(`Mailbox: not a reply: ${reply.failure.message}`)
  return undefined
})

// ---------------------------------------------------------------- answering

/** Of a handler: there is no such method. Answered as Python does: `{"error": "KeyError('nonesuch')"}`. */
export class UnknownMethod extends Schema.TaggedError<UnknownMethod>()("UnknownMethod", { method: Schema.String }) {
  override get message() {
    return `There is no method ${JSON.stringify(this.method)}`
  }
}

/** What a handler returns that does not answer, wanted or not. */
export const noReply: unique symbol = Symbol("@apium/hub/Mailbox/noReply")

export interface ServeOptions extends Options {
  /** How many commands are executed at once. Default 1: in the order they came, as in kombu. */
  readonly concurrency?: number | undefined
  /** Runs once, when requests can no longer miss this node, or when another has its name: they go there until it is gone. */
  readonly onReady?: Effect.Effect<unknown> | undefined
}

/** More than this many requests that wait for their turn stay with the broker. */
const prefetch = 100

/**
 * Executes what is sent to this node, for ever. What the handler returns is the answer (nothing is `null`); a failure or a
 * defect is answered as Python shows an exception, `{"error": "ValueError('no such queue')"}`, and logged; an interruption
 * is not answered. Messages that are no requests are logged and dropped; those for other nodes, or for nobody any more, are dropped.
 */
export const serve = <R>(
  node: string,
  handle: (method: string, args: Exchange.Arguments) => Effect.Effect<unknown, unknown, R>,
  options: ServeOptions = {}
): Effect.Effect<never, HubError, Connection | R> =>
  Effect.gen(function* () {
    const connection = yield* Connection
    const exchange = requestExchange(options)
    const queue = pipe(transient(MailboxMessage.nodeQueue(node, options.namespace)), Queue.bindTo(exchange))
    const another = yield* Effect.cached(
      Effect.logWarning(`Mailbox: another node is named ${node}; names have to be unique`)
    )
    const ready = yield* Effect.cached(options.onReady ?? Effect.void)
    const { consumerCount } = yield* connection
      .recover(
        connection.use((channel) =>
          Effect.tap(channel.queueDeclare(queue), () =>
            Effect.andThen(
              Topology.declare(channel, { queues: [queue] }),
              Topology.listen(channel, queue.name, connection.capabilities)
            )
          )
        )
      )
      .pipe(
        Effect.tapError((error) => (isLocked(error) ? Effect.andThen(another, ready) : Effect.void)),
        Effect.retry(untilFree())
      )
    if (consumerCount > 0) yield* another
    yield* ready
    return yield* Consumer.stream([queue], { prefetch }).pipe(
      Stream.retry(untilFree()),
      Stream.mapEffect(
        Effect.fnUntraced(function* (delivery: Delivery) {
          // Before it is executed, so that it never is twice.
          yield* delivery.ack
          const request = yield* readRequest(delivery, node, options)
          if (request === undefined) return
          const answer = yield* execute(request, handle)
          if (request.replyTo === null || answer === noReply) return
          yield* reply(connection, node, request, request.replyTo, answer, options)
        }),
        { concurrency: options.concurrency ?? 1, unordered: true }
      ),
      Stream.runDrain,
      Effect.andThen(Effect.never)
    )
  })

/** Another node of this name has the queue, or a lost link of ours that the broker has not found dead yet. */
const isLocked = ({ reason }: HubError): boolean => reason._tag === "ChannelClosed" && reason.replyCode === 405

const untilFree = () =>
  Schedule.spaced("2 seconds").pipe(
    Schedule.setInputType<HubError>(),
    Schedule.while(({ input }) => isLocked(input))
  )

/** `undefined`: not for us, or for nobody. */
const readRequest = /* @__PURE__ */ Effect.fnUntraced(function* (
  { message }: Delivery,
  node: string,
  options: Options
): Effect.fn.Return<MailboxMessage.Request | undefined> {
  const headers = MailboxMessage.decodeRequestHeaders(message.headers)
  const body = yield* Effect.result(Serializer.decode(message))
  const read = Result.all({ times: headers, request: Result.flatMap(body, MailboxMessage.decodeRequest) })
  if (Result.isFailure(read)) {
    yield* Effect.logWarning(`Mailbox: not a request: ${read.failure.message}`)
    return undefined
  }
  const { times, request } = read.success
  yield* (options.clock ?? noClock).adjust(times.clock)
  if (!MailboxMessage.matches(request, node)) return undefined
  return MailboxMessage.isExpired(times, yield* Clock.currentTimeMillis) ? undefined : request
})

const execute = <R>(
  { method, arguments: args }: MailboxMessage.Request,
  handle: (method: string, args: Exchange.Arguments) => Effect.Effect<unknown, unknown, R>
): Effect.Effect<unknown, never, R> =>
  Effect.catchCause(
    Effect.suspend(() => handle(method, args)),
    (cause): Effect.Effect<unknown> => {
      if (Cause.hasInterruptsOnly(cause)) return Effect.succeed(noReply)
      const error = Cause.squash(cause)
      return Effect.as(logged(method, cause, error), { error: pythonRepr(error) })
    }
  )

/** A failure is the caller's mistake, and its text is enough; a defect is ours. */
const logged = (method: string, cause: Cause.Cause<unknown>, error: unknown): Effect.Effect<void> => {
  if (error instanceof UnknownMethod) return Effect.void
  return Cause.hasDies(cause)
    ? Effect.logWarning(`Mailbox: ${method} failed`, cause)
    : Effect.logWarning(`Mailbox: ${method} failed: ${pythonRepr(error)}`)
}

/** Python's `repr` of what went wrong. */
const pythonRepr = (error: unknown): string => {
  if (error instanceof UnknownMethod) return PythonRepr.exceptionRepr("KeyError", [error.method])
  if (error instanceof Error) return PythonRepr.exceptionRepr(error.name, [error.message])
  return PythonRepr.exceptionRepr("Exception", [typeof error === "string" ? error : PythonRepr.repr(error)])
}

/** On a channel of its own: an exchange the caller made up costs that channel, and nobody else's. */
const reply = /* @__PURE__ */ Effect.fnUntraced(function* (
  connection: Connection["Service"],
  node: string,
  { ticket }: MailboxMessage.Request,
  { exchange, routingKey }: NonNullable<MailboxMessage.Request["replyTo"]>,
  answer: unknown,
  options: Options
): Effect.fn.Return<void> {
  const clock = yield* (options.clock ?? noClock).forward
  const encode = (value: unknown) =>
    Serializer.encode(MailboxMessage.encodeReply({ node, value }), {
      properties: { deliveryMode: "transient", priority: 0 },
      headers: MailboxMessage.encodeReplyHeaders({ ticket, clock })
    })
  yield* encode(answer ?? null).pipe(
    Effect.catch((error) => encode({ error: pythonRepr(error) })),
    Effect.flatMap((message) =>
      connection.use((channel) =>
        Effect.andThen(
          exchange === "" ? Effect.void : channel.exchangeDeclare(replyExchange(exchange)),
          channel.publish(message, { exchange, routingKey })
        )
      )
    ),
    connection.recover,
    Effect.catch((error) => Effect.logWarning(`Mailbox: ${node} cannot answer: ${error.message}`))
  )
})
