/** A million tasks for an hour from now, in one process with the worker that is to run them. */
import { Connection } from "@apium/hub/Connection"
import * as MemoryTransport from "@apium/hub/memory/MemoryTransport"
import * as Queue from "@apium/hub/Queue"
import * as MemoryBackend from "@apium/worker/client/backends/MemoryBackend"
import { Client } from "@apium/worker/client/Client"
import * as Task from "@apium/worker/task/Task"
import { Tasks } from "@apium/worker/task/Tasks"
import * as Worker from "@apium/worker/Worker"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"

const tasks = 1_000_000
const batch = 1000

const later = Task.make("bench.later", { params: { n: Schema.Number } })

const Live = Worker.layer({ queues: [Queue.make("celery")], concurrency: 10 }).pipe(
  Layer.provide([Tasks.handle(later, () => Effect.void)]),
  Layer.provide(Tasks.layer),
  Layer.provideMerge(Client.layer),
  Layer.provide([MemoryBackend.layer, Connection.layer.pipe(Layer.provide(MemoryTransport.layer))])
)

const mebibytes = (bytes: number): number => bytes / 2 ** 20

await Effect.runPromise(
  Effect.gen(function* () {
    const client = yield* Client
    globalThis.gc?.()
    const before = process.memoryUsage().heapUsed
    for (let sent = 0; sent < tasks; sent += batch) {
      const payloads = Array.from({ length: batch }, (_, n) => ({ n: sent + n }))
      yield* client.sendAll(later, payloads, { countdown: "1 hour", ignoreResult: true })
    }
    globalThis.gc?.()
    const after = process.memoryUsage().heapUsed
    console.log(
      JSON.stringify({
        peak: process.resourceUsage().maxRSS / 1024,
        heap: mebibytes(after - before),
        perTask: (after - before) / tasks
      })
    )
  }).pipe(Effect.provide(Live))
)
