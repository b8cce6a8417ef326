/**
 * Tasks that are not run at all: nobody started them in time, or somebody revoked them (celery/worker/request.py
 * `maybe_expire`, `revoked`).
 */
import * as ResultMessage from "@apium/protocol/celery/ResultMessage"
import * as TaskState from "@apium/protocol/celery/TaskState"
import type { HubError } from "@apium/hub/HubError"
import * as Effect from "effect/Effect"
import type { EventDispatcher } from "../events/EventDispatcher.ts"
import * as TaskError from "../task/TaskError.ts"
import type { Callbacks } from "./Callbacks.ts"
import * as Request from "./Request.ts"
import type { Results } from "./Results.ts"

/** REVOKED, acknowledged, and told to whoever listens. */
export type Discard = (request: Request.Request, why: "expired" | "revoked") => Effect.Effect<void, HubError>

export const make =
  (results: Results, callbacks: Callbacks, events: EventDispatcher["Service"]): Discard =>
  (request, why) =>
    Effect.gen(function* () {
      const { message } = request
      const { task, id } = message.headers
      yield* Effect.logInfo(why === "expired" ? "Discarded an expired task" : "Discarded a revoked task", { task, id })
      yield* results.revoked(Request.resultOf(request), why)
      yield* Effect.catch(
        callbacks.onPart(message, TaskState.REVOKED, ResultMessage.encodeFailure(TaskError.revoked(why))),
        ({ message }) => Effect.logError("A chord could not be counted", { task, id, reason: message })
      )
      if (request.noAck !== true) yield* request.delivery.ack
      if (events.enabled()) {
        events.send("task-revoked", { uuid: id, terminated: false, signum: null, expired: why === "expired" })
      }
    })
