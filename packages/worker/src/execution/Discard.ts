/**
 * Tasks that are not run at all: nobody started them in time, or somebody revoked them (celery/worker/request.py
 * `maybe_expire`, `revoked`).
 */
import type { HubError } from "@apium/hub/HubError"
import * as Effect from "effect/Effect"
import type { EventDispatcher } from "../events/EventDispatcher.ts"
import * as TaskError from "../task/TaskError.ts"
import { type Callbacks, endedOf } from "./Callbacks.ts"
import * as Request from "./Request.ts"
import type { Results } from "./Results.ts"

/** REVOKED, counted in its chord, acknowledged, and told to whoever listens. */
export type Discard = (request: Request.Request, why: "expired" | "revoked") => Effect.Effect<void, HubError>

export const make =
  (results: Results, callbacks: Callbacks, events: EventDispatcher["Service"]): Discard =>
  (request, why) =>
    Effect.gen(function* () {
      const { task, id } = request.message.headers
      yield* Effect.logInfo(why === "expired" ? "Discarded an expired task" : "Discarded a revoked task", { task, id })
      yield* results.revoked(Request.resultOf(request), why)
      const acked = request.noAck === true ? Effect.succeed(true) : Effect.as(request.delivery.ack, true)
      const settled = yield* Effect.matchEffect(callbacks.onRevoked(endedOf(request), TaskError.revoked(why)), {
        onSuccess: () => acked,
        onFailure: ({ message: reason, recoverable }) =>
          Effect.andThen(
            Effect.logError("A chord could not be counted", { task, id, reason }),
            recoverable && request.noAck !== true ? Effect.as(request.delivery.reject({ requeue: true }), false) : acked
          )
      })
      if (!settled) return
      if (events.enabled()) {
        events.send("task-revoked", { uuid: id, terminated: false, signum: null, expired: why === "expired" })
      }
    })
