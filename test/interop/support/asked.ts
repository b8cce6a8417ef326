/** What the checks ask of a task that was sent. */
import * as Control from "@apium/worker/control/Control"
import { TaskFailed } from "@apium/worker/task/TaskError"
import { assert } from "@effect/vitest"
import { Duration, Effect, Schedule } from "effect"

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
