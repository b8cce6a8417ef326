/**
 * The step that says the worker is alive (celery/worker/consumer/heart.py): `worker-online` when it starts, `worker-heartbeat`
 * again and again, `worker-offline` when it stops. Monitors and the gossip of other workers take a worker that is silent for
 * two intervals for dead.
 *
 * Requires Events, which sends it all, and Tasks, whose running and processed tasks each heartbeat counts. It outlives the
 * drain of a worker: where Celery says `worker-offline` and may still run tasks for hours, ours is offline when it is.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import { EventDispatcher } from "../events/EventDispatcher.ts"
import * as Heartbeat from "../events/Heartbeat.ts"
import { Requests } from "../execution/Requests.ts"

export interface Options {
  /** Between two heartbeats. Default 2 s, as Celery's `--heartbeat-interval`; at least 1 ms. */
  readonly interval?: Duration.Input | undefined
}

export const layer = (options: Options = {}): Layer.Layer<never, never, EventDispatcher | Requests> =>
  Layer.effectDiscard(
    Effect.gen(function* () {
      const events = yield* EventDispatcher
      const requests = yield* Requests
      const interval = Math.max(1, Duration.toMillis(options.interval ?? "2 seconds"))
      const say = (type: "worker-online" | "worker-heartbeat" | "worker-offline") =>
        Effect.map(Heartbeat.fields(requests, interval / 1000), (fields) => events.send(type, fields))

      yield* Effect.addFinalizer(() => say("worker-offline"))
      yield* say("worker-online")
      yield* Effect.forkScoped(Effect.delay(Effect.repeat(say("worker-heartbeat"), Schedule.fixed(interval)), interval))
    })
  )
