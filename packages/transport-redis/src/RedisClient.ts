/**
 * `effect/persistence/Redis` over a link that comes back: for results, and for whoever wants Redis beside the queues.
 *
 * Commands wait for a link while there is none, and fail with a `HubError` as their cause when there is none for too long. A command that
 * was on its way when the link was lost fails: only who sent it knows whether it may be sent again.
 *
 * All subscriptions are on one connection, that of the link's subscriber. After a loss they are made again, and who listens is told of the
 * gap: a `Subscriptions` listener by `gap`, a `Redis.subscribe` by the failure of its queue.
 */
import { ConnectionLost, HubError } from "@apium/hub/HubError"
import { type Listener, Subscriptions } from "@apium/hub/Subscriptions"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Redis from "effect/persistence/Redis"
import * as Queue from "effect/Queue"
import * as Random from "effect/Random"
import * as Scope from "effect/Scope"
import { chunked } from "./internal/batches.ts"
import * as errors from "./internal/errors.ts"
import type { Heard, RedisLink } from "./RedisStore.ts"

export interface Options {
  /** Between attempts to connect: a random share of a delay that doubles from `base` to `cap`. Default 200 ms to 1.5 s. */
  readonly backoff?: { readonly base: Duration.Input; readonly cap: Duration.Input } | undefined
  /** How long a command waits for a link. Default 30 s. */
  readonly patience?: Duration.Input | undefined
  /** Keep trying when the first attempt finds no Redis. Default `false`. */
  readonly retryOnStartup?: boolean | undefined
}

export interface RedisClient {
  readonly redis: Redis.Redis["Service"]
  readonly subscriptions: Subscriptions["Service"]
}

/** In milliseconds: how often a link is asked whether it lives, and how long the answer may take. */
const every = 1000
const grace = 2000
/** In milliseconds: a link that is lost sooner counts as one more failure to connect. */
const shortLife = 1500
/** Channels of one `SUBSCRIBE`: Redis takes about 5 ms for them. */
const most = 10_000

const isLater = ({ reason }: HubError): boolean => reason._tag === "ConnectionLost" && errors.isLater(reason.text)

/** One link. What it subscribes to, it leaves with its scope. */
interface Live {
  readonly link: RedisLink
  readonly scope: Scope.Closeable
  readonly heard: Heard
}

export const layer = (
  connect: Effect.Effect<RedisLink, HubError, Scope.Scope>,
  options: Options = {}
): Layer.Layer<Redis.Redis | Subscriptions, HubError> =>
  Layer.effectContext(
    Effect.map(make(connect, options), ({ redis, subscriptions }) =>
      Context.make(Redis.Redis, redis).pipe(Context.add(Subscriptions, subscriptions))
    )
  )

/** `connect` makes a fresh link; it is run again whenever that is lost, and the failure says that a retry can help. */
export const make = Effect.fnUntraced(function* (
  connect: Effect.Effect<RedisLink, HubError, Scope.Scope>,
  options: Options = {}
): Effect.fn.Return<RedisClient, HubError, Scope.Scope> {
  const links = yield* Scope.fork(yield* Effect.scope)
  const patience = Duration.fromInputUnsafe(options.patience ?? "30 seconds")
  const base = Duration.toMillis(Duration.fromInputUnsafe(options.backoff?.base ?? "200 millis"))
  const cap = Duration.toMillis(Duration.fromInputUnsafe(options.backoff?.cap ?? "1500 millis"))
  const listeners = new Map<string, Set<Listener>>()
  const all = new Set<Listener>()
  let current = Deferred.makeUnsafe<Live, HubError>()
  let live: Live | undefined
  let lastFailure = "not connected yet"

  const open: Effect.Effect<Live, HubError> = Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      const scope = yield* Scope.fork(links)
      const ready = Effect.gen(function* () {
        const link = yield* Scope.provide(connect, scope)
        const heard: Heard = (text, channel) => {
          for (const listener of listeners.get(channel) ?? []) listener.heard(channel, text)
        }
        const opened: Live = { link, scope, heard }
        const channels = [...listeners.keys()]
        yield* subscribe(opened, channels)
        yield* leave(opened, channels)
        return opened
      })
      return yield* restore(ready).pipe(Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause))))
    })
  ).pipe(Effect.tapError((error) => Effect.sync(() => void (lastFailure = error.message))))

  const subscribe = ({ heard, link }: Live, channels: ReadonlyArray<string>): Effect.Effect<void, HubError> =>
    chunked(channels, most, (some) => Effect.mapError(link.subscribe(some, heard), hubError))

  /** What nobody listens to any more. */
  const leave = ({ heard, link }: Live, channels: ReadonlyArray<string>): Effect.Effect<void> => {
    const left = channels.filter((channel) => !listeners.has(channel))
    return left.length === 0 ? Effect.void : link.unsubscribe(left, heard)
  }

  const jittered = (failures: number): Effect.Effect<void> =>
    Effect.flatMap(Random.next, (share) => Effect.sleep(Math.min(base * 2 ** failures, cap) * share))

  const openAgain = (failures: number): Effect.Effect<Live, HubError> =>
    Effect.catch(Effect.andThen(jittered(failures), open), (error) =>
      error.recoverable ? openAgain(failures + 1) : Effect.fail(error)
    )

  /** Fails when the link does. Replies are in order: that to a PING comes behind all that is asked before. */
  const watch = ({ link }: Live): Effect.Effect<never, HubError> =>
    Effect.raceFirst(
      link.lost,
      Effect.forever(
        Effect.andThen(
          Effect.sleep(every),
          Effect.timeoutOrElse(
            Effect.catchIf(Effect.mapError(link.redis.send("PING"), hubError), isLater, () => Effect.void),
            {
              duration: grace,
              orElse: () =>
                Effect.fail(
                  new HubError({
                    reason: new ConnectionLost({ cause: "heartbeat", text: `Redis did not answer within ${grace} ms` })
                  })
                )
            }
          )
        )
      )
    )

  const supervise = Effect.gen(function* () {
    let failures = 0
    while (live !== undefined) {
      const dying: Live = live
      const since = yield* Clock.currentTimeMillis
      const lost = yield* Effect.flip(watch(dying))
      lastFailure = lost.message
      live = undefined
      current = Deferred.makeUnsafe()
      yield* dying.link.cut
      yield* Scope.close(dying.scope, Exit.fail(lost))
      failures = (yield* Clock.currentTimeMillis) - since < shortLife ? failures + 1 : 0
      const next = yield* Effect.exit(openAgain(failures))
      if (Exit.isFailure(next)) {
        yield* Deferred.failCause(current, next.cause)
        return
      }
      arrive(next.value)
      // A copy: whoever begins to listen when he is told missed nothing.
      const told = [...all]
      for (const listener of told) listener.gap()
    }
  })

  const arrive = (next: Live): void => {
    live = next
    Deferred.doneUnsafe(current, Exit.succeed(next))
  }

  arrive(
    yield* options.retryOnStartup === true
      ? Effect.catch(open, (error) => (error.recoverable ? openAgain(0) : Effect.fail(error)))
      : open
  )
  yield* Effect.forkScoped(supervise)
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      const closed = Exit.fail(
        new HubError({ reason: new ConnectionLost({ cause: "closed", text: "the client was closed" }) })
      )
      live = undefined
      const waiting = current
      current = Deferred.makeUnsafe()
      Deferred.doneUnsafe(current, closed)
      Deferred.doneUnsafe(waiting, closed)
    })
  )

  const linked: Effect.Effect<Live, HubError> = Effect.suspend(() =>
    live !== undefined
      ? Effect.succeed(live)
      : Effect.timeoutOrElse(Deferred.await(current), {
          duration: patience,
          orElse: () =>
            Effect.fail(
              new HubError({
                reason: new ConnectionLost({
                  cause: "unreachable",
                  text: `no link to Redis within ${Duration.format(patience)}: ${lastFailure}`
                })
              })
            )
        })
  )

  /** A link whose server says that it is not the one to ask any more is lost. */
  const on = <A, R>(work: (link: RedisLink) => Effect.Effect<A, Redis.RedisError, R>) =>
    Effect.flatMap(linked, ({ link }) =>
      Effect.catch(work(link), (error) => {
        const failure = hubError(error)
        const failed = Effect.fail(failure)
        return failure.reason._tag === "ConnectionLost" && !isLater(failure) ? Effect.andThen(link.cut, failed) : failed
      })
    ).pipe(Effect.mapError((cause) => new Redis.RedisError({ cause })))

  const drop = (listener: Listener, channels: Iterable<string>): void => {
    for (const channel of channels) {
      const listening = listeners.get(channel)
      if (listening?.delete(listener) === true && listening.size === 0) listeners.delete(channel)
    }
  }

  const listen: Subscriptions["Service"]["open"] = (listener) =>
    Effect.acquireRelease(
      Effect.sync(() => {
        all.add(listener)
        const own = new Set<string>()
        const remove = (channels: ReadonlyArray<string>) =>
          Effect.suspend(() => {
            drop(listener, channels)
            for (const channel of channels) own.delete(channel)
            return live === undefined ? Effect.void : leave(live, channels)
          })
        return {
          add: (channels: ReadonlyArray<string>) =>
            Effect.suspend(() => {
              for (const channel of channels) {
                own.add(channel)
                const listening = listeners.get(channel)
                if (listening === undefined) listeners.set(channel, new Set([listener]))
                else listening.add(listener)
              }
              return Effect.flatMap(linked, (live) => subscribe(live, channels))
            }),
          remove,
          close: Effect.suspend(() => {
            all.delete(listener)
            return remove([...own])
          })
        }
      }),
      ({ close }) => close
    )

  const redis: Redis.Redis["Service"] = {
    send: (command, ...args) => on((link) => link.redis.send(command, ...args)),
    eval:
      (script) =>
      (...params) =>
        on((link) => link.redis.eval(script)(...params)),
    reserve: on((link) => link.redis.reserve),
    subscribe: Effect.fnUntraced(function* (channel) {
      const queue = yield* Queue.unbounded<Redis.RedisMessage, Redis.RedisError>()
      yield* Effect.addFinalizer(() => Queue.shutdown(queue))
      const fail = (cause: unknown): void =>
        void Queue.failCauseUnsafe(queue, Cause.fail(new Redis.RedisError({ cause })))
      const { add } = yield* listen({
        heard: (channel, message) => void Queue.offerUnsafe(queue, { channel, message }),
        gap: () => fail(new Error(`${channel}: messages may have been missed; subscribe again`))
      })
      yield* Effect.catch(add([channel]), (error) => Effect.sync(() => fail(error)))
      return queue
    })
  }

  return { redis, subscriptions: { client: redis, open: listen } }
})

const hubError = (error: Redis.RedisError): HubError =>
  error.cause instanceof HubError ? error.cause : errors.hubError(error)
