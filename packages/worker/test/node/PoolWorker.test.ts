import { Connection } from "@apium/hub/Connection"
import * as MemoryTransport from "@apium/hub/memory/MemoryTransport"
import * as HubQueue from "@apium/hub/Queue"
import { Decimal, LocalDate, LocalTime, PyDateTime, Uuid } from "@apium/protocol/kombu/Json"
import { Client, MemoryBackend, type Task, Tasks, Worker } from "@apium/worker"
import { layerProcessPool, layerThreadPool } from "@apium/worker/node"
import { assert, layer, vi } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import * as tasks from "./fixtures/tasks.ts"
import { module } from "./support/Jobs.ts"

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })

const Registered = Layer.mergeAll(
  Layer.empty,
  ...Object.values(tasks)
    .filter((task): task is Exclude<typeof task, typeof tasks.Refused> => typeof task === "object")
    .map((task) => Tasks.handle(task as Task.Task<string, {}, never>, () => Effect.die("ran in the main thread")))
)

for (const [place, pool] of [
  ["thread", layerThreadPool({ module, size: 2 })],
  ["process", layerProcessPool({ module, size: 2 })]
] as const) {
  const WithWorker = Worker.layer({ queues: [HubQueue.make("celery")], concurrency: 2, pool }).pipe(
    Layer.provide(Layer.provideMerge(Registered, Tasks.layer)),
    Layer.provideMerge(Client.layer),
    Layer.provideMerge([MemoryBackend.layer, Connection.layer.pipe(Layer.provide(MemoryTransport.layer))])
  )
}
