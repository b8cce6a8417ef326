/** What the checks ask of a task that was sent. */
import { TaskFailed } from "@apium/worker/task/TaskError"
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { add } from "./tasks.ts"

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

/**
 * The first delay of a client declares the broker's queues for it, 28 of them, and the first revoke and the first result have their own to set up:
 * seconds, on a machine that has much to do.
 */
export const warm = Effect.gen(function* () {
  const sent = yield* add.applyAsync({ x: 1, y: 1 }, { countdown: "10 millis" })
  yield* sent.get
  yield* sent.revoke()
})
