/**
 * A connection that comes back. It holds one link at a time; when that is lost it connects again with full jitter, and
 * whoever asks meanwhile waits for the new one. What lived on the old link is gone with it: `recover` runs the same lines
 * again, which is all that recovery is.
 *
 * A failure that no retry can mend (bad credentials, no such vhost) ends the connection: every later call fails with it.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import type { Channel } from "./Channel.ts"
import type { Exchange } from "./Exchange.ts"
import { ConnectionLost, fail, HubError } from "./HubError.ts"
import { type Backoff, jittered, reconnect, schedule } from "./internal/backoff.ts"
import { closes, watched } from "./internal/watched.ts"
import type { Message, Route } from "./Message.ts"
import type { Queue } from "./Queue.ts"
import * as Topology from "./Topology.ts"
import { type Capabilities, Transport, type TransportConnection } from "./Transport.ts"

export type ConnectionStatus = "connecting" | "open" | "blocked" | "closed"

export interface Options {
  /** Between attempts: a random share of a delay that doubles from `base` to `cap`. Default 200 ms to 1.5 s. */
  readonly backoff?: Backoff | undefined
  /** Keep trying when the first attempt finds no broker, as Celery's `broker_connection_retry_on_startup`. Default `false`. */
  readonly retryOnStartup?: boolean | undefined
  /** How long a caller waits for a link before it fails with `ConnectionLost`. Default 30 s. */
  readonly patience?: Duration.Input | undefined
  /** How many pooled channels at most (Celery's `broker_pool_limit`); a further `use` waits. Default 10. */
  readonly poolLimit?: number | undefined
}

export class Connection extends Context.Service<
  Connection,
  {
    /** The name of what it speaks: `amqp`, `redis`, `memory`. */
    readonly transport: string
    readonly capabilities: Capabilities
    /** The caller's own channel, for consumers and anything with a long life. */
    readonly channel: Effect.Effect<Channel, HubError, Scope.Scope>
    /** A pooled channel nobody else has meanwhile, for short work such as declaring and purging. */
    readonly use: <A, E, R>(work: (channel: Channel) => Effect.Effect<A, E, R>) => Effect.Effect<A, E | HubError, R>
    /**
     * On a channel all publishers share, so that any number of them can wait for their confirms at once. One that the loss of
     * its link interrupted goes out again on the next link, three times at most: at least once, never silently not. One that
     * the broker refuses fails, and those beside it do not. The topology is declared before, as `declare` does, on each link it goes out on.
     */
    readonly publish: (message: Message, route: Route, topology?: Topology.Topology) => Effect.Effect<void, HubError>
    readonly publishAll: (
      batch: ReadonlyArray<readonly [message: Message, route: Route]>,
      topology?: Topology.Topology
    ) => Effect.Effect<void, HubError>
    /**
     * Declares what this link has not been told of yet, or not since a publish that brought it failed. An entity is
     * remembered by identity: keep it, do not remake it.
     */
    readonly declare: (topology: Topology.Topology) => Effect.Effect<void, HubError>
    /** Runs again, on a fresh link, whenever the failure says the link was lost. */
    readonly recover: <A, R>(work: Effect.Effect<A, HubError, R>) => Effect.Effect<A, HubError, R>
    /** What `recover` retries by, for streams: while the failure says the link was lost, and the connection is there. */
    readonly recovery: Schedule.Schedule<unknown, HubError>
    /** The present status and every change. */
    readonly status: Stream.Stream<ConnectionStatus>
  }
>()("@apium/hub/Connection") {
  static readonly layerWith = (options: Options): Layer.Layer<Connection, HubError, Transport> =>
    Layer.effect(Connection, make(options))

  static readonly layer: Layer.Layer<Connection, HubError, Transport> = Layer.suspend(() => Connection.layerWith({}))
}

interface Pooled {
  /** Says so when it is broken. */
  readonly channel: Channel
  /** The same, without a watch: who fails on it says so. */
  readonly bare: Channel
  readonly scope: Scope.Closeable
  /** A refused request closed it, whoever caught the failure. */
  broken: boolean
}

type OnLink = (link: Link) => Effect.Effect<void, HubError>

type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/** In milliseconds: a link that is lost sooner counts as one more failure to connect. */
const shortLife = 1500

/** What lives and dies with one link. */
interface Link {
  readonly connection: TransportConnection
  readonly scope: Scope.Closeable
  readonly idle: Array<Pooled>
  readonly declared: WeakSet<Exchange | Queue>
  publisher: Pooled | undefined
  /** Opens when whoever asks gets another link, or none any more. */
  readonly replaced: Latch.Latch
}

const isDeclared = ({ declared }: Link, { exchanges, queues }: Topology.Topology): boolean =>
  (exchanges === undefined || exchanges.every((exchange) => declared.has(exchange))) &&
  (queues === undefined || queues.every((queue) => declared.has(queue)))

const make = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<Connection["Service"], HubError, Transport | Scope.Scope> {
  const transport = yield* Transport
  // Links live in a scope that closes after the finalizer below has run: who waits for one must not wait for another.
  const links = yield* Scope.fork(yield* Effect.scope)
  const pause = options.backoff ?? reconnect
  const backoff = schedule(pause)
  const patience = Duration.fromInputUnsafe(options.patience ?? "30 seconds")
  const pool = Semaphore.makeUnsafe(options.poolLimit ?? 10)
  const publisherLock = Semaphore.makeUnsafe(1)
  const declareLock = Semaphore.makeUnsafe(1)
  const status = yield* SubscriptionRef.make<ConnectionStatus>("connecting")
  let current = Deferred.makeUnsafe<Link, HubError>()
  let lastFailure = "not connected yet"
  let ended = false

  const connect: Effect.Effect<Link, HubError> = Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      const linkScope = yield* Scope.fork(links)
      const connection = yield* restore(Scope.provide(transport.connect, linkScope)).pipe(
        Effect.onError((cause) => Scope.close(linkScope, Exit.failCause(cause)))
      )
      return {
        connection,
        scope: linkScope,
        idle: [],
        declared: new WeakSet<Exchange | Queue>(),
        publisher: undefined,
        replaced: Latch.makeUnsafe(false)
      }
    })
  ).pipe(Effect.tapError((error) => Effect.sync(() => void (lastFailure = error.message))))

  const connectAgain = Effect.retry(connect, backoff)

  const open = (link: Link) =>
    Effect.gen(function* () {
      live = link
      yield* SubscriptionRef.set(status, "open")
      yield* link.connection.blocked.pipe(
        // What a lost link said last must not stand over "connecting".
        Stream.takeWhile(() => !link.replaced.isOpen()),
        Stream.runForEach((blocked) => SubscriptionRef.set(status, blocked ? "blocked" : "open")),
        Effect.forkIn(link.scope)
      )
      yield* Deferred.succeed(current, link)
    })

  /** Watches the link for as long as the connection lives, and replaces it when it is lost. */
  const supervise: Effect.Effect<never> = Effect.gen(function* () {
    let shortLived = 0
    for (;;) {
      const link = live
      const opened = yield* Clock.currentTimeMillis
      const error = yield* Effect.flip(link.connection.closed)
      lastFailure = error.message
      current = Deferred.makeUnsafe()
      link.replaced.openUnsafe()
      yield* SubscriptionRef.set(status, "connecting")
      yield* Scope.close(link.scope, Exit.fail(error))
      // A broker that takes connections and drops them at once is asked as patiently as one that takes none.
      shortLived = (yield* Clock.currentTimeMillis) - opened < shortLife ? shortLived + 1 : 0
      // And the first attempt waits a little, too: all who lost the same broker would make it in the same millisecond.
      if (error.recoverable) yield* Effect.flatMap(jittered(pause, shortLived), Effect.sleep)
      const next = yield* Effect.exit(error.recoverable ? connectAgain : Effect.fail(error))
      if (Exit.isFailure(next)) {
        yield* Deferred.failCause(current, next.cause)
        yield* SubscriptionRef.set(status, "closed")
        return yield* Effect.never
      }
      yield* open(next.value)
    }
  })

  const first = yield* options.retryOnStartup === true ? connectAgain : connect
  let live = first
  yield* open(first)
  yield* Effect.forkScoped(supervise)
  yield* Effect.addFinalizer(() => {
    const waiting = current
    const closed = Effect.fail(new HubError({ reason: new ConnectionLost({ cause: "closed", text: "closed by us" }) }))
    ended = true
    current = Deferred.makeUnsafe()
    Deferred.doneUnsafe(current, closed)
    Deferred.doneUnsafe(waiting, closed)
    live.replaced.openUnsafe()
    return SubscriptionRef.set(status, "closed")
  })

  const link: Effect.Effect<Link, HubError> = Effect.suspend(() =>
    Deferred.isDoneUnsafe(current)
      ? Deferred.await(current)
      : Effect.timeoutOrElse(Deferred.await(current), {
          duration: patience,
          orElse: () =>
            fail(
              new ConnectionLost({
                cause: "unreachable",
                text: `no link within ${Duration.format(patience)}: ${lastFailure}`
              })
            )
        })
  )

  /** For who does not wait for one. */
  const linkNow: Effect.Effect<Link, HubError> = Effect.suspend(() =>
    Deferred.isDoneUnsafe(current)
      ? Deferred.await(current)
      : fail(new ConnectionLost({ cause: "unreachable", text: `there is no link: ${lastFailure}` }))
  )

  /** The caller masks interruption: between the opening and the keeping nobody would close it. */
  const openPooled = Effect.fnUntraced(function* (link: Link, restore: Restore): Effect.fn.Return<Pooled, HubError> {
    const scope = yield* Scope.fork(link.scope)
    const channel = yield* restore(Scope.provide(link.connection.channel, scope)).pipe(
      Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
    )
    const closed = (): void => void (pooled.broken = true)
    const pooled: Pooled = { channel: watched(channel, closed), bare: channel, scope, broken: false }
    // A publish without a confirm is refused behind its work, when the channel is back in the pool.
    yield* Effect.forkIn(
      Effect.catch(channel.closed, () => Effect.sync(closed)),
      scope
    )
    return pooled
  })

  const pooledOf = Effect.fnUntraced(function* (link: Link, restore: Restore): Effect.fn.Return<Pooled, HubError> {
    for (let idle = link.idle.pop(); idle !== undefined; idle = link.idle.pop()) {
      if (!idle.broken) return idle
      yield* Scope.close(idle.scope, Exit.void)
    }
    return yield* openPooled(link, restore)
  })

  /** A channel goes back to the pool only after work that did not fail, and unless a refused request closed it. */
  const onPooled = <A, E, R>(link: Link, work: (channel: Channel) => Effect.Effect<A, E, R>) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.gen(function* () {
        const pooled = yield* pooledOf(link, restore)
        const exit = yield* Effect.exit(restore(work(pooled.channel)))
        if (Exit.isSuccess(exit) && !pooled.broken) link.idle.push(pooled)
        else yield* Scope.close(pooled.scope, exit)
        return yield* exit
      })
    )

  const use = <A, E, R>(work: (channel: Channel) => Effect.Effect<A, E, R>) =>
    pool.withPermits(1)(Effect.flatMap(link, (link) => onPooled(link, work)))

  const publisherOf = (link: Link): Effect.Effect<Pooled, HubError> =>
    link.publisher !== undefined
      ? Effect.succeed(link.publisher)
      : publisherLock.withPermits(1)(
          Effect.uninterruptibleMask((restore) =>
            link.publisher !== undefined
              ? Effect.succeed(link.publisher)
              : Effect.map(openPooled(link, restore), (opened) => (link.publisher = opened))
          )
        )

  /** Again on the next link when this one was lost in the middle. */
  const onLink = (work: OnLink, again = 3): Effect.Effect<void, HubError> =>
    Effect.flatMap(link, (link) => orOnNext(link, work(link), work, again))

  const orOnNext = (
    link: Link,
    attempt: Effect.Effect<void, HubError>,
    work: OnLink,
    again: number
  ): Effect.Effect<void, HubError> =>
    Effect.catch(attempt, (error) =>
      error.reason._tag === "ConnectionLost" && again > 0
        ? Effect.andThen(
            // Where it was the channel alone, the link is there.
            error.reason.cause === "requestTimeout"
              ? Effect.void
              : Effect.timeoutOrElse(link.replaced.await, { duration: patience, orElse: () => Effect.fail(error) }),
            onLink(work, again - 1)
          )
        : Effect.fail(error)
    )

  const declareOn = (link: Link, topology: Topology.Topology): Effect.Effect<void, HubError> => {
    if (isDeclared(link, topology)) return Effect.void
    const fresh = <A extends Exchange | Queue>(entities: ReadonlyArray<A> = []) =>
      entities.filter((entity) => !link.declared.has(entity))
    const declareFresh = Effect.suspend(() => {
      const exchanges = fresh(topology.exchanges)
      const queues = fresh(topology.queues)
      return Effect.map(
        onPooled(link, (channel) => Topology.declare(channel, { exchanges, queues })),
        () => {
          for (const entity of [...exchanges, ...queues]) link.declared.add(entity)
        }
      )
    })
    // One at a time, so that those who wait find it done; and without a permit of the pool, for who publishes from inside
    // `use` holds one already.
    return declareLock.withPermits(1)(declareFresh)
  }

  /**
   * A message may be there twice when a link was lost in the middle, but not be missing. A refusal closes the channel under
   * all who wait for their confirms on it: each goes once more, on a channel of his own, where only who is to blame fails.
   */
  const publishing = (
    topology: Topology.Topology,
    waits: boolean,
    work: (channel: Channel) => Effect.Effect<void, HubError>
  ): Effect.Effect<void, HubError> => {
    const on = (link: Link, publisher: Pooled): Effect.Effect<void, HubError> =>
      Effect.catch(work(publisher.bare), (error) => refused(link, publisher, error))

    const refused = (link: Link, publisher: Pooled, error: HubError): Effect.Effect<void, HubError> => {
      if (closes(error)) publisher.broken = true
      if (error.reason._tag === "DelayRefused") return Effect.fail(error)
      // Somebody may have deleted what was declared: the next publish declares it again.
      for (const entity of [...(topology.exchanges ?? []), ...(topology.queues ?? [])]) link.declared.delete(entity)
      if (!publisher.broken) return Effect.fail(error)
      const again = error.reason._tag === "ChannelClosed" ? onPooled(link, work) : Effect.fail(error)
      if (link.publisher !== publisher) return again
      link.publisher = undefined
      return Effect.andThen(Scope.close(publisher.scope, Exit.fail(error)), again)
    }

    const declaring: OnLink = (link) =>
      Effect.flatMap(Effect.andThen(declareOn(link, topology), publisherOf(link)), (publisher) => on(link, publisher))

    return Effect.suspend(() => {
      const link = live
      const { publisher } = link
      // FAST: all publishes but the first of a link, with one handler in the place of two.
      return publisher === undefined || link.replaced.isOpen() || !isDeclared(link, topology)
        ? waits
          ? onLink(declaring)
          : Effect.flatMap(linkNow, declaring)
        : Effect.catch(work(publisher.bare), (error) =>
            orOnNext(link, refused(link, publisher, error), declaring, waits ? 3 : 0)
          )
    })
  }

  const recovery = Schedule.while(backoff, () => !ended)

  return {
    transport: transport.name,
    capabilities: transport.capabilities,
    channel: Effect.flatMap(link, (link) => link.connection.channel),
    use,
    publish: (message, route, topology = {}) =>
      publishing(topology, route.wait !== false, (channel) => channel.publish(message, route)),
    publishAll: (batch, topology = {}) =>
      publishing(topology, batch[0]?.[1].wait !== false, (channel) => channel.publishAll(batch)),
    declare: (topology) => onLink((link) => declareOn(link, topology)),
    recover: (work) => Effect.retry(work, recovery),
    recovery,
    status: Stream.changes(SubscriptionRef.changes(status))
  }
})
