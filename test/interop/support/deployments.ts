/** Where both sides meet: a broker, and a place for results. */
import type { Connection } from "@apium/hub/Connection"
import type { HubError } from "@apium/hub/HubError"
import * as Amqp from "@apium/transport-amqp/node"
import * as RedisDoor from "@apium/transport-redis/node"
import * as RedisBackend from "@apium/worker/client/backends/RedisBackend"
import * as RpcBackend from "@apium/worker/client/backends/RpcBackend"
import type { ResultBackend } from "@apium/worker/client/ResultBackend"
import { Effect, Layer } from "effect"
import { RabbitMq } from "../../support/RabbitMq.ts"
import { Redis } from "../../support/Redis.ts"

export interface Deployment {
  readonly broker: string
  readonly backend: string
  readonly connection: () => Layer.Layer<Connection, HubError>
  readonly results: Layer.Layer<ResultBackend, HubError, Connection>
}

const results = (url: string) => Layer.orDie(RedisBackend.layer.pipe(Layer.provide(RedisDoor.layerRedis(url))))

export const rabbitMq = Effect.gen(function* () {
  const broker = (yield* RabbitMq).url()
  const backend = (yield* Redis).url()
  return {
    broker,
    backend,
    connection: () => Layer.fresh(Layer.orDie(Amqp.layer(broker))),
    results: results(backend)
  } satisfies Deployment
})

/** Results come as messages: nobody counts them, and who did not send a task cannot ask for its result. */
export const rpc = Effect.map(rabbitMq, (deployment): Deployment => ({
  ...deployment,
  backend: "rpc://",
  results: Layer.fresh(RpcBackend.layer)
}))

export const redis = Effect.gen(function* () {
  const url = (yield* Redis).url()
  return {
    broker: url,
    backend: url,
    connection: () => Layer.fresh(Layer.orDie(RedisDoor.layer(url))),
    results: results(url)
  } satisfies Deployment
})
