/**
 * A worker in a process of its own, one task at a time: `runs <n>` when a task begins, `ran <n>` when it ends. `proj.stops` stops its
 * process when half of it is done and it comes for the first time, `proj.dies` kills it, however often it comes.
 */
import * as Queue from "@apium/hub/Queue"
import * as Redis from "@apium/transport-redis/node"
import { Client, MemoryBackend, Task, TaskContext, Tasks, Worker } from "@apium/worker"
import { Effect, Layer, Logger, Schema } from "effect"
import { writeSync } from "node:fs"

/** In milliseconds. */
const [url = "", queue = "", lease = "2000", visibility = "3600000"] = process.argv.slice(2)

const say = (line: string) => Effect.sync(() => void writeSync(1, `${line}\n`))

const notes = Task.make("proj.notes", {
  params: { n: Schema.Number, ms: Schema.Number },
  result: Schema.Void,
  ignoreResult: true
})
const stops = Task.make("proj.stops", { params: notes.params, result: Schema.Void, ignoreResult: true })
const dies = Task.make("proj.dies", { params: {}, result: Schema.Void, ignoreResult: true, maxDeliveries: 3 })

const live = Layer.mergeAll(
  Tasks.handle(notes, ({ n, ms }) =>
    Effect.andThen(say(`runs ${n}`), Effect.andThen(Effect.sleep(ms), say(`ran ${n}`)))
  ),
  Tasks.handle(stops, ({ n, ms }) =>
    Effect.gen(function* () {
      const { delivery } = yield* TaskContext
      yield* say(`runs ${n}`)
      yield* Effect.sleep(ms / 2)
      if (!delivery.redelivered) process.kill(process.pid, "SIGSTOP")
      yield* Effect.sleep(ms / 2)
      yield* say(`ran ${n}`)
    })
  ),
  Tasks.handle(dies, () =>
    Effect.andThen(
      say("dies"),
      Effect.sync(() => process.kill(process.pid, "SIGKILL"))
    )
  )
)

const worker = Worker.layer({ queues: [Queue.make(queue)], concurrency: 1, prefetchMultiplier: 10 }).pipe(
  Layer.provide(live),
  Layer.provide(Tasks.layer),
  Layer.provide(Client.layer),
  Layer.provide(MemoryBackend.layer),
  Layer.provide(Redis.layer(url, { lease: Number(lease), visibilityTimeout: Number(visibility) })),
  Layer.provide(Logger.layer([]))
)

Effect.runFork(Effect.andThen(Layer.build(worker), Effect.andThen(say("ready"), Effect.never)).pipe(Effect.scoped))
