/**
 * One child of `ChildPool`, a thread or a process, from its start to its end. It ends well when it is worn out (as many tasks
 * as it may run, more memory than it may have), or when the pool has no use for it; and badly when it dies, or has to be
 * killed. Either way the job it had has an outcome.
 */
import * as Json from "@apium/protocol/kombu/Json"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import { type Spawner, WorkerPlatform } from "effect/workers/Worker"
import { WorkerError, WorkerSpawnError, WorkerUnknownError } from "effect/workers/WorkerError"
import * as ChildJob from "./ChildJob.ts"
import * as Protocol from "./ChildProtocol.ts"

export interface Child {
  /** Of its thread or process; known while it is ready. */
  id: number | undefined
  /** How many jobs it took. */
  tasks: number
  /** KiB, after its last job. */
  resident: number
  running: ChildJob.ChildJob | undefined
}

export const make = (): Child => ({ id: undefined, tasks: 0, resident: 0, running: undefined })

export interface Settings {
  readonly place: "thread" | "process"
  readonly grace: Duration.Duration
  readonly startTimeout: Duration.Duration
  readonly maxTasksPerChild: number
  /** KiB. */
  readonly maxMemoryPerChild: number
}

/** What a child wants of its pool. */
export interface Owner {
  /** Waits for a job and gives it to the child; nothing when the child is to close. */
  readonly take: (child: Child) => Effect.Effect<ChildJob.ChildJob | undefined>
  /** Done when the pool closes. */
  readonly closing: Deferred.Deferred<void>
  readonly onReady: () => void
}

/** `slot` tells the children of a pool apart. Succeeds when the child was closed, fails when it died or was killed. */
export const live = (
  slot: number,
  child: Child,
  { place, grace, startTimeout, maxTasksPerChild, maxMemoryPerChild }: Settings,
  { take, closing, onReady }: Owner
): Effect.Effect<void, WorkerError, WorkerPlatform | Spawner> =>
  Effect.gen(function* () {
    const worker = yield* (yield* WorkerPlatform).spawn<Protocol.FromChild, Protocol.ToChild>(slot)
    const started = Deferred.makeUnsafe<void>()
    const closed = Deferred.makeUnsafe<void>()

    const unfit = (text: string): Effect.Effect<never, WorkerError> =>
      Effect.fail(new WorkerError({ reason: new WorkerUnknownError({ message: `The ${place} ${text}` }) }))

    /** The job of this id, if the child still has it. */
    const jobOf = (id: number) => (child.running?.id === id ? child.running : undefined)

    const receive = (message: Protocol.FromChild): Effect.Effect<void, WorkerError> => {
      switch (message._tag) {
        case "Ready":
          return Effect.sync(() => {
            child.id = message.child
            onReady()
            Deferred.doneUnsafe(started, Exit.void)
          })
        case "Outcome":
          return Effect.sync(() => {
            const job = jobOf(message.id)
            child.resident = message.resident
            if (job !== undefined) ChildJob.end(job, Protocol.decodeOutcome(message.outcome))
          })
        case "UpdateState": {
          const { id, request, state, meta } = message
          return Effect.flatMap(
            Effect.exit(jobOf(id)?.job.updateState(state, Json.parse(meta)) ?? Effect.void),
            (exit) => worker.send({ _tag: "StateUpdated", request, stored: Protocol.encodeStored(exit) })
          )
        }
        case "SendEvent":
          return jobOf(message.id)?.job.sendEvent(message.type, Protocol.decodeFields(message.fields)) ?? Effect.void
        case "LoadFailed":
          return Effect.fail(new WorkerError({ reason: new WorkerSpawnError({ message: message.text }) }))
        case "Closed":
          return Effect.asVoid(Deferred.succeed(closed, undefined))
      }
    }

    /** Until the job has an outcome, or nobody wants one any more. */
    const turn = (job: ChildJob.ChildJob): Effect.Effect<void, WorkerError> => {
      const limit = ChildJob.limitOf(job, Duration.toSeconds(grace))
      if (limit === undefined) return Deferred.await(job.turn)
      return Effect.timeoutOrElse(Deferred.await(job.turn), {
        duration: limit.seconds * 1000,
        orElse: () => {
          job.killed = true
          ChildJob.end(job, limit.outcome)
          return unfit(limit.text)
        }
      })
    }

    const interrupt = ({ id, outcome }: ChildJob.ChildJob) =>
      Effect.andThen(
        worker.send({ _tag: "Interrupt", id }),
        Effect.timeoutOrElse(Deferred.await(outcome), {
          duration: grace,
          orElse: () => unfit(`did not end an interrupted task within ${Duration.format(grace)}`)
        })
      )

    const serveOne = Effect.fnUntraced(function* (job: ChildJob.ChildJob) {
      yield* worker.send({ _tag: "Run", id: job.id, work: job.work })
      yield* turn(job)
      if (!ChildJob.hasEnded(job)) yield* interrupt(job)
      if (job.killed) return yield* unfit("was killed to end its task")
      child.running = undefined
    })

    const isWorn = () => child.tasks >= maxTasksPerChild || child.resident > maxMemoryPerChild

    const serve = Effect.gen(function* () {
      yield* Effect.timeoutOrElse(Deferred.await(started), {
        duration: startTimeout,
        orElse: () => unfit(`was not ready within ${Duration.format(startTimeout)}`)
      })
      while (!isWorn()) {
        const job = yield* take(child)
        if (job === undefined) return
        yield* serveOne(job)
      }
    })

    const isIdle = ({ running }: Child): boolean =>
      running === undefined || (ChildJob.hasEnded(running) && !running.killed)

    const close = Effect.suspend(() =>
      child.id !== undefined && isIdle(child)
        ? Effect.andThen(worker.send({ _tag: "Close" }), Effect.timeoutOption(Deferred.await(closed), grace))
        : Effect.void
    )

    yield* Effect.raceFirst(
      worker.run(receive),
      Effect.andThen(Effect.raceFirst(serve, Deferred.await(closing)), close)
    )
  }).pipe(
    Effect.catchDefect((cause) =>
      Effect.fail(
        new WorkerError({ reason: new WorkerSpawnError({ message: `The ${place} failed: ${String(cause)}`, cause }) })
      )
    ),
    Effect.onExit((exit) =>
      Effect.sync(() => {
        child.id = undefined
        if (child.running !== undefined) ChildJob.end(child.running, ChildJob.lost(reasonOf(exit, place)))
      })
    )
  )

export const reasonOf = (exit: Exit.Exit<unknown, WorkerError>, place: Settings["place"]): string =>
  Option.match(Exit.findErrorOption(exit), {
    onNone: () => `The ${place} was terminated`,
    onSome: ({ message }) => message
  })
