/** Backends with connections of their own, and what Redis knows of them. */
import * as Redis from "@apium/transport-redis/node"
import type * as RedisClient from "@apium/transport-redis/RedisClient"
import { RedisBackend, ResultBackend } from "@apium/worker"
import { Context, Effect, Layer } from "effect"
import { Redis as Server } from "../../../../test/support/Redis.ts"
import * as stores from "./stores.ts"

export const open = (url: string, options: RedisBackend.Options = {}, client?: RedisClient.Options) =>
  Effect.map(
    Layer.build(Layer.fresh(RedisBackend.layerWith(options).pipe(Layer.provide(Redis.layerRedis(url, client))))),
    (services) => Context.get(services, ResultBackend)
  )

export const ids = (name: string, count: number) => Array.from({ length: count }, (_, index) => `${name}-${index}`)

/** A fiber for each, which waits already. */
export const waitAll = (backend: ResultBackend["Service"], all: ReadonlyArray<string>) =>
  Effect.forEach(all, (id) => Effect.forkChild(backend.wait(id), { startImmediately: true }))

/** How many connections there are of this type, without the one that asks. */
export const clients = (type: "pubsub" | "normal") =>
  Effect.gen(function* () {
    const server = yield* Server
    const list = (yield* server.command("CLIENT", "LIST", "TYPE", type)) as string
    return list.split("\n").filter((line) => line !== "" && !line.includes("cmd=client")).length
  })

/** Waits until so many channels are subscribed to. */
export const subscribed = (count: number) =>
  stores.until(
    Effect.gen(function* () {
      const server = yield* Server
      return (yield* server.command("EVAL", "return #redis.call('PUBSUB', 'CHANNELS')", 0)) === count
    })
  )
