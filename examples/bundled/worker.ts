/**
 * A worker to be bundled, as docs/deploy.md has it. Its tasks run where it is told: in fibers, in threads or in processes.
 *
 *   APIUM_BROKER_URL=redis://localhost:6379/0 node --conditions=@apium/source examples/bundled/worker.ts [fiber|inline|thread|process]
 */
import * as Queue from "@apium/hub/Queue"
import * as Redis from "@apium/transport-redis/node"
import * as RedisBackend from "@apium/worker/client/backends/RedisBackend"
import * as InlinePool from "@apium/worker/execution/pools/InlinePool"
import { layerProcessPool, layerThreadPool, run } from "@apium/worker/node"
import { Tasks } from "@apium/worker/task/Tasks"
import * as Worker from "@apium/worker/Worker"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as path from "node:path"
import HandlersLive from "./handlers.ts"

/** `handlers.ts` beside the sources, `handlers.mjs` beside the bundle. */
const module = new URL(`handlers${path.extname(import.meta.url)}`, import.meta.url)

const pools = {
  fiber: undefined,
  inline: InlinePool.layer,
  thread: layerThreadPool({ module, size: 2 }),
  process: layerProcessPool({ module, size: 2 })
}
const pool = pools[(process.argv[2] ?? "fiber") as keyof typeof pools]

const Ready = Layer.effectDiscard(
  Effect.flatMap(Worker.Worker, ({ nodename }) => Console.log(`${nodename} takes tasks until Ctrl-C.`))
)

run(
  Ready.pipe(
    Layer.provideMerge(Worker.layer({ queues: [Queue.make("bundled")], concurrency: 2, pool })),
    Layer.provide(HandlersLive),
    Layer.provide(Tasks.layer),
    Layer.provide(RedisBackend.layer),
    Layer.provide(Redis.layerAll(process.env.APIUM_BROKER_URL ?? "redis://localhost:6379/0"))
  )
)
