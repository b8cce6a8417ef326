/**
 * What becomes of tasks. By their results, where those are shared: whatever was killed or restarted meanwhile, each is told. Where they are
 * not, by the events of whoever runs them, which are no promise: those of a moment in which the link is away are gone.
 */
import type { Connection } from "@apium/hub/Connection"
import { HubError } from "@apium/hub/HubError"
import type { Event } from "@apium/protocol/celery/EventMessage"
import type { AsyncResult } from "@apium/worker/client/AsyncResult"
import * as EventReceiver from "@apium/worker/events/EventReceiver"
import * as Console from "effect/Console"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { duration, plural, printable } from "./text.ts"

/** How a task ended, by its id. */
export type Outcome = readonly [id: string, text: string]

export type Outcomes = Queue.Queue<Outcome, HubError>

/** Of those that will be followed. */
export const none: Effect.Effect<Outcomes> = Queue.unbounded()

/** By events, of all tasks there are. When this returns, nothing is missed any more. */
export const listen: Effect.Effect<Outcomes, HubError, Connection | Scope.Scope> = Effect.gen(function* () {
  const outcomes = yield* Queue.unbounded<Outcome, HubError>()
  const ready = yield* Deferred.make<void>()
  const onReady = Effect.asVoid(Deferred.succeed(ready, undefined))
  yield* EventReceiver.stream({ routingKey: "task.#", onReady }).pipe(
    Stream.runForEach((event) => {
      const { uuid } = event.fields
      const text = outcome(event)
      return typeof uuid === "string" && text !== undefined ? Queue.offer(outcomes, [uuid, text]) : Effect.void
    }),
    Effect.catch((error) => Queue.fail(outcomes, error)),
    Effect.forkScoped({ startImmediately: true })
  )
  yield* Deferred.await(ready)
  return outcomes
})

/** `undefined` while it is not over. */
export const outcome = ({ fields, type }: Event): string | undefined => {
  const why = typeof fields.exception === "string" ? printable(fields.exception) : ""
  switch (type) {
    case "task-succeeded":
      return typeof fields.runtime === "number" ? `succeeded in ${duration(fields.runtime)}` : "succeeded"
    case "task-failed":
      return `failed: ${why}`
    case "task-revoked":
      return "was revoked"
    case "task-rejected":
      return "was rejected"
    default:
      return undefined
  }
}

/** Waits for as long as it takes: for a backend that is away, too. */
export const patient = <A, E>(get: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.catchIf(
    get,
    (error) => error instanceof HubError && error.recoverable,
    () => Effect.andThen(Effect.sleep("1 second"), patient(get))
  )

/** One task, by its result, which nobody else is to have. */
export const follow = <A, E extends Error>(
  outcomes: Outcomes,
  result: AsyncResult<A, E>,
  format: (value: A) => string
): Effect.Effect<void, never, Scope.Scope> =>
  patient(result.get).pipe(
    Effect.matchEffect({
      onSuccess: (value) => Queue.offer(outcomes, [result.id, `succeeded, ${format(value)}`]),
      onFailure: (error) =>
        error instanceof HubError
          ? Queue.fail(outcomes, error)
          : Queue.offer(outcomes, [result.id, `failed: ${printable(error.message)}`])
    }),
    Effect.andThen(Effect.ignore(result.forget)),
    Effect.forkScoped,
    Effect.asVoid
  )

const silence = "5 seconds"

/** A line for each of these tasks, by their ids; ends with the last of them. */
export const tell = Effect.fnUntraced(function* (
  outcomes: Queue.Dequeue<Outcome, HubError>,
  names: ReadonlyMap<string, string>
): Effect.fn.Return<void, HubError> {
  const left = new Map(names)
  const waiting = Effect.suspend(() =>
    Console.log(
      `Nothing new for ${silence}, and ${plural(left.size, "task")} to go: is there a \`pnpm demo worker\`? ` +
        "Ctrl-C leaves them in the queue."
    )
  )
  while (left.size > 0) {
    // Said once per silence.
    yield* Effect.timeoutOrElse(Queue.peek(outcomes), {
      duration: silence,
      orElse: () => Effect.andThen(waiting, Queue.peek(outcomes))
    })
    const [id, text] = yield* Queue.take(outcomes)
    const name = left.get(id)
    if (!left.delete(id)) continue
    yield* Console.log(`${name}: ${text}`)
  }
})
