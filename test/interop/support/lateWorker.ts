/** A worker of ours as a process that a test kills. Its first argument: where, and how. It says what it begins. */
import * as Queue from "@apium/hub/Queue"
import * as Amqp from "@apium/transport-amqp/node"
import * as Redis from "@apium/transport-redis/node"
import * as RedisBackend from "@apium/worker/client/backends/RedisBackend"
import * as RpcBackend from "@apium/worker/client/backends/RpcBackend"
import { Client } from "@apium/worker/client/Client"
import { run } from "@apium/worker/node"
import * as Task from "@apium/worker/task/Task"
import { Tasks } from "@apium/worker/task/Tasks"
import * as Worker from "@apium/worker/Worker"
import { Effect, Layer, Schema } from "effect"

export interface Script {
  readonly name: string
  readonly broker: string
  /** `rpc://`, or a Redis. */
  readonly backend: string
  readonly queue: string
  /** Milliseconds, of Redis. */
  readonly lease: number
}

const script = JSON.parse(process.argv[2]!) as Script

const late = Task.make("proj.late", {
  params: { n: Schema.Number, seconds: Schema.Number },
  result: Schema.Number,
  acksLate: true
})

const Handlers = Tasks.handle(late, ({ n, seconds }) =>
  Effect.gen(function* () {
    console.log(`began ${n}`)
    yield* Effect.sleep(seconds * 1000)
    return n * 2
  })
)

const Link = script.broker.startsWith("redis")
  ? Redis.layer(script.broker, { lease: script.lease, retryOnStartup: true })
  : Amqp.layer(script.broker, { retryOnStartup: true })

const Results =
  script.backend === "rpc://"
    ? RpcBackend.layer
    : Layer.orDie(RedisBackend.layer.pipe(Layer.provide(Redis.layerRedis(script.backend))))

run(
  Layer.effectDiscard(Effect.sync(() => console.log("@ ready"))).pipe(
    Layer.provideMerge(Worker.layer({ name: script.name, queues: [Queue.make(script.queue)], concurrency: 3 })),
    Layer.provide(Handlers),
    Layer.provide([Tasks.layer, Client.layer]),
    Layer.provide(Results),
    Layer.provide(Link)
  )
)
