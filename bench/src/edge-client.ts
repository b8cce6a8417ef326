/** What `edge-size` weighs: a service on the edge that sends a task. It never runs. */
import { Connection } from "@apium/hub/Connection"
import * as MemoryTransport from "@apium/hub/memory/MemoryTransport"
import * as MemoryBackend from "@apium/worker/client/backends/MemoryBackend"
import { Client } from "@apium/worker/client/Client"
import * as Task from "@apium/worker/task/Task"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"

const add = Task.make("proj.add", { params: { x: Schema.Finite, y: Schema.Finite }, result: Schema.Finite })

const layer = Client.layer.pipe(
  Layer.provide(Connection.layer),
  Layer.provide(MemoryTransport.layer),
  Layer.provide(MemoryBackend.layer)
)

export default {
  fetch: (): Promise<Response> =>
    add.delay({ x: 2, y: 3 }).pipe(
      Effect.map((result) => Response.json({ id: result.id })),
      Effect.provide(layer),
      Effect.runPromise
    )
}
