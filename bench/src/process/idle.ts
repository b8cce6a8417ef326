/** A worker with nothing to do, for ten seconds: heartbeats, remote control, an open consumer. */
import { Connection } from "@apium/hub/Connection"
import * as MemoryTransport from "@apium/hub/memory/MemoryTransport"
import * as Queue from "@apium/hub/Queue"
import * as MemoryBackend from "@apium/worker/client/backends/MemoryBackend"
import { layerHost } from "@apium/worker/node"
import { Tasks } from "@apium/worker/task/Tasks"
import * as Worker from "@apium/worker/Worker"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

const Live = Worker.layer({ queues: [Queue.make("celery")], concurrency: 10, events: true }).pipe(
  Layer.provide(Tasks.layer),
  Layer.provide([MemoryBackend.layer, layerHost, Connection.layer.pipe(Layer.provide(MemoryTransport.layer))])
)

await Effect.runPromise(
  Effect.gen(function* () {
    // What is compiled and collected at the start is no idling.
    yield* Effect.sleep("1 second")
    const before = process.cpuUsage()
    yield* Effect.sleep("10 seconds")
    const { user, system } = process.cpuUsage(before)
    console.log(JSON.stringify({ cpu: (user + system) / 1000 }))
  }).pipe(Effect.provide(Live))
)
