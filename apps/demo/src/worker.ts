/**
 * `demo worker`: runs tasks in threads until Ctrl-C, and then finishes what it has begun.
 */
import type { Connection } from "@apium/hub/Connection"
import type { HubError } from "@apium/hub/HubError"
import type { ResultBackend } from "@apium/worker/client/ResultBackend"
import { type InvalidPoolOption, layerHost, layerThreadPool } from "@apium/worker/node"
import { Tasks } from "@apium/worker/task/Tasks"
import * as Worker from "@apium/worker/Worker"
import * as Command from "effect/cli/Command"
import * as Layer from "effect/Layer"
import type { WorkerError } from "effect/workers/WorkerError"
import { availableParallelism } from "node:os"
import * as Broker from "./broker.ts"
import handlers from "./handlers.ts"
import { queue } from "./producer.ts"
import { run } from "./run.ts"

/** More would take longer to start than the demo takes to run. */
export const threads = Math.max(2, Math.min(availableParallelism(), 4))

export const layer: Layer.Layer<never, HubError | InvalidPoolOption | WorkerError, Connection | ResultBackend> =
  Worker.layer({
    queues: [queue],
    concurrency: threads,
    // Counting words is work for a processor: each thread loads the handlers and runs one task at a time.
    pool: layerThreadPool({ module: new URL("./handlers.ts", import.meta.url), size: threads }),
    // Tell monitors what becomes of each task, as Celery's `-E`.
    events: true
  }).pipe(Layer.provide([handlers, layerHost]), Layer.provide(Tasks.layer))

export const command = Command.make("worker", {}, () =>
  Layer.launch(layer.pipe(Layer.provide(Broker.shared("worker"))))
).pipe(Command.withDescription("Run tasks in threads until Ctrl-C"))

if (import.meta.main) run(command)
