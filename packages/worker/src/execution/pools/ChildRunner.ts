/**
 * The child's side of `ChildPool`: builds the handlers once, then runs what it is sent. A runtime's door supplies the platform
 * (`@apium/worker/node` has it for worker threads and child processes).
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
import * as Tracing from "../../Tracing.ts"
import { Tasks } from "../../task/Tasks.ts"
import type { Outcome } from "../Outcome.ts"
import * as Protocol from "./ChildProtocol.ts"

/** What a child knows of itself. */
export interface Self {
  readonly place: "thread" | "process"
  /** Of its thread or process. */
  readonly id: number
  /** KiB of memory of its own; 0 for a thread, which shares its process's. */
  readonly resident: () => number
}

/**
 * Serves the pool until it says to close, or until the platform does. Handlers that cannot be built are reported to the pool,
 * not thrown: it decides what to do about a child that never gets ready.
 */
export const run = <E>(
  self: Self,
  handlers: Layer.Layer<never, E, Tasks>
): Effect.Effect<void, WorkerError, WorkerRunnerPlatform> =>
  Effect.gen(function* () {
    const runner = yield* (yield* WorkerRunnerPlatform).start<Protocol.FromChild, Protocol.ToChild>()
    yield* Effect.matchCauseEffect(Effect.scoped(serve(self, runner, handlers)), {
      onFailure: (cause) => runner.send(0, { _tag: "LoadFailed", text: TaskError.traceback(cause) }),
      onSuccess: () => runner.send(0, { _tag: "Closed" })
    })
  })

const serve = Effect.fnUntraced(function* <E>(
  self: Self,
  runner: WorkerRunner<Protocol.FromChild, Protocol.ToChild>,
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

  /** Fields no event can carry cost the event, as they do in the worker itself, and not the task. */
  const sendEvent =
    (id: number): TaskContext["Service"]["sendEvent"] =>
    (type, fields) =>
      Effect.suspend(() => {
        try {
          return runner.send(0, { _tag: "SendEvent", id, type, fields: Protocol.encodeFields(fields) })
        } catch (error) {
          return Effect.logDebug("An event could not be sent", { reason: (error as Json.JsonError).message })
        }
      })

  const perform = (id: number, text: string): Effect.Effect<Outcome> =>
    Effect.suspend(() => {
      const { call, info } = Protocol.decodeWork(text)
      const registered = tasks.find(info.name)
      if (registered === undefined) return Effect.succeed(failed(TaskError.notRegistered(info.name)))
      const performed = registered.perform(call, {
        ...info,
        parentId: Option.fromNullOr(info.parentId),
        updateState: updateState(id),
        sendEvent: sendEvent(id)
      })
      const trace = Tracing.parentOf(info.headers)
      return trace === undefined ? performed : Effect.withParentSpan(performed, trace)
    })

  const answer = (id: number, exit: Exit.Exit<Outcome>): Effect.Effect<void> =>
    Effect.suspend(() => {
      const outcome = Exit.isSuccess(exit) ? exit.value : broken(exit.cause, self)
      const text = Protocol.encodeOutcome(outcome, self.place)
      return runner.send(0, { _tag: "Outcome", id, outcome: text, resident: self.resident() })
    })

  const handle = (message: Protocol.ToChild): Effect.Effect<void> => {
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

  // What the pool sends from now on waits in the platform until the next line listens.
  yield* runner.send(0, { _tag: "Ready", child: self.id })
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
const broken = (cause: Cause.Cause<never>, { place }: Self): Outcome =>
  Cause.hasInterruptsOnly(cause)
    ? { _tag: "Lost", text: `The task was interrupted in its ${place}` }
    : failed(TaskError.toFailure(Cause.squash(cause)), TaskError.traceback(cause))
