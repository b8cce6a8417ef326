/** A result backend that is away while tasks finish (RELIABILITY E1): a Redis of its own, beside whatever broker. */
import * as Queue from "@apium/hub/Queue"
import * as RedisDoor from "@apium/transport-redis/node"
import * as RedisBackend from "@apium/worker/client/backends/RedisBackend"
import { Client } from "@apium/worker/client/Client"
import * as Control from "@apium/worker/control/Control"
import { assert } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { print, timed, times } from "../Figures.ts"
import * as Redis from "../Redis.ts"
import * as Fleet from "./Fleet.ts"
import { canvasOf, type Script } from "./Script.ts"

const concurrency = 10

const world = (script: Partial<Script>) =>
  Effect.gen(function* () {
    const { node, server } = yield* Redis.start({ appendfsync: "always" })
    const url = Redis.access(node, 0).url()
    const fleet = yield* Fleet.make({ results: url, concurrency, ...script })
    const services = yield* Layer.build(
      Client.layerWith({ queues: [Queue.make(fleet.name)] }).pipe(
        Layer.provide(RedisBackend.layer),
        Layer.provide(Layer.orDie(RedisDoor.layerRedis(url)))
      )
    )
    const worker = yield* fleet.start()
    yield* worker.line("@ ready")
    const send = (count: number) =>
      Context.get(services, Client).sendAll(
        canvasOf({ queue: fleet.name }).step,
        Array.from({ length: count }, (_, n) => ({ kind: "link" as const, n, wait: 0 })),
        { queue: fleet.name }
      )
    const stopped = Effect.gen(function* () {
      yield* fleet.drained
      yield* worker.signal("SIGTERM")
      return yield* worker.ended
    })
    return { server, fleet, worker, send, stopped }
  })

/** The bar: every result is stored when it is back, none of the tasks runs again, and none is acknowledged before. */
export const away = (row: string, how: "stopped" | "frozen", script: Partial<Script> = {}) =>
  Effect.gen(function* () {
    const count = times(100, 200, 500)
    const long = times(2000, 4000, 10_000)
    const { fleet, send, server, stopped, worker } = yield* world(script)
    yield* how === "stopped" ? server.kill : server.freeze
    const sent = yield* send(count)
    // What begins takes a slot, and keeps it.
    yield* worker.line("@ started")
    yield* Effect.sleep(long)
    const { ready, unacked } = yield* fleet.queue
    const back = performance.timeOrigin + performance.now()
    const took = yield* timed(
      Effect.andThen(
        how === "stopped" ? server.start : server.thaw,
        Effect.forEach(sent, ({ get }) => get, { concurrency: "unbounded" })
      )
    )
    const { code, lines } = yield* stopped
    const started = fleet.lines().filter(({ what }) => what === "started")
    const meanwhile = started.filter(({ at }) => at < back).length
    yield* print(
      `E1 ${row}, results ${how} for ${long} ms: stored=${count}/${count} runs=${started.length} begun meanwhile=${meanwhile} of ${concurrency} slots, acknowledged meanwhile=${count - ready - unacked}; all ${Math.round(took)} ms after it is back`
    )
    assert.deepStrictEqual([code, started.length, ready + unacked], [0, count, count])
    assert.isAtMost(meanwhile, concurrency)
    assert.isFalse(lines.some((line) => line.includes("is lost")))
  })

/** What is away for longer than is waited for: the task is not run again, and its result is counted. */
export const lost = (row: string, script: Partial<Script> = {}) =>
  Effect.gen(function* () {
    const count = 30
    const { fleet, send, server, stopped } = yield* world({ retryFor: 500, ...script })
    yield* server.kill
    yield* send(count)
    yield* fleet.drained
    const [stats] = yield* Control.inspect.stats({ limit: 1, timeout: "1 minute" })
    const told = stats !== undefined && "results_lost" in stats.reply ? stats.reply.results_lost : undefined
    const { code, lines } = yield* stopped
    const logged = lines.filter((line) => line.includes("A result could not be stored, and is lost")).length
    const started = fleet.lines().filter(({ what }) => what === "started").length
    yield* print(`E1 ${row}, results away for good: runs=${started} of ${count}, results_lost=${told} logged=${logged}`)
    assert.deepStrictEqual([code, started, logged, told], [0, count, count, count])
  })
