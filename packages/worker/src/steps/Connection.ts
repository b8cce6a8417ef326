/**
 * The step that watches the link (celery/worker/consumer/connection.py): it says when the broker is lost, and when it is back.
 * There is nothing to repair: what needs a link waits for the next one by itself.
 */
import { Connection, type ConnectionStatus } from "@apium/hub/Connection"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"

export const layer: Layer.Layer<never, never, Connection> = Layer.suspend(() =>
  Layer.effectDiscard(
    Effect.gen(function* () {
      const connection = yield* Connection
      yield* connection.status.pipe(
        Stream.changes,
        Stream.mapAccum(
          (): ConnectionStatus | "new" => "new",
          // Until it has been open once, there was nothing to lose.
          (before, status) =>
            [before === "new" && status === "connecting" ? before : status, [{ before, status }]] as const
        ),
        Stream.runForEach(({ before, status }) => {
          switch (status) {
            case "connecting":
              return before === "open" || before === "blocked"
                ? Effect.logWarning(
                    "The link to the broker is lost: what runs goes on, and what was reserved comes again"
                  )
                : Effect.void
            case "blocked":
              return Effect.logWarning("The broker is short of resources, and takes nothing for now")
            case "open":
              return before === "new"
                ? Effect.logDebug("The link to the broker is open")
                : Effect.logInfo(
                    before === "blocked" ? "The broker takes messages again" : "The link to the broker is open again"
                  )
            case "closed":
              return Effect.void
          }
        }),
        Effect.forkScoped
      )
    })
  )
)
