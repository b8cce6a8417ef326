/** Where both languages meet: a broker, and a place for results. The Python files of this example read the same two variables. */
import * as Amqp from "@apium/transport-amqp/node"
import * as Redis from "@apium/transport-redis/node"
import * as RedisBackend from "@apium/worker/client/backends/RedisBackend"
import * as RpcBackend from "@apium/worker/client/backends/RpcBackend"
import { Layer } from "effect"

const broker = process.env["APIUM_BROKER_URL"] ?? "redis://localhost:6379/0"
const onRedis = broker.startsWith("redis")
/** In Redis, or as messages to whoever sent the task. */
const results = process.env["APIUM_RESULT_BACKEND"] ?? (onRedis ? broker : "rpc://")

const ConnectionLive = onRedis ? Redis.layer(broker) : Amqp.layer(broker)

const ResultsLive =
  results === "rpc://" ? RpcBackend.layer : RedisBackend.layer.pipe(Layer.provide(Redis.layerRedis(results)))

export const DeploymentLive = Layer.provideMerge(ResultsLive, ConnectionLive)
