/**
 * Where results are kept and waited for (celery/backends/base.py). A message is the JSON of a result as Python keeps it.
 */
import type { HubError } from "@apium/hub/HubError"
import type { ResultMessage } from "@apium/protocol/celery/ResultMessage"
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Stream from "effect/Stream"

export class ResultBackend extends Context.Service<
  ResultBackend,
  {
    /** Keeps the newest state; a stored SUCCESS is never overwritten. */
    readonly store: (message: ResultMessage) => Effect.Effect<void, HubError>
    /** What is stored now. */
    readonly get: (taskId: string) => Effect.Effect<Option.Option<ResultMessage>, HubError>
    /** Waits for a final state (SUCCESS, FAILURE, REVOKED). */
    readonly wait: (taskId: string) => Effect.Effect<ResultMessage, HubError>
    /** What is stored now and every state after it; ends with a final one. */
    readonly changes: (taskId: string) => Stream.Stream<ResultMessage, HubError>
    readonly forget: (taskId: string) => Effect.Effect<void, HubError>
  }
>()("@apium/worker/ResultBackend") {}
