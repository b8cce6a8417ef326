/**
 * Handlers in threads of their own, for tasks that compute: each thread builds the handlers once and runs one job at a time.
 * A runtime's door supplies the threads (`@apium/worker/node`: `layerThreadPool`), and `ThreadRunner` is what they run.
 *
 * What goes wrong in a thread stays there. One that dies, or that has to be terminated, ends its job as a `WorkerLostError`
 * and is replaced; one that cannot be started again is tried again, later and later. While none is left to run them, waiting
 * jobs fail with each attempt that does: a queue is not emptied into failures, and nothing hangs.
 */
import type { Failure } from "@apium/protocol/celery/ResultMessage"
import * as Json from "@apium/protocol/kombu/Json"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { type Spawner, WorkerPlatform } from "effect/workers/Worker"
import { WorkerError, WorkerSpawnError, WorkerUnknownError } from "effect/workers/WorkerError"
import * as TaskError from "../../task/TaskError.ts"
import type { Outcome } from "../Outcome.ts"
import { type Job, Pool } from "../Pool.ts"
import * as Protocol from "./ThreadProtocol.ts"

export interface Options {
  /** How many threads; at least one. */
  readonly size: number
  /** How long a thread may take to end an interrupted job, or to close its handlers, before it is terminated. Default 5 s. */
  readonly grace?: Duration.Input | undefined
  /** How long a thread may take to load and build its handlers. Default 1 minute. */
  readonly startTimeout?: Duration.Input | undefined
}

/**
 * Built when all threads are ready; a thread that cannot be started fails the layer. Closing it waits for no job: an idle
 * thread closes its handlers' layer, a busy one is terminated.
 */
export const layer = (options: Options): Layer.Layer<Pool, WorkerError, WorkerPlatform | Spawner> =>
  Layer.effect(Pool, make(options))

/** A job on its way. */
interface Entry {
  readonly id: number
  readonly job: Job
  readonly work: string
  readonly outcome: Deferred.Deferred<Outcome>
  /** Done when there is an outcome, or when nobody wants one any more. */
  readonly turn: Deferred.Deferred<void>
}

const end = (entry: Entry, outcome: Outcome): void => {
  Deferred.doneUnsafe(entry.outcome, Exit.succeed(outcome))
  Deferred.doneUnsafe(entry.turn, Exit.void)
}

const failed = (failure: Failure): Outcome => ({ _tag: "Failure", failure, traceback: null })

const lost = (text: string): Outcome => failed(TaskError.workerLost(text))

/** Between failed starts: 100 ms, doubling up to 10 s. */
const backoff = (failures: number): Duration.Duration => Duration.millis(Math.min(10_000, 50 * 2 ** failures))

const make = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<Pool["Service"], WorkerError, WorkerPlatform | Spawner | Scope.Scope> {
  const platform = yield* WorkerPlatform
  const grace = Duration.fromInputUnsafe(options.grace ?? "5 seconds")
  const startTimeout = Duration.fromInputUnsafe(options.startTimeout ?? "1 minute")
  const waiting = new Set<Entry>()
  const work = Latch.makeUnsafe()
  const closing = Deferred.makeUnsafe<void>()
  const size = Math.max(1, options.size)
  let lastId = 0
  let ready = 0

  const failWaiting = (text: string): void => {
    for (const entry of waiting) end(entry, lost(text))
    waiting.clear()
  }

  /** One thread, from its start to its end: a failure, unless the pool closes. */
  const live = (id: number, life: Life): Effect.Effect<void, WorkerError, Spawner> =>
    Effect.gen(function* () {
      const worker = yield* platform.spawn<Protocol.FromThread, Protocol.ToThread>(id)
      const started = Deferred.makeUnsafe<void>()
      const closed = Deferred.makeUnsafe<void>()

      const receive = (message: Protocol.FromThread): Effect.Effect<void, WorkerError> => {
        switch (message._tag) {
          case "Outcome":
            return Effect.sync(() => {
              if (life.running?.id === message.id) end(life.running, Protocol.decodeOutcome(message.outcome))
            })
          case "UpdateState": {
            const { id, request, state, meta } = message
            return Effect.flatMap(
              Effect.exit(
                life.running?.id === id ? life.running.job.updateState(state, Json.parse(meta)) : Effect.void
              ),
              (exit) => worker.send({ _tag: "StateUpdated", request, stored: Protocol.encodeStored(exit) })
            )
          }
          case "LoadFailed":
            return Effect.fail(new WorkerError({ reason: new WorkerSpawnError({ message: message.text }) }))
          case "Closed":
            return Effect.asVoid(Deferred.succeed(closed, undefined))
        }
      }

      const take: Effect.Effect<Entry> = Effect.suspend(() => {
        for (const entry of waiting) {
          waiting.delete(entry)
          life.running = entry
          life.served = true
          return Effect.succeed(entry)
        }
        work.closeUnsafe()
        return Effect.andThen(work.await, take)
      })

      const interrupt = (entry: Entry) =>
        Effect.andThen(
          worker.send({ _tag: "Interrupt", id: entry.id }),
          Effect.timeoutOrElse(Deferred.await(entry.outcome), {
            duration: grace,
            orElse: () => unresponsive(`did not end an interrupted task within ${Duration.format(grace)}`)
          })
        )

      const serveOne = Effect.gen(function* () {
        const entry = yield* take
        yield* worker.send({ _tag: "Run", id: entry.id, work: entry.work })
        yield* Deferred.await(entry.turn)
        if (!Deferred.isDoneUnsafe(entry.outcome)) yield* interrupt(entry)
        life.running = undefined
      })

      const serve = Deferred.await(started).pipe(
        Effect.timeoutOrElse({
          duration: startTimeout,
          orElse: () => unresponsive(`was not ready within ${Duration.format(startTimeout)}`)
        }),
        Effect.andThen(Effect.forever(serveOne))
      )

      const close = Effect.suspend(() =>
        life.ready && (life.running === undefined || Deferred.isDoneUnsafe(life.running.outcome))
          ? Effect.andThen(worker.send({ _tag: "Close" }), Effect.timeoutOption(Deferred.await(closed), grace))
          : Effect.void
      )

      const announce = Effect.sync(() => {
        life.ready = true
        ready++
        life.onReady()
        Deferred.doneUnsafe(started, Exit.void)
      })

      yield* Effect.raceFirst(
        worker.run(receive, { onSpawn: announce }),
        Effect.andThen(Effect.raceFirst(serve, Deferred.await(closing)), close)
      )
    }).pipe(
      Effect.catchDefect((cause) =>
        Effect.fail(
          new WorkerError({ reason: new WorkerSpawnError({ message: `The thread failed: ${String(cause)}`, cause }) })
        )
      ),
      Effect.onExit((exit) =>
        Effect.sync(() => {
          if (life.ready) ready--
          if (life.running !== undefined) end(life.running, lost(reason(exit)))
        })
      )
    )

  /** Keeps one thread alive until the pool closes. `first` is done when it is ready for the first time, or failed to be. */
  const supervise = Effect.fnUntraced(function* (id: number, first: Deferred.Deferred<void, WorkerError>) {
    let failures = 0
    while (!Deferred.isDoneUnsafe(closing)) {
      const life = newLife(() => Deferred.doneUnsafe(first, Exit.void))
      const exit = yield* Effect.exit(live(id, life))
      if (Exit.isSuccess(exit) || Deferred.isDoneUnsafe(closing)) break
      // Not ready once: the layer fails.
      if (Deferred.doneUnsafe(first, exit)) break
      const text = reason(exit)
      yield* Effect.logWarning("A thread of the pool died and is replaced", { thread: id, reason: text })
      failures = life.served ? 0 : failures + 1
      if (failures === 0) continue
      if (ready === 0) failWaiting(`No thread could be started: ${text}`)
      yield* Effect.raceFirst(Effect.sleep(backoff(failures)), Deferred.await(closing))
    }
  })

  const threads = yield* Effect.forEach(
    Array.from({ length: size }, (_, id) => id),
    (id) =>
      Effect.gen(function* () {
        const first = Deferred.makeUnsafe<void, WorkerError>()
        const fiber = yield* Effect.forkScoped(supervise(id, first))
        return { first, fiber }
      })
  )
  yield* Effect.addFinalizer(() =>
    Effect.suspend(() => {
      Deferred.doneUnsafe(closing, Exit.void)
      failWaiting("The thread pool was closed")
      return Effect.asVoid(Fiber.awaitAll(threads.map(({ fiber }) => fiber)))
    })
  )
  yield* Effect.forEach(threads, ({ first }) => Deferred.await(first), { concurrency: "unbounded", discard: true })

  const enter = (job: Job): Entry | Outcome => {
    if (Deferred.isDoneUnsafe(closing)) return lost("The thread pool was closed")
    try {
      const entry: Entry = {
        id: ++lastId,
        job,
        work: Protocol.encodeWork(job),
        outcome: Deferred.makeUnsafe(),
        turn: Deferred.makeUnsafe()
      }
      waiting.add(entry)
      work.openUnsafe()
      return entry
    } catch (error) {
      const { message } = error as Json.JsonError
      return failed(TaskError.typeError(`The call cannot enter a thread: ${message}`))
    }
  }

  const leave = (entry: Entry): Effect.Effect<void> =>
    Effect.suspend(() => {
      if (waiting.delete(entry)) return Effect.void
      Deferred.doneUnsafe(entry.turn, Exit.void)
      return Effect.asVoid(Deferred.await(entry.outcome))
    })

  return {
    name: "thread",
    size: () => size,
    kill: () => Effect.void,
    resize: () => Effect.void,
    stats: () => ({ implementation: "thread", "max-concurrency": size }),
    run: (job) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.suspend(() => {
          const entry = enter(job)
          return "_tag" in entry
            ? Effect.succeed(entry)
            : Effect.onInterrupt(restore(Deferred.await(entry.outcome)), () => leave(entry))
        })
      )
  }
})

/** What is known of one thread while it lives. */
interface Life {
  readonly onReady: () => void
  ready: boolean
  /** Took a job: it was good for something, and is replaced at once. */
  served: boolean
  running: Entry | undefined
}

const newLife = (onReady: () => void): Life => ({ onReady, ready: false, served: false, running: undefined })

const unresponsive = (text: string): Effect.Effect<never, WorkerError> =>
  Effect.fail(new WorkerError({ reason: new WorkerUnknownError({ message: `The thread ${text}` }) }))

const reason = (exit: Exit.Exit<unknown, WorkerError>): string =>
  Option.match(Exit.findErrorOption(exit), {
    onNone: () => "The thread was terminated",
    onSome: ({ message }) => message
  })
