/**
 * The step that obeys (celery/worker/consumer/control.py, celery/worker/pidbox.py): it answers remote control under the
 * worker's node name, and provides the panel of commands, to which later steps and you add theirs.
 *
 * Requires Events, whose task events it turns on and off; Tasks, whose requests it shows and changes; Pool; the connection,
 * the worker's logical clock, and what shuts the worker down. With Autoscale in the blueprint it changes that, too. It has started when the worker can be reached. Commands are
 * executed in the order they came; of those that come faster 100 wait here, and the others with the broker.
 */
import type { Connection } from "@apium/hub/Connection"
import type { HubError } from "@apium/hub/HubError"
import * as Mailbox from "@apium/hub/Mailbox"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Commands from "../control/Commands.ts"
import * as Panel from "../control/Panel.ts"
import type { EventDispatcher } from "../events/EventDispatcher.ts"
import * as LogicalClock from "../events/LogicalClock.ts"
import type { Pool } from "../execution/Pool.ts"
import type { Requests } from "../execution/Requests.ts"
import type { Shutdown } from "../Shutdown.ts"
import type { Tasks } from "../task/Tasks.ts"

export interface Options extends Commands.Options {
  /** What the exchanges and queues are named after (Celery's `control_exchange`). Default `celery`. */
  readonly namespace?: string | undefined
}

/** Fails when the broker refuses the queue of the node: a worker nobody can reach is not started. */
export const layer = (
  options: Options
): Layer.Layer<
  Panel.Panel,
  HubError,
  Connection | Requests | Tasks | Pool | EventDispatcher | LogicalClock.LogicalClock | Shutdown
> =>
  Layer.effect(
    Panel.Panel,
    Effect.gen(function* () {
      const clock = yield* LogicalClock.LogicalClock
      const panel = Panel.make()
      for (const [name, handler] of yield* Commands.make(options)) yield* panel.register(name, handler)
      const reachable = yield* Deferred.make<void, HubError>()
      yield* Mailbox.serve(options.hostname, panel.handle, {
        namespace: options.namespace,
        clock: LogicalClock.forMailbox(clock),
        onReady: Deferred.succeed(reachable, undefined)
      }).pipe(
        Effect.tapError((error) =>
          Effect.flatMap(Deferred.fail(reachable, error), (atStart) =>
            atStart
              ? Effect.void
              : Effect.logError("Remote control does not reach the worker, which tries again", {
                  reason: error.message
                })
          )
        ),
        Effect.retry(Schedule.spaced("30 seconds")),
        Effect.forkScoped
      )
      yield* Deferred.await(reachable)
      return panel
    })
  )
