/**
 * A client that applies instead of sending (Celery's `task_always_eager` with `task_store_eager_result`): `delay` returns when
 * the task has ended. Queues, delays and priorities mean nothing to it.
 */
import { EncodeFailed, HubError } from "@apium/hub/HubError"
import type { ResultMessage } from "@apium/protocol/celery/ResultMessage"
import * as TaskState from "@apium/protocol/celery/TaskState"
import type { KombuJson } from "@apium/protocol/kombu/Json"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as AsyncResult from "../client/AsyncResult.ts"
import { Client, encoder, type SendOptions } from "../client/Client.ts"
import { ResultBackend } from "../client/ResultBackend.ts"
import type { Call } from "../execution/Perform.ts"
import * as Eager from "../task/Eager.ts"
import { Tasks } from "../task/Tasks.ts"

export const layer: Layer.Layer<Client, never, Tasks | ResultBackend> = Layer.effect(
  Client,
  Effect.gen(function* () {
    const backend = yield* ResultBackend
    const registry = Context.make(Tasks, yield* Tasks)
    // It has ended.
    const revoke: AsyncResult.Revoke = () => Effect.void

    const updateState = (taskId: string, status: string, result: KombuJson) =>
      backend.store({ taskId, status, result, traceback: null, children: [], dateDone: null })

    /** As a worker has it: what was ignored or rejected leaves no result. */
    const store = (message: ResultMessage): Effect.Effect<void, HubError> =>
      TaskState.isReady(message.status) ? backend.store(message) : Effect.void

    const apply = <A, E>(
      name: string,
      call: Call,
      codecs: AsyncResult.Codecs<A, E>,
      ignored: boolean,
      send: SendOptions
    ) =>
      Effect.gen(function* () {
        if (send.link !== undefined || send.linkError !== undefined) return yield* needsWorker("link and linkError")
        const message = yield* Effect.provideContext(
          Eager.run(name, call, send, ignored ? () => Effect.void : updateState),
          registry
        )
        if (!ignored) yield* store(message)
        return AsyncResult.make(backend, message.taskId, codecs, { ignored, revoke })
      })

    const send: Client["Service"]["send"] = (task, payload, options = {}) =>
      Effect.flatMap(encoder(task)(payload), (call) =>
        apply(task.name, call, task, options.ignoreResult ?? task.options.ignoreResult ?? false, options)
      )

    return {
      send,
      sendAll: (task, payloads, options) => Effect.forEach(payloads, (payload) => send(task, payload, options)),
      apply: () => needsWorker("a canvas"),
      restoreGroup: () => Effect.succeedNone,
      sendTask: (name, args, kwargs, options = {}) =>
        apply(name, { args, kwargs }, AsyncResult.anything, options.ignoreResult ?? false, options)
    }
  })
)

const needsWorker = (what: string): Effect.Effect<never, HubError> =>
  Effect.fail(
    new HubError({
      reason: new EncodeFailed({
        what,
        text: "it needs a worker, and this client applies tasks eagerly: use TestWorker.layer"
      })
    })
  )
