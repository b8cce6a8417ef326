/**
 * The step that asks its neighbours (celery/worker/consumer/mingle.py): on each link it tells the other workers, in any language,
 * what was revoked lately, is told what they know, and sets its logical clock past theirs. Where Celery waits a second for
 * answers before it takes its first task, ours takes tasks meanwhile: one that a neighbour knows to be revoked may have begun by then.
 *
 * Requires Control, so that those who start at the same time hear each other, Tasks and the clock.
 */
import { Connection } from "@apium/hub/Connection"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as Control from "../control/Control.ts"
import * as Hello from "../control/Hello.ts"
import { LogicalClock } from "../events/LogicalClock.ts"
import { Requests } from "../execution/Requests.ts"

export interface Options {
  /** The node name: `celery@host`. */
  readonly hostname: string
  /** What the exchanges are named after. Default `celery`. */
  readonly namespace?: string | undefined
  /** Default: as in Celery, where there can be neighbours (RabbitMQ, Redis). */
  readonly mingle?: boolean | undefined
}

/** How long answers are heard: Celery waits for them a second, and a worker of its own on Redis may take more to answer. */
const timeout = "5 seconds"

export const layer = ({
  hostname,
  namespace,
  mingle
}: Options): Layer.Layer<never, never, Connection | LogicalClock | Requests> =>
  Layer.effectDiscard(
    Effect.gen(function* () {
      const connection = yield* Connection
      if (!(mingle ?? connection.transport !== "memory")) return
      const requests = yield* Requests
      const clock = yield* LogicalClock

      const ask = Effect.gen(function* () {
        const revoked = yield* Hello.encode(requests)
        let nodes = 0
        let learned = 0
        yield* Control.broadcast("hello", { from_node: hostname, revoked }, { clock, namespace, timeout }).pipe(
          Stream.filter(({ node, reply }) => node !== hostname && reply !== null && !Control.isFailed(reply)),
          Stream.runForEach(({ reply }) =>
            Effect.map(Hello.adopt(requests, clock, reply), (count) => {
              nodes++
              learned += count
            })
          )
        )
        yield* nodes === 0
          ? Effect.logDebug("Mingle: all alone")
          : Effect.logInfo("Mingle: in sync", { nodes, learned })
      }).pipe(
        Effect.catch((error) => Effect.logDebug("Mingle: the neighbours could not be asked", { reason: error.message }))
      )

      yield* connection.status.pipe(
        // One that is short of resources is the same link.
        Stream.filter((status) => status !== "blocked"),
        Stream.changes,
        Stream.filter((status) => status === "open"),
        Stream.switchMap(() => Stream.fromEffect(ask)),
        Stream.runDrain,
        Effect.forkScoped
      )
    })
  )
