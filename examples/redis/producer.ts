/**
 * A producer on Redis: it sends a task for each day, and waits for their results; however many these are, on one connection. They wait for a
 * worker if there is none.
 *
 *   node --conditions=@apium/source examples/redis/producer.ts
 */
import * as Queue from "@apium/hub/Queue"
import * as Redis from "@apium/transport-redis/node"
import { Client } from "@apium/worker/client/Client"
import * as RedisBackend from "@apium/worker/client/backends/RedisBackend"
import { Console, Effect, Layer } from "effect"
import { report, url } from "./tasks.ts"

const program = Effect.gen(function* () {
  const client = yield* Client
  const results = yield* client.sendAll(report, [
    { day: "Monday", orders: [20, 22] },
    { day: "Tuesday", orders: [] },
    { day: "Wednesday", orders: [0.5, 7] }
  ])
  for (const result of results) {
    const { day, total } = yield* result.get
    yield* Console.log(`${day}: ${total}`)
  }
})

const Live = Client.layerWith({ queues: [Queue.make("shop")], defaultQueue: "shop" }).pipe(
  Layer.provide(RedisBackend.layer),
  Layer.provide(Redis.layerAll(url))
)

await Effect.runPromise(Effect.provide(program, Live))
