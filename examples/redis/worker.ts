/**
 * A worker on Redis: its tasks wait there, and so do its results, under the keys that Python's Celery uses. Ctrl-C finishes what runs.
 *
 *   node --conditions=@apium/source examples/redis/worker.ts
 */
import * as Queue from "@apium/hub/Queue"
import * as Redis from "@apium/transport-redis/node"
import * as RedisBackend from "@apium/worker/client/backends/RedisBackend"
import { run } from "@apium/worker/node"
import { Tasks } from "@apium/worker/task/Tasks"
import * as Worker from "@apium/worker/Worker"
import { Console, Effect, Layer } from "effect"
import { report, url } from "./tasks.ts"

const ReportLive = Tasks.handle(report, ({ day, orders }) =>
  Effect.succeed({ day, total: orders.reduce((sum, order) => sum + order, 0) })
)

const Ready = Layer.effectDiscard(
  Effect.flatMap(Worker.Worker, ({ nodename }) => Console.log(`${nodename} takes tasks until Ctrl-C.`))
)

run(
  Ready.pipe(
    Layer.provideMerge(Worker.layer({ queues: [Queue.make("shop")], concurrency: 10 })),
    Layer.provide(ReportLive),
    Layer.provide(Tasks.layer),
    Layer.provide(RedisBackend.layer),
    // Tasks and results at one Redis, which then share one connection for what they listen to.
    Layer.provide(Redis.layerAll(url))
  )
)
