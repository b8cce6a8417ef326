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
import { Aging } from "./Aging.ts"
import * as MemoryChords from "./MemoryChords.ts"

export interface Options {
  /** Celery's `result_expires`; default one day. */
  readonly expires?: Duration.Input | undefined
  /** The most results kept; default 1,000,000. */
  readonly capacity?: number | undefined
  /** Celery's `result_extended`: a result says name, arguments, worker, retries and queue, too. Default `false`. */
  readonly extended?: boolean | undefined
}

type Watcher = (message: ResultMessage) => void

export const layer: Layer.Layer<ResultBackend> = Layer.suspend(() => layerWith({}))

export const layerWith = (options: Options): Layer.Layer<ResultBackend> =>
  Layer.effect(
    ResultBackend,
    Effect.map(Clock.Clock, (clock) => {
      const expires = Duration.toMillis(options.expires ?? "1 day")
      const stored = new Aging<ResultMessage>(clock, expires, options.capacity ?? 1_000_000)
      const watchers = new Map<string, Set<Watcher>>()

      const store = (message: ResultMessage) =>
        Effect.sync(() => {
          const { taskId } = message
          if (stored.get(taskId)?.status === TaskState.SUCCESS) return
          stored.set(taskId, message)
          const watching = watchers.get(taskId)
          if (watching !== undefined) for (const watch of watching) watch(message)
        })

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
          const now = stored.get(taskId)
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
              const now = stored.get(taskId)
              if (now !== undefined) emit(now)
              return leave
            }),
            (leave) => Effect.sync(leave)
          )
        )

      return {
        extended: options.extended ?? false,
        store,
        get: (taskId) => Effect.sync(() => Option.fromUndefinedOr(stored.get(taskId))),
        wait,
        changes,
        forget: (taskId) => Effect.sync(() => stored.delete(taskId)),
        ...MemoryChords.make(clock, expires)
      }
    })
  )
