/**
 * What becomes of tasks, by the events of whoever runs them: a client needs no result backend for that. Events are no promise:
 * those of a moment in which the link is away are gone.
 */
import type { Connection } from "@apium/hub/Connection"
import type { HubError } from "@apium/hub/HubError"
import type { Event } from "@apium/protocol/celery/EventMessage"
import * as EventReceiver from "@apium/worker/events/EventReceiver"
import * as Console from "effect/Console"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { duration, plural, printable } from "./text.ts"

export interface Outcomes {
  /** A line for each of these tasks, by their ids; ends with the last of them. */
  readonly tell: (names: ReadonlyMap<string, string>) => Effect.Effect<void, HubError>
}

/** When this returns, nothing is missed any more. */
export const listen: Effect.Effect<Outcomes, HubError, Connection | Scope.Scope> = Effect.gen(function* () {
  const events = yield* Queue.unbounded<Event, HubError>()
  const ready = yield* Deferred.make<void>()
  const onReady = Effect.asVoid(Deferred.succeed(ready, undefined))
  yield* EventReceiver.stream({ routingKey: "task.#", onReady }).pipe(
    Stream.runForEach((event) => Queue.offer(events, event)),
    Effect.catch((error) => Queue.fail(events, error)),
    Effect.forkScoped({ startImmediately: true })
  )
  yield* Deferred.await(ready)
  return { tell: (names) => tell(events, names) }
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

const silence = "5 seconds"

const tell = Effect.fnUntraced(function* (
  events: Queue.Dequeue<Event, HubError>,
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
    const event = yield* Effect.timeoutOrElse(Queue.peek(events), {
      duration: silence,
      orElse: () => Effect.andThen(waiting, Queue.peek(events))
    })
    yield* Queue.take(events)
    const { uuid } = event.fields
    const text = outcome(event)
    if (typeof uuid !== "string" || text === undefined) continue
    const name = left.get(uuid)
    if (!left.delete(uuid)) continue
    yield* Console.log(`${name}: ${text}`)
  }
})
