/**
 * What threads and processes have in common as platforms of Effect's workers. Unlike platform-node's these never wait before
 * they kill: the pool has asked politely before.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as Worker from "effect/workers/Worker"
import { WorkerError, WorkerReceiveError, WorkerSpawnError } from "effect/workers/WorkerError"
import { type PlatformMessage, type WorkerRunner, WorkerRunnerPlatform } from "effect/workers/WorkerRunner"

/** One child, as the pool's side sees it. */
export interface Handle {
  readonly postMessage: (message: unknown) => void
  /** `onDeath` is told once, and after the last message. */
  readonly listen: (onMessage: (message: unknown) => void, onDeath: (text: string, cause?: unknown) => void) => void
  /** Kills it at once, and waits until it is gone: a little, for the system may be slow, and its end is nobody's any more. */
  readonly kill: () => Promise<unknown>
}

/** How long a child that was killed is waited for. One in a system call that cannot be interrupted ends when that does. */
const killTimeout = "1 second"

const spawnFailed = (message: string, cause?: unknown) =>
  new WorkerError({ reason: new WorkerSpawnError({ message, cause }) })

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

/** The pool's side. What `spawn` throws is a `WorkerError`, and ends no fiber. */
export const layer = (
  place: "thread" | "process",
  spawn: () => Handle
): Layer.Layer<Worker.WorkerPlatform | Worker.Spawner> =>
  Layer.merge(
    Worker.layerSpawner(() => spawn),
    Layer.succeed(Worker.WorkerPlatform, platform(place))
  )

const platform = (place: "thread" | "process") =>
  Worker.makePlatform<() => Handle>()({
    setup: ({ worker: spawn, scope }) =>
      Effect.gen(function* () {
        const handle = yield* Effect.try({
          try: spawn,
          catch: (cause) => spawnFailed(`The ${place} could not be started: ${messageOf(cause)}`, cause)
        })
        yield* Scope.addFinalizer(
          scope,
          Effect.ignore(Effect.timeout(Effect.interruptible(Effect.promise(handle.kill)), killTimeout))
        )
        return handle
      }),
    listen: ({ port, emit, deferred }) =>
      Effect.sync(() =>
        port.listen(emit, (text, cause) => {
          const reason = new WorkerReceiveError({ message: `The ${place} ${text}`, cause })
          Deferred.doneUnsafe(deferred, Exit.fail(new WorkerError({ reason })))
        })
      )
  })

/** The way to the pool, as the child's side sees it. */
export interface Parent {
  readonly post: (message: unknown) => void
  /** Gives how to stop listening. */
  readonly listen: (onMessage: (message: unknown) => void, onError: (error: unknown) => void) => () => void
}

/** The child's side; nothing for one that was not started as a child. */
export const layerRunner = (parent: Parent | undefined): Layer.Layer<WorkerRunnerPlatform> =>
  Layer.succeed(WorkerRunnerPlatform, {
    start: <O, I>() =>
      parent === undefined
        ? Effect.fail(spawnFailed("This is no child of a pool"))
        : Effect.succeed(runner<O, I>(parent))
  })

const runner = <O, I>(parent: Parent): WorkerRunner<O, I> => {
  const sendUnsafe = (_port: number, message: O) => parent.post([1, message])
  return {
    sendUnsafe,
    send: (id, message) => Effect.sync(() => sendUnsafe(id, message)),
    run: <A, E, R>(handler: (port: number, message: I) => Effect.Effect<A, E, R> | void) =>
      Effect.scoped(
        Effect.gen(function* () {
          const fork = yield* FiberSet.makeRuntime<R, A, E>()
          const closed = Deferred.makeUnsafe<void, WorkerError>()
          const onMessage = (message: PlatformMessage<I>) => {
            if (message[0] === 1) return void Deferred.doneUnsafe(closed, Exit.void)
            const handled = handler(0, message[1])
            if (handled !== undefined) fork(handled)
          }
          const onError = (cause: unknown) => {
            const reason = new WorkerReceiveError({
              message: `A message could not be read: ${messageOf(cause)}`,
              cause
            })
            Deferred.doneUnsafe(closed, Exit.fail(new WorkerError({ reason })))
          }
          yield* Effect.acquireRelease(
            Effect.sync(() => {
              const stop = parent.listen((message) => onMessage(message as PlatformMessage<I>), onError)
              parent.post([0])
              return stop
            }),
            (stop) => Effect.sync(stop)
          )
          yield* Deferred.await(closed)
        })
      )
  }
}
