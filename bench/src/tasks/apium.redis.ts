/** A worker of one task as a program of its own, to be bundled into one file: on Redis, as `apium worker` is when `-b` names one. */
import * as Queue from "@apium/hub/Queue"
import * as Redis from "@apium/transport-redis/node"
import * as RedisBackend from "@apium/worker/client/backends/RedisBackend"
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
    Layer.provide(RedisBackend.layer),
    Layer.provide(Redis.layerAll(process.argv[2]!))
  )
)
