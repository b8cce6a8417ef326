/** Checks that a Python client makes of a worker of ours, in each deployment: RabbitMQ with results in Redis, RabbitMQ alone, and Redis. */
import * as Queue from "@apium/hub/Queue"
import * as RedisDoor from "@apium/transport-redis/node"
import * as RedisBackend from "@apium/worker/client/backends/RedisBackend"
import { Client } from "@apium/worker/client/Client"
import { Tasks } from "@apium/worker/task/Tasks"
import * as Worker from "@apium/worker/Worker"
import { assert, layer } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { isDeepStrictEqual } from "node:util"
import { print } from "../../support/Figures.ts"
import { RabbitMq } from "../../support/RabbitMq.ts"
import { Redis } from "../../support/Redis.ts"
import { canvasHandlers, canvasNames } from "./canvasTasks.ts"
import * as deployments from "./deployments.ts"
import * as PythonClient from "./PythonClient.ts"
import { handlers } from "./tasks.ts"

/** Python code that sets `answer`, and what that is to be. */
export type Check = readonly [title: string, code: string, expected: unknown]

export interface Checks {
  readonly everywhere?: ReadonlyArray<Check>
  /** What needs a backend that counts, or that answers whoever asks: results that are messages reach their sender, once. */
  readonly stored?: ReadonlyArray<Check>
}

export interface Options {
  /** Of the worker. */
  readonly worker?: Partial<Pick<Worker.Options, "queues" | "concurrency" | "fetch">>
  /** Celery's `result_extended`, of results in Redis. */
  readonly extended?: boolean
  /** Of the Python client, by Celery's names. */
  readonly conf?: Readonly<Record<string, unknown>>
}

class Asked extends Context.Service<Asked, PythonClient.PythonClient>()("test/interop/Asked") {}

/** Of all checks before it: a callback or an errback that was called once too often, in the meantime. */
const once: Check = [
  "nobody was called again",
  `answer = [[key, times, told] for key, times in expected.items() for told in [heard(key)] if len(told) != times]`,
  []
]

/** For a check that failed: what was told under the keys that were asked for last, and how often it should have been. */
const lately = `answer = {key: [times, heard(key)] for key, times in list(expected.items())[-4:]}`

export const deployed = [
  ["RabbitMQ", deployments.rabbitMq, Layer.merge(RabbitMq.shared, Redis.shared)],
  ["RabbitMQ with results as messages", deployments.rpc, Layer.merge(RabbitMq.shared, Redis.shared)],
  ["Redis", deployments.redis, Redis.shared]
] as const

const resultsOf = (url: string) =>
  Layer.orDie(RedisBackend.layerWith({ extended: true }).pipe(Layer.provide(RedisDoor.layerRedis(url))))

export const onEach = (
  what: string,
  { everywhere = [], stored = [] }: Checks,
  { conf = {}, extended = false, worker = {} }: Options = {}
): void => {
  for (const [name, deployment, servers] of deployed) {
    const checks = [...everywhere, ...(deployment === deployments.rpc ? [] : stored)]
    if (checks.length === 0) continue
    let passed = 0
    const World = Layer.unwrap(
      Effect.map(deployment as typeof deployments.rpc, ({ backend, broker, connection, results }) => {
        const { concurrency = 8, fetch, queues = [Queue.make("celery")] } = worker
        const Running = Worker.layer({ concurrency, fetch, queues }).pipe(
          Layer.provide(Layer.merge(handlers, canvasHandlers)),
          Layer.provide(Tasks.layer),
          Layer.provide(Client.layerWith({ queues })),
          Layer.provide(extended ? resultsOf(backend) : results),
          Layer.provide(connection())
        )
        const env = { BROKER: broker, BACKEND: backend, TASKS: JSON.stringify(canvasNames), CONF: JSON.stringify(conf) }
        return Layer.merge(Running, Layer.effect(Asked, PythonClient.start(env)))
      })
    ).pipe(
      Layer.merge(
        Layer.effectDiscard(
          Effect.addFinalizer(() =>
            print(`${what} of a Python client and our worker on ${name}: ${passed} of ${checks.length} checks passed`)
          )
        )
      ),
      Layer.provide(servers as Layer.Layer<RabbitMq | Redis>)
    )
    layer(World, { excludeTestServices: true })(`${what} of a Python client and our worker on ${name}`, (it) => {
      it.effect.each([...checks, once].map(([title, code, expected]) => ({ title, code, expected })))(
        "$title",
        ({ code, expected, title }) =>
          Effect.gen(function* () {
            const { ask } = yield* Asked
            const answer = yield* ask(code)
            const why = isDeepStrictEqual(answer, expected)
              ? ""
              : `, where was told: ${JSON.stringify(yield* ask(lately))}`
            assert.deepStrictEqual(answer, expected, title + why)
            if (title !== once[0]) passed++
          })
      )
    })
  }
}
