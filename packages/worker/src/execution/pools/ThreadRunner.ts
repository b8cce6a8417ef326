/**
 * The thread's side of `ThreadPool`: builds the handlers once, then runs what it is sent. A runtime's door
 * supplies the platform (`@apium/worker/node` has it for worker threads).
 */
import type { HubError } from "@apium/hub/HubError"
import type { Failure } from "@apium/protocol/celery/ResultMessage"
import * as Json from "@apium/protocol/kombu/Json"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberMap from "effect/FiberMap"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { WorkerError } from "effect/workers/WorkerError"
import { type WorkerRunner, WorkerRunnerPlatform } from "effect/workers/WorkerRunner"
import type { TaskContext } from "../../task/TaskContext.ts"
import * as TaskError from "../../task/TaskError.ts"
import { Tasks } from "../../task/Tasks.ts"
import type { Outcome } from "../Outcome.ts"
import * as Protocol from "./ThreadProtocol.ts"

/**
 * Serves the pool until it says to close, or until the platform does. Handlers that cannot be built are reported to the pool,
 * not thrown: it decides what to do about a thread that never gets ready.
 */
export const run = <E>(
  handlers: Layer.Layer<never, E, Tasks>
): Effect.Effect<void, WorkerError, WorkerRunnerPlatform> =>
  Effect.gen(function* () {
    const runner = yield* (yield* WorkerRunnerPlatform).start<Protocol.FromThread, Protocol.ToThread>()
    yield* Effect.matchCauseEffect(Effect.scoped(serve(runner, handlers)), {
      onFailure: (cause) => runner.send(0, { _tag: "LoadFailed", text: TaskError.traceback(cause) }),
      onSuccess: () => runner.send(0, { _tag: "Closed" })
    })
  })

const serve = Effect.fnUntraced(function* <E>(
  runner: WorkerRunner<Protocol.FromThread, Protocol.ToThread>,
  handlers: Layer.Layer<never, E, Tasks>
) {
  const tasks = Context.get(yield* Layer.build(Layer.provideMerge(handlers, Tasks.layer)), Tasks)
  const running = yield* FiberMap.make<number, Outcome>()
  const fork = yield* FiberSet.makeRuntime<never, void, never>()
  const closing = Deferred.makeUnsafe<void>()
  const updates = new Map<number, Deferred.Deferred<void, HubError>>()
  let lastRequest = 0

  const updateState =
    (id: number): TaskContext["Service"]["updateState"] =>
    (state, meta) =>
      Effect.suspend(() => {
        const request = ++lastRequest
        const answer = Deferred.makeUnsafe<void, HubError>()
        const message = { _tag: "UpdateState", id, request, state, meta: Json.stringify(meta) } as const
        updates.set(request, answer)
        return runner
          .send(0, message)
          .pipe(Effect.andThen(Deferred.await(answer)), Effect.ensuring(Effect.sync(() => updates.delete(request))))
      })

  const perform = (id: number, text: string): Effect.Effect<Outcome> =>
    Effect.suspend(() => {
      const { call, info } = Protocol.decodeWork(text)
      const registered = tasks.find(info.name)
      if (registered === undefined) return Effect.succeed(failed(TaskError.notRegistered(info.name)))
      return registered.perform(call, {
        ...info,
        parentId: Option.fromNullOr(info.parentId),
        updateState: updateState(id),
        sendEvent: () => Effect.void
      })
    })

  const answer = (id: number, exit: Exit.Exit<Outcome>): Effect.Effect<void> =>
    Effect.suspend(() => {
      const outcome = Exit.isSuccess(exit) ? exit.value : broken(exit.cause)
      return runner.send(0, { _tag: "Outcome", id, outcome: Protocol.encodeOutcome(outcome) })
    })

  const handle = (message: Protocol.ToThread): Effect.Effect<void> => {
    switch (message._tag) {
      case "Run": {
        const { id, work } = message
        // By an observer, and not a finalizer: what is no Effect, deep inside of a handler, takes its finalizers along.
        return Effect.map(FiberMap.run(running, id, perform(id, work)), (fiber) =>
          fiber.addObserver((exit) => fork(answer(id, exit)))
        )
      }
      case "Interrupt":
        return FiberMap.remove(running, message.id)
      case "StateUpdated":
        return Effect.sync(() => {
          const waiting = updates.get(message.request)
          if (waiting !== undefined) Deferred.doneUnsafe(waiting, Protocol.decodeStored(message.stored))
        })
      case "Close":
        return Effect.asVoid(Deferred.succeed(closing, undefined))
    }
  }

  yield* Effect.raceFirst(
    runner.run((_port, message) => handle(message)),
    Deferred.await(closing)
  )
})

const failed = (failure: Failure, traceback: string | null = null): Outcome => ({
  _tag: "Failure",
  failure,
  traceback
})

/** Interrupted, which nobody waits for, or work that could not be read. */
const broken = (cause: Cause.Cause<never>): Outcome =>
  Cause.hasInterruptsOnly(cause)
    ? failed(TaskError.workerLost("The task was interrupted in its thread"))
    : failed(TaskError.toFailure(Cause.squash(cause)), TaskError.traceback(cause))
