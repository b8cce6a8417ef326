/**
 * Tasks that are not run at all: nobody started them in time, or somebody revoked them (celery/worker/request.py
 * `maybe_expire`, `revoked`).
 */
import type { HubError } from "@apium/hub/HubError"
import * as Effect from "effect/Effect"
import type { EventDispatcher } from "../events/EventDispatcher.ts"
import * as Request from "./Request.ts"
import type { Results } from "./Results.ts"

/** REVOKED, acknowledged, and told to whoever listens. */
export type Discard = (request: Request.Request, why: "expired" | "revoked") => Effect.Effect<void, HubError>

export const make =
  (results: Results, events: EventDispatcher["Service"]): Discard =>
  (request, why) =>
    Effect.gen(function* () {
      const { task, id } = request.message.headers
      yield* Effect.logInfo(why === "expired" ? "Discarded an expired task" : "Discarded a revoked task", { task, id })
      yield* results.revoked(Request.resultOf(request), why)
      if (request.noAck !== true) yield* request.delivery.ack
      if (events.enabled()) {
        events.send("task-revoked", { uuid: id, terminated: false, signum: null, expired: why === "expired" })
      }
    })
