/**
 * One execution from start to settled (celery/app/trace.py, in the order of WIRE 4.6.1): early acknowledgement, STARTED, the
 * handler, and what follows from its outcome (`Conclude`). Whatever happens in between, the delivery is settled exactly once,
 * and a late acknowledgement is the last thing that leaves: a crash before it runs the task again.
 */
import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type { Tracer } from "effect/Tracer"
import type { Publisher } from "../client/Publisher.ts"
import type { EventDispatcher } from "../events/EventDispatcher.ts"
import * as TaskError from "../task/TaskError.ts"
import type { Callbacks } from "./Callbacks.ts"
import * as Conclude from "./Conclude.ts"
import * as Discard from "./Discard.ts"
import * as Failpoint from "./Failpoint.ts"
import * as Middleware from "./Middleware.ts"
import type { Outcome } from "./Outcome.ts"
import type { Job, Pool } from "./Pool.ts"
import * as Request from "./Request.ts"
import type { Results } from "./Results.ts"
import * as Settling from "./Settling.ts"
import * as Tracing from "../Tracing.ts"

export interface Trace {
  readonly run: (request: Request.Request) => Effect.Effect<void>
  /** For a run whose fiber died without a word: what is no Effect, deep inside of a handler, takes its finalizers along. */
  readonly died: (request: Request.Request, cause: Cause.Cause<never>) => Effect.Effect<void>
}

export const make = (dependencies: {
  readonly pool: Pool["Service"]
  readonly results: Results
  readonly publisher: Publisher
  readonly callbacks: Callbacks
  readonly events: EventDispatcher["Service"]
  readonly clock: Clock.Clock
  readonly node: { readonly pid: number; readonly hostname: string }
  /** What remote control has set for a task. */
  readonly timeLimits: (task: string) => Request.TimeLimits | undefined
  readonly middleware: ReadonlyArray<Middleware.Middleware>
  /** A redelivered task whose SUCCESS is stored is not run again (Celery's `worker_deduplicate_successful_tasks`). */
  readonly deduplicateSuccessfulTasks: boolean
  readonly failpoint: Failpoint.At | undefined
  /** For a span of each run. */
  readonly tracer: Tracer | undefined
  /** The name of what the broker speaks. */
  readonly transport: string
}): Trace => {
  const { results, publisher, callbacks, events, clock, node, timeLimits, failpoint, tracer, transport } = dependencies
  const { deduplicateSuccessfulTasks } = dependencies
  const passing = Failpoint.passing(failpoint)
  const { conclude, interrupted, terminated, settle } = Conclude.make({
    results,
    publisher,
    callbacks,
    events,
    passing
  })
  const discard = Discard.make(results, callbacks, events)
  const run = Middleware.around(dependencies.pool.run, dependencies.middleware)

  const tracingOf = (request: Request.Request): Tracing.Run | undefined => {
    const {
      delivery,
      message: { headers }
    } = request
    return tracer === undefined && headers.extra.traceparent === undefined
      ? undefined
      : Tracing.processing(tracer, clock, {
          task: headers.task,
          id: headers.id,
          rootId: headers.rootId,
          destination: delivery.queue,
          transport,
          headers: headers.extra,
          retries: headers.retries,
          redelivered: Request.redelivered(request)
        })
  }

  const jobOf = (request: Request.Request): Job => {
    const { registered, message } = request
    const { headers } = message
    return {
      registered,
      call: message,
      info: Request.info(request, timeLimits(headers.task)),
      // One that was abandoned goes on, and its state is final by now.
      updateState: (state, meta) =>
        Effect.suspend(() => (request.ended === true ? Effect.void : results.custom(headers, state, meta))),
      // With or without `-E`: the dispatcher knows which events that turns off.
      sendEvent: (type, fields) => Effect.sync(() => events.send(type, { ...fields, uuid: headers.id }))
    }
  }

  /** What an earlier run stored is what this one gives: callbacks and chain that may not have left with it are sent all the same. */
  const deduplicated = (request: Request.Request, job: Job): Effect.Effect<Outcome> =>
    Effect.flatMap(
      results.succeeded(request.message.headers),
      Option.match({
        onNone: () => run(job),
        onSome: (value) =>
          Effect.as(Effect.logInfo("A task that has succeeded before is not run again", Settling.about(request)), {
            _tag: "Success",
            value
          } as const)
      })
    )

  const start = (request: Request.Request): Effect.Effect<void> =>
    Effect.uninterruptibleMask((restore) => {
      const { registered, message } = request
      const { headers } = message
      const now = clock.currentTimeMillisUnsafe()
      if (request.expiresAt !== undefined && request.expiresAt <= now) return Settling.late(discard(request, "expired"))
      if (request.terminated !== undefined) return terminated(request, request.terminated.signal)
      request.timeStart = now
      if (events.enabled()) events.send("task-started", { uuid: headers.id })
      const started = clock.monotonicTimeNanosUnsafe()
      const tracing = tracingOf(request)
      request.trace = tracing?.headers
      const job = jobOf(request)
      request.job = job
      const again = deduplicateSuccessfulTasks && Request.redelivered(request) && Request.acksLate(request)
      const untraced = again ? deduplicated(request, job) : run(job)
      const running = tracing === undefined ? untraced : tracing.around(untraced)
      const handled = Effect.flatMap(passing("after-run", headers.id, Effect.exit(restore(running))), (exit) => {
        request.ended = true
        tracing?.end(exit)
        return Exit.isSuccess(exit)
          ? conclude(request, exit.value, Number(clock.monotonicTimeNanosUnsafe() - started) / 1e9)
          : Cause.hasInterrupts(exit.cause)
            ? interrupted(request)
            : conclude(request, broken(exit.cause), 0)
      })
      let first: Effect.Effect<void> | undefined
      const before = (effect: Effect.Effect<void>) => {
        first = first === undefined ? effect : Effect.andThen(first, effect)
      }
      if (!Request.acksLate(request) && request.noAck !== true) before(settle(request, "ack"))
      if (registered.task.options.trackStarted === true) before(results.started(Request.resultOf(request), node))
      if (failpoint !== undefined) before(failpoint("after-accept", headers.id))
      return first === undefined ? handled : Effect.andThen(first, handled)
    })

  return { run: start, died: (request, cause) => conclude(request, broken(cause), 0) }
}

/** A pool never fails; one that does would fail again for the same message, for ever. */
const broken = (cause: Cause.Cause<never>): Outcome => ({
  _tag: "Failure",
  failure: TaskError.toFailure(Cause.squash(cause)),
  traceback: TaskError.traceback(cause)
})
