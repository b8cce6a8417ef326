/** Workers of either language that are killed while they run what the other language has sent, and acknowledge late. */
import type { HubError } from "@apium/hub/HubError"
import { Client } from "@apium/worker/client/Client"
import { ResultBackend } from "@apium/worker/client/ResultBackend"
import { assert, layer } from "@effect/vitest"
import { Context, Effect, Layer, Option, Scope } from "effect"
import { random } from "../../packages/protocol/test/support/Random.ts"
import { print, times, until } from "../support/Figures.ts"
import * as Program from "../support/Program.ts"
import { RabbitMq } from "../support/RabbitMq.ts"
import { Redis, type RedisFailed } from "../support/Redis.ts"
import * as deployments from "./support/deployments.ts"
import type { Script } from "./support/lateWorker.ts"
import * as PythonClient from "./support/PythonClient.ts"
import * as PythonWorker from "./support/PythonWorker.ts"

const many = times(200, 250, 2000)
const kills = times(3, 4, 40)
/** For all the kills of the highest level. */
const limit = 600_000
/** Milliseconds, on Redis: of our leases, and of Python's visibility timeout. */
const lease = 2000
const visibility = 3000

/** Ours, bundled once. */
class Ours extends Context.Service<Ours, string>()("test/interop/Ours") {
  static readonly layer = Layer.effect(Ours, Program.bundle("test/interop/support/lateWorker.ts"))
}

const World = Layer.mergeAll(RabbitMq.shared, Redis.shared, Ours.layer)

layer(World, { excludeTestServices: true })("workers that are killed", (it) => {
  for (const [name, deployment] of [
    ["RabbitMQ", deployments.rabbitMq],
    ["RabbitMQ with results as messages", deployments.rpc],
    ["Redis", deployments.redis]
  ] as const) {
    it.effect(
      `of ours, on ${name}: ${many} tasks of a Python client all have their results`,
      () =>
        Effect.gen(function* () {
          const { backend, broker } = yield* deployment
          const r = random(61)
          const scope = yield* Effect.scope
          const file = yield* Ours
          let started = 0
          const began: Array<string> = []
          const start = Effect.gen(function* () {
            const script: Script = { name: `late-${++started}@here`, broker, backend, queue: "late", lease }
            const worker = yield* Program.start(file, { args: [JSON.stringify(script)] })
            yield* worker.line("@ ready")
            return worker
          }).pipe(Scope.provide(scope))
          const over = (worker: Program.Program) =>
            Effect.map(worker.ended, ({ lines }) => began.push(...lines.filter((line) => line.startsWith("began"))))
          const { ask } = yield* PythonClient.start({ BROKER: broker, BACKEND: backend })
          const workers = [yield* start, yield* start]
          yield* ask(`
app.late = [app.send_task("proj.late", (n, 0.02 + n % 7 / 100), queue="late") for n in range(${many})]`)
          for (let kill = 0; kill < kills; kill++) {
            const victim = workers.shift()!
            yield* Effect.sleep(100 + r.below(300))
            yield* victim.signal("SIGKILL")
            yield* over(victim)
            workers.push(yield* start)
          }
          const answer = yield* ask(`answer = [r.get(timeout=100) for r in app.late]`)
          assert.deepStrictEqual(
            answer,
            Array.from({ length: many }, (_, n) => n * 2)
          )
          for (const worker of workers) {
            yield* worker.signal("SIGTERM")
            yield* over(worker)
          }
          const ran = new Set(began)
          const twice = began.length - ran.size
          yield* print(
            `late acks, Python's client and our workers on ${name}: lost=0 n=${many} kills=${kills} begun again=${twice}`
          )
          assert.deepStrictEqual(
            Array.from({ length: many }, (_, n) => `began ${n}`).filter((line) => !ran.has(line)),
            []
          )
        }),
      limit
    )

    // Where results go is nothing to acknowledgements.
    if (deployment === deployments.rpc) continue
    it.effect(`of Python's, on ${name}: what they held runs on another`, () =>
      Effect.gen(function* () {
        const { command } = yield* Redis
        const { backend, broker, connection, results } = yield* deployment
        const onRedis = broker.startsWith("redis")
        const worker = PythonWorker.start(
          {
            BROKER: broker,
            BACKEND: backend,
            // Kombu looks for what is overdue once in a hundred seconds.
            HURRIED: "yes",
            CONF: JSON.stringify({
              task_acks_late: true,
              task_reject_on_worker_lost: true,
              worker_prefetch_multiplier: 2,
              // Who is killed while he looks for what is overdue keeps the others from looking: for five minutes, if not told otherwise.
              ...(onRedis
                ? {
                    broker_transport_options: {
                      visibility_timeout: visibility / 1000,
                      unacked_mutex_expire: visibility / 1000
                    }
                  }
                : {})
            })
          },
          { args: ["-Q", "lost", "-n", `w${crypto.randomUUID().slice(0, 8)}@here`] }
        )
        yield* Effect.gen(function* () {
          const client = yield* Client
          const { get } = yield* ResultBackend
          const victim = yield* worker
          yield* worker
          const sent = yield* Effect.forEach(Array.from({ length: 40 }), (_, n) =>
            client.sendTask("proj.sleep", [0.05 + (n % 5) / 40], {}, { queue: "lost" })
          )
          yield* victim.line("received")
          yield* Effect.sleep("200 millis")
          yield* victim.kill
          const found = Effect.map(
            Effect.forEach(sent, ({ id }) => get(id), { concurrency: 20 }),
            (all) => all.filter(Option.exists(({ status }) => status === "SUCCESS")).length
          )
          const held = Effect.zipWith(
            command("LLEN", "lost"),
            command("ZCARD", "unacked_index"),
            (ready, unacked) => Number(ready) + Number(unacked)
          )
          const began = performance.now()
          // It pops one at a time: that one may be lost. What is restored between two looks is in neither, so nothing held is no end by itself.
          const least = sent.length - (onRedis ? 1 : 0)
          yield* Effect.timeoutOption(
            until<HubError, never>(Effect.map(found, (count) => count >= least)),
            "80 seconds"
          )
          if (onRedis) yield* until<RedisFailed, never>(Effect.map(held, (left) => left === 0))
          const count = yield* found
          yield* print(
            `late acks, our client and Python's workers on ${name}: lost=${sent.length - count}${onRedis ? ` (popped by Python, and never noted; visibility timeout ${visibility} ms)` : ""} n=${sent.length} kills=1, all through ${Math.round(performance.now() - began)} ms after`
          )
          assert.isAtLeast(count, least)
        }).pipe(Effect.provide(Client.layer.pipe(Layer.provideMerge(results), Layer.provide(connection()))))
      })
    )
  }
})
