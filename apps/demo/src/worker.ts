/**
 * `demo worker`: runs tasks in threads until Ctrl-C, and then finishes what it has begun.
 */
import type { Connection } from "@apium/hub/Connection"
import type { HubError } from "@apium/hub/HubError"
import type { Queue } from "@apium/hub/Queue"
import type { ResultBackend } from "@apium/worker/client/ResultBackend"
import { type InvalidPoolOption, layerHost, layerThreadPool } from "@apium/worker/node"
import { Tasks } from "@apium/worker/task/Tasks"
import * as Worker from "@apium/worker/Worker"
import * as Command from "effect/cli/Command"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { WorkerError } from "effect/workers/WorkerError"
import { availableParallelism } from "node:os"
import * as Broker from "./broker.ts"
import handlers from "./handlers.ts"
import * as Queues from "./queues.ts"
import { run } from "./run.ts"

/** More would take longer to start than the demo takes to run. */
export const threads = Math.max(2, Math.min(availableParallelism(), 4))

/** `name` is left out for `celery@<host>`. */
export const layer = (
  queue: Queue,
  name?: string
): Layer.Layer<Worker.Worker, HubError | InvalidPoolOption | WorkerError, Connection | ResultBackend> =>
  Worker.layer({
    name,
    queues: [queue],
    concurrency: threads,
    // Counting words is work for a processor: each thread loads the handlers and runs one task at a time.
    pool: layerThreadPool({ module: new URL("./handlers.ts", import.meta.url), size: threads }),
    // Tell monitors what becomes of each task, as Celery's `-E`.
    events: true
  }).pipe(Layer.provide([handlers, layerHost]), Layer.provide(Tasks.layer))

/** Until somebody stops it: Ctrl-C, remote control, or a broker that refuses it for good. */
const untilStopped = Effect.gen(function* () {
  const { nodename, stopped } = yield* Worker.Worker
  const where = `the queue ${Queues.shared.name} of ${yield* Broker.shown}`
  yield* Console.log(`${nodename} takes tasks from ${where}, until Ctrl-C.`)
  yield* Effect.onInterrupt(stopped, () => Console.log("Stopping: what has begun is finished first."))
})

export const command = Command.make("worker", {}, () =>
  Effect.provide(untilStopped, Layer.provide(layer(Queues.shared), Broker.shared("worker")))
).pipe(Command.withDescription("Run tasks in threads until Ctrl-C"))

if (import.meta.main) run(command)
