/**
 * A broker's queue with the interface of a queue in memory (kombu/simple.py): `put`, `get`, `size`, `clear`.
 *
 * ```ts
 * const queue = yield* SimpleQueue.make("thumbnails")
 * yield* queue.put({ path: "/tmp/cat.jpg" })
 * const received = yield* queue.get({ timeout: "1 second" })
 * yield* received.ack
 * ```
 *
 * It lives in a scope, holds one channel, and outlives a lost link: whoever waits goes on waiting on the next one, and what
 * was taken and not acknowledged goes back. It takes only what somebody asked for: unlike kombu's it keeps no buffer, so
 * that other consumers get the rest. A wait is a consumer of one message; nothing is polled. After a `get` that timed out the
 * consumer stays for the next `get`; a message that comes before that goes back to its queue, redelivered.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import type { Channel } from "./Channel.ts"
import { Connection } from "./Connection.ts"
import * as DeadLetter from "./DeadLetter.ts"
import type { Delivery } from "./Delivery.ts"
import { defaultExchange, direct } from "./Exchange.ts"
import { ConsumerCancelled, fail, type HubError } from "./HubError.ts"
import * as Producer from "./Producer.ts"
import * as Queue from "./Queue.ts"
import * as Serializer from "./Serializer.ts"
import * as Topology from "./Topology.ts"

/** Nothing came within the time. */
export class Empty extends Schema.TaggedError<Empty>()("Empty", { queue: Schema.String }) {
  override get message() {
    return `Nothing in queue ${JSON.stringify(this.queue)}`
  }
}

export interface Received<A> {
  readonly payload: A
  readonly delivery: Delivery
  /** A no-op with `noAck`. */
  readonly ack: Effect.Effect<void, HubError>
  readonly reject: Delivery["reject"]
}

export interface SimpleQueue<A> {
  /** Of the queue: what another party puts to, or answers to (`replyTo`). */
  readonly name: string
  readonly put: (value: A, options?: Producer.PublishOptions) => Effect.Effect<void, HubError | Schema.SchemaError>
  /**
   * The next message; without a timeout it waits for ever. One that cannot be read fails, and goes to `<queue>.dead`, so
   * that the next `get` finds the next one.
   */
  readonly get: (options?: {
    readonly timeout?: Duration.Input | undefined
  }) => Effect.Effect<Received<A>, Empty | HubError | Schema.SchemaError>
  /** What is there now, or `Empty`. */
  readonly getNowait: Effect.Effect<Received<A>, Empty | HubError | Schema.SchemaError>
  /** How many messages wait, without those that were taken and not acknowledged. */
  readonly size: Effect.Effect<number, HubError>
  /** Throws away what waits, and says how many. */
  readonly clear: Effect.Effect<number, HubError>
}

export interface Options {
  /** A serializer's name; default `json`. */
  readonly serializer?: string | undefined
  /** A compression's name: `gzip`, `zlib`. */
  readonly compression?: string | undefined
  /** Acknowledge on the caller's behalf, before `get` returns. Default `false`. */
  readonly noAck?: boolean | undefined
}

/**
 * Of a name: a durable queue, bound with its name to a direct exchange of its name, as kombu declares it. Of a `Queue`:
 * published to by its first binding, or by its name if it has none; one without a name gets one here, for a name the
 * broker chose would be another on the next link. Without a schema the payload is whatever the serializer reads.
 */
export const make = <A = unknown, I = unknown>(
  queue: string | Queue.Queue,
  options: Options & { readonly schema?: Schema.Codec<A, I> | undefined } = {}
): Effect.Effect<SimpleQueue<A>, never, Connection | Scope.Scope> =>
  open(
    typeof queue === "string" ? named(queue) : queue,
    // Without a schema nothing says what A is, and it is unknown.
    options.schema ?? (Schema.Unknown as Schema.Codec<unknown> as Schema.Codec<A, I>),
    options
  )

const named = (name: string): Queue.Queue => Queue.bindTo(direct(name), name)(Queue.make(name))

interface Open {
  readonly channel: Channel
  readonly scope: Scope.Closeable
}

const open = Effect.fnUntraced(function* <A, I>(
  given: Queue.Queue,
  schema: Schema.Codec<A, I>,
  options: Options
): Effect.fn.Return<SimpleQueue<A>, never, Connection | Scope.Scope> {
  const queue = given.name === "" ? { ...given, name: crypto.randomUUID() } : given
  const connection = yield* Connection
  const scope = yield* Effect.scope
  const decode = Schema.decodeUnknownEffect(schema)
  const opening = Semaphore.makeUnsafe(1)
  const news = Latch.makeUnsafe(false)
  /** What came for those who wait. */
  const arrived: Array<Exit.Exit<Delivery, HubError>> = []
  let waiting = 0
  let fetching = false
  let current: Open | undefined
  let closed = false

  // A fetch can neither start nor go on in a closed scope: who waited for one would wait for ever.
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      closed = true
      news.openUnsafe()
    })
  )
  const used = Effect.suspend(() =>
    closed ? Effect.die(new Error(`SimpleQueue ${queue.name} is used after its scope has closed`)) : Effect.void
  )

  const binding = queue.bindings[0]
  const producer = yield* Producer.make(schema, {
    exchange: binding?.exchange ?? defaultExchange,
    routingKey: binding?.routingKey ?? queue.name,
    declare: [queue],
    serializer: options.serializer,
    compression: options.compression
  })

  // ---------------------------------------------------------------- the channel

  const openChannel: Effect.Effect<Open, HubError> = Effect.gen(function* () {
    const channelScope = yield* Scope.fork(scope)
    const opened = Effect.gen(function* () {
      const channel = yield* connection.channel
      yield* Topology.declare(channel, { queues: [queue] })
      return (current = { channel, scope: channelScope })
    })
    return yield* Scope.provide(opened, channelScope).pipe(
      Effect.onError((cause) => Scope.close(channelScope, Exit.failCause(cause)))
    )
  })

  /** On the one channel, which has to stay open for as long as somebody holds a delivery; on another one when it failed. */
  const onChannel = <A>(work: (channel: Channel) => Effect.Effect<A, HubError>): Effect.Effect<A, HubError> =>
    opening
      .withPermits(1)(
        Effect.andThen(
          used,
          Effect.suspend(() => (current === undefined ? openChannel : Effect.succeed(current)))
        )
      )
      .pipe(
        Effect.flatMap((open) =>
          Effect.tapError(work(open.channel), (error) => {
            if (current === open) current = undefined
            return Scope.close(open.scope, Exit.fail(error))
          })
        ),
        connection.recover
      )

  // ---------------------------------------------------------------- waiting

  /**
   * What waits in the queue, or what comes next. A consumer of its own for each: a window of one would stay shut until the
   * caller acknowledges.
   */
  const next = (channel: Channel): Effect.Effect<Delivery, HubError> =>
    Effect.flatMap(channel.get(queue.name), (found) =>
      Option.isSome(found)
        ? Effect.succeed(found.value)
        : Effect.flatMap(
            Stream.runHead(Stream.take(channel.consume(queue.name, { prefetch: 1 }), 1)),
            Option.match({
              onNone: () => fail(new ConsumerCancelled({ queue: queue.name })),
              onSome: Effect.succeed
            })
          )
    )

  /** One at a time, for as long as somebody waits. Nobody interrupts it: that could lose a message on its way. */
  const fetch: Effect.Effect<void> = Effect.gen(function* () {
    while (waiting > arrived.length) {
      arrived.push(yield* Effect.exit(onChannel(next)))
      if (waiting === 0) yield* giveBack
      news.openUnsafe()
    }
    fetching = false
  })

  /** What came too late for whoever asked. */
  const giveBack: Effect.Effect<void> = Effect.suspend(() =>
    Effect.forEach(
      arrived.splice(0),
      (exit) => (Exit.isSuccess(exit) ? Effect.ignore(exit.value.reject({ requeue: true })) : Effect.void),
      { discard: true }
    )
  )

  /** Only the wait itself can be interrupted, and only it is timed: a message that came has an owner all the way. */
  const wait = Effect.fnUntraced(
    function* (
      restore: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>,
      timeout: Duration.Duration
    ): Effect.fn.Return<Delivery, Empty | HubError> {
      const deadline = (yield* Clock.currentTimeMillis) + Duration.toMillis(timeout)
      waiting++
      for (;;) {
        const first = arrived.shift()
        if (first !== undefined) return yield* first
        yield* used
        const left = deadline - (yield* Clock.currentTimeMillis)
        if (left <= 0) return yield* new Empty({ queue: queue.name })
        news.closeUnsafe()
        if (!fetching) {
          fetching = true
          yield* Effect.forkIn(fetch, scope)
        }
        yield* restore(Effect.timeoutOption(news.await, left))
      }
    },
    Effect.ensuring(Effect.suspend(() => (--waiting === 0 ? giveBack : Effect.void)))
  )

  // ---------------------------------------------------------------- reading

  const read = Effect.fnUntraced(function* (
    delivery: Delivery
  ): Effect.fn.Return<Received<A>, HubError | Schema.SchemaError> {
    const payload = yield* Effect.flatMap(Serializer.decode(delivery.message), decode).pipe(
      Effect.tapCause((cause) => DeadLetter.send(connection, delivery, "undecodable", String(Cause.squash(cause))))
    )
    if (options.noAck === true) yield* delivery.ack
    return {
      payload,
      delivery,
      ack: options.noAck === true ? Effect.void : delivery.ack,
      reject: (how) => (options.noAck === true ? Effect.void : delivery.reject(how))
    }
  })

  const take: Effect.Effect<Option.Option<Delivery>, HubError> = Effect.suspend(() => {
    let found = Option.none<Delivery>()
    return onChannel((channel) =>
      Effect.uninterruptible(Effect.map(channel.get(queue.name), (delivery) => (found = delivery)))
    ).pipe(
      Effect.onInterrupt(() =>
        Option.isSome(found) ? Effect.ignore(found.value.reject({ requeue: true })) : Effect.void
      )
    )
  })

  const onDeclared = <A>(work: (channel: Channel) => Effect.Effect<A, HubError>) =>
    connection.recover(Effect.andThen(connection.declare({ queues: [queue] }), connection.use(work)))

  return {
    name: queue.name,
    put: producer.publish,
    get: (get = {}) => {
      const timeout = Duration.fromInputUnsafe(get.timeout ?? Infinity)
      return Effect.uninterruptibleMask((restore) => Effect.flatMap(wait(restore, timeout), read))
    },
    getNowait: Effect.uninterruptibleMask((restore) =>
      Effect.gen(function* () {
        const found = yield* restore(take)
        if (Option.isNone(found)) return yield* new Empty({ queue: queue.name })
        return yield* read(found.value)
      })
    ),
    size: onDeclared((channel) =>
      Effect.map(channel.queueDeclare(queue, { passive: true }), ({ messageCount }) => messageCount)
    ),
    clear: onDeclared((channel) => channel.queuePurge(queue.name))
  }
})
