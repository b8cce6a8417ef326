/** What the checks ask of a task that was sent. */
import * as Control from "@apium/worker/control/Control"
import { TaskFailed } from "@apium/worker/task/TaskError"
import { assert } from "@effect/vitest"
import { Duration, Effect, Option, Schedule } from "effect"

interface Handle<A, E> {
  readonly get: Effect.Effect<A, E>
}

export const get = <A, E, E2, R>(sent: Effect.Effect<Handle<A, E>, E2, R>) =>
  Effect.flatMap(sent, (result) => result.get)

/** Why it failed. */
export const failure = <A, E, E2, R>(sent: Effect.Effect<Handle<A, E>, E2, R>) =>
  Effect.map(Effect.flip(get(sent)), (error) => {
    assert.instanceOf(error, TaskFailed)
    return error
  })

/** What has to be done within some seconds of its beginning: with more of them when the machine was held up for as long. */
export const inTime = <A, E, R>(act: (time: Duration.Duration) => Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    for (const time of ["2 seconds", "10 seconds", "40 seconds"] as const) {
      const began = performance.now()
      const done = yield* act(Duration.fromInputUnsafe(time))
      if (performance.now() - began < Duration.toMillis(time)) return done
    }
    return assert.fail("not in 40 seconds")
  })

/** It was over before the task's `try`. */
const uncaught = (error: unknown) => error instanceof TaskFailed && error.excType === "SoftTimeLimitExceeded"

/**
 * What comes of a soft limit, which counts from when Python's pool took the task. One that is over before the first line of the task's own runs
 * ends it without a result, and nobody is ever told (celery/app/trace.py `report_internal_error`): once more, with a longer one, as the machine
 * was held up for as long.
 */
export const limited = <A, E, R>(act: (softTimeLimit: Duration.Duration) => Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    for (const seconds of [1, 10]) {
      const limit = Duration.seconds(seconds)
      const came = yield* Effect.timeoutOption(act(limit), Duration.sum(limit, Duration.seconds(20))).pipe(
        Effect.catchIf(uncaught, () => Effect.succeedNone)
      )
      if (Option.isSome(came)) return came.value
    }
    return yield* act(Duration.seconds(40))
  })

/** When the only worker there is knows that these are revoked. */
export const knownRevoked = (ids: ReadonlyArray<string>) =>
  Effect.repeat(Control.inspect.revoked({ limit: 1, timeout: "20 seconds" }), {
    until: ([only]) => only !== undefined && !Control.isFailed(only.reply) && ids.every((id) => isIn(only.reply, id)),
    schedule: Schedule.spaced("20 millis")
  }).pipe(
    Effect.timeoutOrElse({
      duration: "1 minute",
      orElse: () => Effect.sync(() => assert.fail(`the worker does not know that ${ids.join()} is revoked`))
    })
  )

const isIn = (reply: unknown, id: string) => Array.isArray(reply) && reply.includes(id)
