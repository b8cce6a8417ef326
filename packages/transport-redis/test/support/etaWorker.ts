/** A worker in a process of its own: `ready` when it consumes, and `ran <n> <milliseconds after it was due>` of each task. */
import * as Queue from "@apium/hub/Queue"
import * as Redis from "@apium/transport-redis/node"
import { Client, MemoryBackend, Task, Tasks, Worker } from "@apium/worker"
import { run } from "@apium/worker/node"
import { Effect, Layer, Logger, Schema } from "effect"
import { writeSync } from "node:fs"

const [url = "", lease = "30000"] = process.argv.slice(2)

const say = (line: string) => Effect.sync(() => void writeSync(1, `${line}\n`))

const due = Task.make("proj.due", {
  params: { n: Schema.Number, at: Schema.Number },
  result: Schema.Void,
  ignoreResult: true
})

const Live = Worker.layer({ queues: [Queue.make("celery")], concurrency: 10 }).pipe(
  Layer.provide(
    // Each takes a moment: no more than ten end in one turn of the event loop, and their acknowledgements go with it.
    Tasks.handle(due, ({ at, n }) =>
      Effect.andThen(
        Effect.suspend(() => say(`ran ${n} ${Date.now() - at}`)),
        Effect.sleep("2 millis")
      )
    )
  ),
  Layer.provide(Tasks.layer),
  Layer.provide(Client.layer),
  Layer.provide(MemoryBackend.layer),
  Layer.provide(Redis.layer(url, { lease: `${Number(lease)} millis` })),
  Layer.provide(Logger.layer([]))
)

run(Layer.tap(Live, () => say("ready")))
