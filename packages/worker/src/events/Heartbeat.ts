/**
 * What a worker says of itself with each heartbeat (celery/worker/heartbeat.py, celery/worker/state.py `SOFTWARE_INFO`).
 */
import { Host } from "@apium/hub/Host"
import type * as EventMessage from "@apium/protocol/celery/EventMessage"
import * as Effect from "effect/Effect"
import type { Requests } from "../execution/Requests.ts"

/** Of the package. */
export const version = "0.0.0"

/** Celery rounds its load averages. */
const rounded = (load: number): number => Math.round(load * 100) / 100

/** `interval`: seconds until the next one. */
export const fields = (
  requests: Requests["Service"],
  interval: number
): Effect.Effect<EventMessage.EventFields["worker-heartbeat"]> =>
  Effect.gen(function* () {
    const host = yield* Host
    const load = yield* host.loadAverage
    let processed = 0
    for (const count of requests.totals().values()) processed += count
    return {
      freq: interval,
      active: requests.active().length,
      processed,
      loadavg: load.map(rounded),
      sw_ident: "apium",
      sw_ver: version,
      sw_sys: host.system ?? "unknown"
    }
  })
