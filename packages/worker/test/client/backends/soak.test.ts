import { Connection } from "@apium/hub/Connection"
import * as MemoryTransport from "@apium/hub/memory/MemoryTransport"
import * as MemoryBackend from "@apium/worker/client/backends/MemoryBackend"
import * as RpcBackend from "@apium/worker/client/backends/RpcBackend"
import { ResultBackend } from "@apium/worker/client/ResultBackend"
import { layer } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import * as awaited from "../../../../../test/support/fleet/awaited.ts"

/** What comes behind its `forget` is kept again: few, so that the heap is what it stays. */
const few = { capacity: 1000 }

layer(MemoryBackend.layerWith(few), { excludeTestServices: true })("results in memory", (it) => {
  it.effect(
    "that were awaited, given up or watched leave nothing behind",
    () => Effect.flatMap(ResultBackend, ({ store }) => awaited.soak("memory", { store, idle: Effect.void })),
    900_000
  )
})

layer(RpcBackend.layerWith(few).pipe(Layer.provideMerge(Connection.layer.pipe(Layer.provide(MemoryTransport.layer)))), {
  excludeTestServices: true
})("results as messages", (it) => {
  it.effect(
    "that were awaited, given up or watched leave nothing behind",
    () =>
      Effect.gen(function* () {
        const connection = yield* Connection
        const worker = Context.get(
          yield* Layer.build(Layer.fresh(RpcBackend.layer).pipe(Layer.provide(Layer.succeed(Connection, connection)))),
          ResultBackend
        )
        const replyTo = yield* (yield* ResultBackend).replyTo!
        yield* awaited.soak("rpc", {
          store: (message) => worker.store(message, { replyTo, correlationId: message.taskId }),
          idle: Effect.void
        })
      }),
    900_000
  )
})
