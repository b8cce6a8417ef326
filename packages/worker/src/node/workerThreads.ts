/**
 * Effect's worker platform over `node:worker_threads`, both sides, the same on Node, Bun and Deno. Unlike platform-node's it
 * never waits before it terminates: the pool has asked politely before.
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
import * as Threads from "node:worker_threads"

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

const received = (message: string, cause?: unknown) =>
  new WorkerError({ reason: new WorkerReceiveError({ message, cause }) })

/** The pool's side. What `spawn` throws is a `WorkerError`, and ends no fiber. */
export const layer = (spawn: (id: number) => Threads.Worker): Layer.Layer<Worker.WorkerPlatform | Worker.Spawner> =>
  Layer.merge(
    Worker.layerSpawner((id) => () => spawn(id)),
    Layer.succeed(Worker.WorkerPlatform, platform)
  )

const platform = Worker.makePlatform<() => Threads.Worker>()({
  setup: ({ worker: spawn, scope }) =>
    Effect.gen(function* () {
      const thread = yield* Effect.try({
        try: spawn,
        catch: (cause) =>
          new WorkerError({
            reason: new WorkerSpawnError({ message: `The thread could not be started: ${messageOf(cause)}`, cause })
          })
      })
      let alive = true
      thread.once("exit", () => {
        alive = false
      })
      yield* Scope.addFinalizer(
        scope,
        Effect.suspend(() => (alive ? Effect.promise(() => thread.terminate()) : Effect.void))
      )
      return thread
    }),
  listen: ({ port: thread, emit, deferred }) =>
    Effect.sync(() => {
      const die = (error: WorkerError) => void Deferred.doneUnsafe(deferred, Exit.fail(error))
      thread.on("message", emit)
      thread.on("messageerror", (cause) => die(received(`A message could not be read: ${messageOf(cause)}`, cause)))
      thread.on("error", (cause) => die(received(`The thread died of: ${messageOf(cause)}`, cause)))
      thread.on("exit", (code) => die(received(`The thread exited with code ${code}`)))
    })
})

/** The thread's side. */
export const layerRunner: Layer.Layer<WorkerRunnerPlatform> = Layer.succeed(WorkerRunnerPlatform, {
  start: <O, I>() =>
    Effect.suspend(() => {
      const port = Threads.parentPort
      return port === null
        ? Effect.fail(new WorkerError({ reason: new WorkerSpawnError({ message: "This is no worker thread" }) }))
        : Effect.succeed(runner<O, I>(port))
    })
})

const runner = <O, I>(port: Threads.MessagePort): WorkerRunner<O, I> => {
  const sendUnsafe = (_port: number, message: O) => port.postMessage([1, message])
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
          const onMessageError = (cause: unknown) =>
            void Deferred.doneUnsafe(
              closed,
              Exit.fail(received(`A message could not be read: ${messageOf(cause)}`, cause))
            )
          yield* Effect.acquireRelease(
            Effect.sync(() => {
              port.on("message", onMessage)
              port.on("messageerror", onMessageError)
              port.postMessage([0])
            }),
            () =>
              Effect.sync(() => {
                port.off("message", onMessage)
                port.off("messageerror", onMessageError)
              })
          )
          yield* Deferred.await(closed)
        })
      )
  }
}
