/**
 * Results in the memory of this process: for tests and for programs whose client and worker are one. Nothing is kept for
 * ever: a result goes after `expires`, and the oldest tenth when there are more than `capacity`.
 */
import type { ResultMessage } from "@apium/protocol/celery/ResultMessage"
import * as TaskState from "@apium/protocol/celery/TaskState"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import { ResultBackend } from "../ResultBackend.ts"

export interface Options {
  /** Celery's `result_expires`; default one day. */
  readonly expires?: Duration.Input | undefined
  /** The most results kept; default 1,000,000. */
  readonly capacity?: number | undefined
}

interface Stored {
  readonly message: ResultMessage
  readonly expiresAt: number
}

type Watcher = (message: ResultMessage) => void

export const layer: Layer.Layer<ResultBackend> = Layer.suspend(() => layerWith({}))

export const layerWith = (options: Options): Layer.Layer<ResultBackend> =>
  Layer.effect(
    ResultBackend,
    Effect.map(Clock.Clock, (clock) => {
      const expires = Duration.toMillis(options.expires ?? "1 day")
      const capacity = options.capacity ?? 1_000_000
      // Insertion order is age, for a changed result is inserted anew.
      const stored = new Map<string, Stored>()
      const watchers = new Map<string, Set<Watcher>>()

      let sweepAt = Number.NEGATIVE_INFINITY

      /**
       * Drops what is too old, and a tenth when there is too much: a walk from a map's beginning passes all the entries that
       * were deleted there, so one deletion per store would cost more with each.
       */
      const sweep = (now: number): void => {
        const keep = stored.size > capacity ? Math.ceil(capacity * 0.9) : capacity
        for (const [oldest, { expiresAt }] of stored) {
          sweepAt = expiresAt
          if (expiresAt > now && stored.size <= keep) return
          stored.delete(oldest)
        }
      }

      const store = (message: ResultMessage) =>
        Effect.sync(() => {
          const { taskId } = message
          const now = clock.currentTimeMillisUnsafe()
          const before = stored.get(taskId)
          if (before !== undefined) {
            if (before.message.status === TaskState.SUCCESS && before.expiresAt > now) return
            stored.delete(taskId)
          }
          stored.set(taskId, { message, expiresAt: now + expires })
          if (now >= sweepAt || stored.size > capacity) sweep(now)
          const watching = watchers.get(taskId)
          if (watching !== undefined) for (const watch of watching) watch(message)
        })

      const find = (taskId: string): ResultMessage | undefined => {
        const found = stored.get(taskId)
        return found !== undefined && found.expiresAt > clock.currentTimeMillisUnsafe() ? found.message : undefined
      }

      /** Returns what ends the watch. */
      const watch = (taskId: string, watcher: Watcher) => {
        const watching = watchers.get(taskId) ?? new Set()
        watching.add(watcher)
        watchers.set(taskId, watching)
        return () => {
          watching.delete(watcher)
          if (watching.size === 0) watchers.delete(taskId)
        }
      }

      /** Looks and watches in one step: between two a fiber may yield, and the result come. */
      const wait = (taskId: string): Effect.Effect<ResultMessage> =>
        Effect.callback((resume) => {
          const now = find(taskId)
          if (now !== undefined && TaskState.isReady(now.status)) return resume(Effect.succeed(now))
          const leave = watch(taskId, (message) => {
            if (!TaskState.isReady(message.status)) return
            leave()
            resume(Effect.succeed(message))
          })
          return Effect.sync(leave)
        })

      const changes = (taskId: string) =>
        Stream.callback<ResultMessage>((queue) =>
          Effect.acquireRelease(
            Effect.sync(() => {
              const emit = (message: ResultMessage) => {
                Queue.offerUnsafe(queue, message)
                if (TaskState.isReady(message.status)) Queue.endUnsafe(queue)
              }
              const leave = watch(taskId, emit)
              const now = find(taskId)
              if (now !== undefined) emit(now)
              return leave
            }),
            (leave) => Effect.sync(leave)
          )
        )

      return {
        store,
        get: (taskId) => Effect.sync(() => Option.fromUndefinedOr(find(taskId))),
        wait,
        changes,
        forget: (taskId) => Effect.sync(() => void stored.delete(taskId))
      }
    })
  )
