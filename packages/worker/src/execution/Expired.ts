/**
 * Tasks that nobody started in time (celery/worker/request.py `maybe_expire`): looked at when they are received, and again
 * when their turn comes.
 */
import type { HubError } from "@apium/hub/HubError"
import * as Effect from "effect/Effect"
import type { EventDispatcher } from "../events/EventDispatcher.ts"
import * as Request from "./Request.ts"
import type { Results } from "./Results.ts"

/** Revoked, acknowledged, and told to whoever listens. */
export const make =
  (results: Results, events: EventDispatcher["Service"]) =>
  (request: Request.Request): Effect.Effect<void, HubError> =>
    Effect.gen(function* () {
      const { task, id } = request.message.headers
      yield* Effect.logInfo("Discarded an expired task", { task, id })
      yield* results.revoked(Request.resultOf(request), "expired")
      yield* request.delivery.ack
      if (events.enabled()) {
        events.send("task-revoked", { uuid: id, terminated: false, signum: null, expired: true })
      }
    })
