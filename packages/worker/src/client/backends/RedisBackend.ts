/**
 * Results in Redis, to the byte as Celery keeps them (celery/backends/redis.py, WIRE 4.5), so that Python and TypeScript read each other's.
 *
 * ```ts
 * import * as RedisBackend from "@apium/worker/client/backends/RedisBackend"
 * import * as Redis from "@apium/transport-redis/node"
 *
 * const Results = RedisBackend.layer.pipe(Layer.provide(Redis.layerRedis("redis://localhost:6379/0")))
 * ```
 *
 * What may be asked twice is, while Redis is away. With `Subscriptions` (Apium's own client has them) all waits share one connection, and
 * none is missed while it comes back; with another `Redis` they read again and again.
 */
import { type DecodeFailed, fail, type HubError } from "@apium/hub/HubError"
import { Subscriptions } from "@apium/hub/Subscriptions"
import * as ResultMessage from "@apium/protocol/celery/ResultMessage"
import * as TaskState from "@apium/protocol/celery/TaskState"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redis from "effect/persistence/Redis"
import * as Queue from "effect/Queue"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { ResultBackend } from "../ResultBackend.ts"
import * as RedisChords from "./RedisChords.ts"
import { hubError, retrying } from "./RedisErrors.ts"
import * as RedisTexts from "./RedisTexts.ts"
import * as RedisWaiter from "./RedisWaiter.ts"
import * as RedisWriter from "./RedisWriter.ts"

/** All who share the results must agree on `globalKeyprefix` and `chordOrdered`. */
export interface Options {
  /** Celery's `result_expires`, in whole seconds; 0, or an infinite duration: for ever. Default one day. */
  readonly expires?: Duration.Input | undefined
  /** Celery's `result_extended`: a result says name, arguments, worker, retries and queue, too. Default `false`. */
  readonly extended?: boolean | undefined
  /** Before every key and channel (`result_backend_transport_options`); `_` comes between unless it ends in `:`, `_`, `-` or `.`. */
  readonly globalKeyprefix?: string | undefined
  /** Whether a chord's body gets results in the order of its header (`result_chord_ordered`). Default `true`. */
  readonly chordOrdered?: boolean | undefined
  /** How long something is tried again while Redis is away or full; then it fails. Default 30 s. */
  readonly retryFor?: Duration.Input | undefined
}

export const layer: Layer.Layer<ResultBackend, never, Redis.Redis> = Layer.suspend(() => layerWith({}))

export const layerWith = (options: Options): Layer.Layer<ResultBackend, never, Redis.Redis> =>
  Layer.effect(
    ResultBackend,
    Effect.gen(function* () {
      const redis = yield* Redis.Redis
      const subscriptions = Option.getOrUndefined(
        Option.filter(yield* Effect.serviceOption(Subscriptions), ({ client }) => client === redis)
      )
      const prefix = prefixOf(options.globalKeyprefix ?? "")
      const expires = secondsOf(options.expires ?? "1 day")
      const again = retrying(options.retryFor ?? "30 seconds")
      const keyOf = (taskId: string) => prefix + ResultMessage.taskKey(taskId)
      const groupKey = (groupId: string, suffix: string = "") => prefix + ResultMessage.groupKey(groupId) + suffix

      const writer = yield* RedisWriter.make(redis, expires, again)
      const waiter = yield* RedisWaiter.make({ redis, subscriptions, keyOf, decode, retrying: again })
      const asking = <A>(command: string, ...args: ReadonlyArray<string>) =>
        again(Effect.mapError(redis.send<A>(command, ...args), hubError))
      const read = <A>(key: string, reading: (text: string) => Result.Result<A, DecodeFailed>) =>
        Effect.flatMap(asking<string | null>("GET", key), (text) => {
          if (text === null) return Effect.succeedNone
          const value = reading(text)
          return Result.isSuccess(value) ? Effect.succeedSome(value.success) : fail(value.failure)
        })

      const wait = (taskId: string): Effect.Effect<ResultMessage.ResultMessage, HubError> =>
        Effect.callback((resume) => {
          const leave = waiter.watch(taskId, {
            tell: (message) => {
              if (!TaskState.isReady(message.status)) return
              leave()
              resume(Effect.succeed(message))
            },
            fail: (error) => {
              leave()
              resume(Effect.fail(error))
            }
          })
          return Effect.sync(leave)
        })

      const changes = (taskId: string) =>
        Stream.callback<ResultMessage.ResultMessage, HubError>((queue) =>
          Effect.acquireRelease(
            Effect.sync(() =>
              waiter.watch(taskId, {
                tell: (message) => {
                  Queue.offerUnsafe(queue, message)
                  if (TaskState.isReady(message.status)) Queue.endUnsafe(queue)
                },
                fail: (error) => Queue.failCauseUnsafe(queue, Cause.fail(error))
              })
            ),
            (leave) => Effect.sync(leave)
          )
        )

      return {
        extended: options.extended ?? false,
        store: (message) =>
          Effect.flatMap(
            RedisTexts.encode(ResultMessage.encode(message), () => `the result of the task ${message.taskId}`),
            (text) => writer.write(keyOf(message.taskId), text)
          ),
        get: (taskId) => read(keyOf(taskId), (text) => decode(taskId, text)),
        wait,
        changes,
        forget: (taskId) => Effect.asVoid(asking("DEL", keyOf(taskId))),
        groups: {
          save: (group) =>
            Effect.flatMap(
              RedisTexts.encode(ResultMessage.encodeGroup(group), () => `the group ${group.id}`),
              (text) => writer.write(groupKey(group.id), text)
            ),
          restore: (groupId) =>
            read(groupKey(groupId), (text) =>
              RedisTexts.decode(text, () => `the group ${groupId}`, ResultMessage.decodeGroup)
            ),
          forget: (groupId) => Effect.asVoid(asking("DEL", groupKey(groupId)))
        },
        chords: RedisChords.make({
          redis,
          groupKey,
          expires,
          ordered: options.chordOrdered ?? true,
          retrying: again
        })
      }
    })
  )

const prefixOf = (prefix: string): string => (prefix === "" || /[:_.-]$/.test(prefix) ? prefix : `${prefix}_`)

/** Less than a second is one: none would be for ever. */
const secondsOf = (expires: Duration.Input): number => {
  const seconds = Duration.toSeconds(Duration.fromInputUnsafe(expires))
  return Number.isFinite(seconds) ? Math.ceil(seconds) : 0
}

const decode: RedisWaiter.Decode = (taskId, text) =>
  RedisTexts.decode(
    text,
    () => `the result of the task ${taskId}`,
    (value) => ResultMessage.decode(value, taskId)
  )
