/** The same as `apium.redis.ts` on RabbitMQ, and without results, as the command is there. */
import * as Queue from "@apium/hub/Queue"
import * as Amqp from "@apium/transport-amqp/node"
import * as MemoryBackend from "@apium/worker/client/backends/MemoryBackend"
import { run } from "@apium/worker/node"
import { Tasks } from "@apium/worker/task/Tasks"
import * as Worker from "@apium/worker/Worker"
import * as Layer from "effect/Layer"
import HandlersLive from "./apium.app.ts"
import { queue } from "./work.ts"

run(
  Worker.layer({ queues: [Queue.make(queue)], concurrency: 2 }).pipe(
    Layer.provide(HandlersLive),
    Layer.provide(Tasks.layer),
    Layer.provide(MemoryBackend.layer),
    Layer.provide(Amqp.layer(process.argv[2]!))
  )
)
