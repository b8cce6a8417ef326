/**
 * A queue as a value (kombu/entity.py `Queue`): a record and combinators that return another record.
 *
 * ```ts
 * const audit = pipe(Queue.make("audit"), Queue.bindTo(Exchange.topic("events"), "user.#"), Queue.ttl("1 hour"))
 * ```
 */
import * as Duration from "effect/Duration"
import * as Exchange from "./Exchange.ts"

/** What ties a queue, or another exchange, to an exchange. */
export interface Binding {
  readonly exchange: Exchange.Exchange
  readonly routingKey: string
  readonly arguments: Exchange.Arguments
}

export interface Queue {
  /** Empty: the broker chooses one, and `queueDeclare` says which. */
  readonly name: string
  readonly durable: boolean
  readonly exclusive: boolean
  readonly autoDelete: boolean
  readonly arguments: Exchange.Arguments
  /** The first is where a task for this queue is published, unless its exchange is direct (Kombu's `exchange` and `routing_key`). */
  readonly bindings: ReadonlyArray<Binding>
  /** What senders call a queue whose name is its consumer's own affair: see {@link broadcast}. They declare its exchanges, and not it. */
  readonly alias?: string | undefined
}

/** A durable, shared queue that outlives its consumers, unless the options say otherwise. */
export const make = (name: string, options: Partial<Omit<Queue, "name">> = {}): Queue => ({
  name,
  durable: options.durable ?? true,
  exclusive: options.exclusive ?? false,
  autoDelete: options.autoDelete ?? false,
  arguments: options.arguments ?? {},
  bindings: options.bindings ?? [],
  ...(options.alias === undefined ? undefined : { alias: options.alias })
})

/** Seen by one connection alone and gone with it: what a reply or an event queue is. */
export const temporary = (name = ""): Queue => make(name, { durable: false, exclusive: true, autoDelete: true })

/** Sets broker arguments (`x-...`) that have no combinator of their own. */
export const withArguments =
  (args: Exchange.Arguments) =>
  (self: Queue): Queue => ({ ...self, arguments: { ...self.arguments, ...args } })

/** Binds to an exchange; the routing key defaults to the empty one, which fits fanout and headers exchanges. */
export const bindTo =
  (exchange: Exchange.Exchange, routingKey = "", args: Exchange.Arguments = {}) =>
  (self: Queue): Queue => ({ ...self, bindings: [...self.bindings, { exchange, routingKey, arguments: args }] })

/** A replicated queue (`x-queue-type: quorum`): survives the loss of a broker node, and counts deliveries. */
export const quorum: (self: Queue) => Queue = withArguments({ "x-queue-type": "quorum" })

/** After so many deliveries that came back, a quorum queue drops the message, or dead-letters it (`x-delivery-limit`). */
export const deliveryLimit = (limit: number): ((self: Queue) => Queue) => withArguments({ "x-delivery-limit": limit })

/**
 * A log that many may read, each from where it likes (`x-queue-type: stream`): a message stays when it is acknowledged. Its
 * consumers need a `prefetch`, and say where they begin with the argument `x-stream-offset`: `first`, `last`, `next` (left out),
 * a number, a `Date`, or an age such as `1h`.
 */
export const stream: (self: Queue) => Queue = withArguments({ "x-queue-type": "stream" })

/** One consumer at a time gets the messages; another takes over when it is gone (`x-single-active-consumer`). */
export const singleActiveConsumer: (self: Queue) => Queue = withArguments({ "x-single-active-consumer": true })

/**
 * How many messages may wait (`x-max-length`). Over that the oldest are dropped or dead-lettered, or with `reject-publish` the
 * publisher's newest is refused (`Nacked`).
 */
export const maxLength = (messages: number, overflow: "drop-head" | "reject-publish" = "drop-head") =>
  withArguments({ "x-max-length": messages, "x-overflow": overflow })

/** How long a message may wait before it is dropped or dead-lettered (`x-message-ttl`, whole milliseconds). */
export const ttl = (age: Duration.Input): ((self: Queue) => Queue) =>
  withArguments({ "x-message-ttl": Math.ceil(Duration.toMillis(age)) })

/** How long the queue itself lives without a consumer (`x-expires`, whole milliseconds). */
export const expires = (idle: Duration.Input): ((self: Queue) => Queue) =>
  withArguments({ "x-expires": Math.ceil(Duration.toMillis(idle)) })

/** Where rejected and expired messages go; without a routing key they keep their own. */
export const deadLetter = (exchange: string, routingKey?: string): ((self: Queue) => Queue) =>
  withArguments({
    "x-dead-letter-exchange": exchange,
    ...(routingKey === undefined ? {} : { "x-dead-letter-routing-key": routingKey })
  })

/** Makes it a priority queue with levels 0..max (`x-max-priority`); on AMQP the highest is delivered first. */
export const priority = (max: number): ((self: Queue) => Queue) => withArguments({ "x-max-priority": max })

/**
 * One of the queues that all get a copy of each message (kombu/common.py `Broadcast`): bound to the fanout exchange `name`, named
 * `bcast.<uuid>`, and gone with its last consumer. Each worker makes its own; who sends calls it `name`, too.
 *
 * ```ts
 * const WorkerLive = Worker.layer({ queues: [Queue.make("celery"), Queue.broadcast("reload")], concurrency: 10 })
 * const ClientLive = Client.layerWith({ queues: [Queue.broadcast("reload")], routes: { "cache.reload": "reload" } })
 * ```
 */
export const broadcast = (
  name: string,
  options: {
    /** The name of the queue, which has to be another one for each who is to hear; default `bcast.<uuid>`. */
    readonly queue?: string | undefined
    /** With a UUID behind that name. */
    readonly unique?: boolean | undefined
    /** Default: the fanout exchange `name`. */
    readonly exchange?: Exchange.Exchange | undefined
    /** On Redis who sends and who listens have to have the same; default: that of their app, `task_default_routing_key`. */
    readonly routingKey?: string | undefined
    /** Default `true`. */
    readonly autoDelete?: boolean | undefined
  } = {}
): Queue => {
  const { autoDelete = true, exchange = Exchange.fanout(name), queue = "bcast", routingKey, unique } = options
  const own = unique === true || options.queue === undefined ? `${queue}.${crypto.randomUUID()}` : queue
  return bindTo(exchange, routingKey)(make(own, { autoDelete, alias: name }))
}

/**
 * The queue of one worker (celery/utils/nodenames.py `worker_direct`): `<nodename>.dq2`, bound to the exchange `C.dq2`. A worker with the
 * option `direct` consumes it.
 */
export const workerDirect = (nodename: string): Queue =>
  bindTo(Exchange.direct("C.dq2"), nodename)(make(`${nodename}.dq2`))
