/** One process of the claim benchmark: `claim.ts <way> <url>`. It takes and acknowledges as many messages as it is told to. */
import { Connection } from "@apium/hub/Connection"
import * as Consumer from "@apium/hub/Consumer"
import * as Queue from "@apium/hub/Queue"
import * as Redis from "@apium/transport-redis/node"
import * as RedisStore from "@apium/transport-redis/RedisStore"
import * as RedisUri from "@apium/transport-redis/RedisUri"
import * as Effect from "effect/Effect"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { createClient } from "redis"
import type { Profile } from "../Bench.ts"
import { profile } from "../profile.ts"
import { queue } from "../tasks/work.ts"

export interface Told {
  readonly ready?: true
  /** Milliseconds. */
  readonly time?: number
  /** Microseconds for each. */
  readonly cpu?: number
  /** Of all bodies. */
  readonly octets?: number
  readonly profile?: Profile
  readonly error?: string
}

export interface Asked {
  readonly count: number
  readonly profiled: boolean
}

const [way, url] = process.argv.slice(2) as [string, string]
const redis = await createClient({ url }).connect()
const prefetch = 256

type Take = (count: number) => Promise<number>

/** As a program has it. */
const stream = async (): Promise<Take> => {
  const runtime = ManagedRuntime.make(Redis.layer(url))
  await runtime.runPromise(Connection)
  return (count) => {
    let left = count
    let octets = 0
    return runtime.runPromise(
      Effect.map(
        Stream.runForEachWhile(Consumer.stream([Queue.make(queue)], { prefetch }), (delivery) => {
          octets += delivery.message.body.length
          return Effect.as(delivery.ack, --left > 0)
        }),
        () => octets
      )
    )
  }
}

const store = async (): Promise<Take> => {
  const { store } = await Effect.runPromise(
    Scope.provide(
      Effect.flatMap(Redis.open(RedisUri.parseUnsafe(url)), (link) => RedisStore.make(link)),
      Scope.makeUnsafe()
    )
  )
  return (count) =>
    Effect.runPromise(
      Effect.gen(function* () {
        let octets = 0
        for (let left = count; left > 0;) {
          const taken = yield* store.take([queue], prefetch)
          for (const { message } of taken) octets += message.body.length
          left -= taken.length
          yield* store.settle(taken.map(({ tag }) => tag))
        }
        return octets
      })
    )
}

/** What kombu says to Redis for one message (`kombu/transport/redis.py`), and no more of it: no routing, no callbacks. */
const commands = async (): Promise<Take> => {
  const lists = [queue, ...[3, 6, 9].map((step) => `${queue}\x06\x16${step}`)]
  return async (count) => {
    let octets = 0
    for (let left = count; left > 0; left--) {
      const { element } = (await redis.brPop(lists, 1))!
      const { body, properties } = JSON.parse(element) as {
        readonly body: string
        readonly properties: { readonly delivery_tag: string }
      }
      octets += Buffer.from(body, "base64").length
      const tag = properties.delivery_tag
      await redis
        .multi()
        .zAdd("unacked_index", { score: Date.now() / 1000, value: tag })
        .hSet("unacked", tag, `[${element},"${queue}","${queue}"]`)
        .exec()
      await redis.multi().zRem("unacked_index", tag).hDel("unacked", tag).exec()
    }
    return octets
  }
}

const take = await (way === "stream" ? stream : way === "store" ? store : commands)()

const measured = async (count: number): Promise<Told> => {
  globalThis.gc?.()
  const cpu = process.cpuUsage()
  const began = performance.now()
  const octets = await take(count)
  // Acknowledged is what Redis has forgotten.
  while ((await redis.hLen("unacked")) > 0) await new Promise((resolve) => setImmediate(resolve))
  const time = performance.now() - began
  const { system, user } = process.cpuUsage(cpu)
  return { time, cpu: (user + system) / count, octets }
}

const answer = async ({ count, profiled }: Asked): Promise<Told> =>
  profiled
    ? { profile: await profile({ name: way, start: () => ({ turn: () => take(count) }) }, 1, 0) }
    : measured(count)

const tell = (told: Told): void => void process.send!(told)

process.on("message", (asked: Asked) => {
  answer(asked).then(tell, (error: unknown) => tell({ error: error instanceof Error ? error.stack! : String(error) }))
})
process.on("disconnect", () => process.exit())
tell({ ready: true })
