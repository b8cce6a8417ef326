/** The same checks against each deployment: RabbitMQ with results in Redis, RabbitMQ alone, and Redis. */
import type { Connection } from "@apium/hub/Connection"
import { Client } from "@apium/worker/client/Client"
import type { ResultBackend } from "@apium/worker/client/ResultBackend"
import { layer } from "@effect/vitest"
import { Context, Effect, Layer, Scope } from "effect"
import { print, times } from "../../support/Figures.ts"
import { RabbitMq } from "../../support/RabbitMq.ts"
import { Redis } from "../../support/Redis.ts"
import * as deployments from "./deployments.ts"
import * as PythonClient from "./PythonClient.ts"

/** Where a check is, and a Python client there, which starts when somebody asks it. */
export class Deployed extends Context.Service<
  Deployed,
  deployments.Deployment & { readonly python: Effect.Effect<PythonClient.PythonClient, unknown> }
>()("test/interop/Deployed") {
  static readonly layer = (deployment: deployments.Deployment) =>
    Layer.effect(
      Deployed,
      Effect.gen(function* () {
        const scope = yield* Effect.scope
        const started = PythonClient.start({ BROKER: deployment.broker, BACKEND: deployment.backend })
        return { ...deployment, python: yield* Effect.cached(Scope.provide(started, scope)) }
      })
    )
}

export type Check = Effect.Effect<
  unknown,
  unknown,
  Client | Connection | ResultBackend | Deployed | Redis | Scope.Scope
>

export interface Checks {
  readonly everywhere?: Readonly<Record<string, Check>>
  /**
   * What needs a backend that counts, or that answers who did not send the task: results that are messages reach the one who
   * sent, once.
   */
  readonly stored?: Readonly<Record<string, Check>>
  /** Everywhere, one after the other: what takes a process of Python's pool down, at times with a task that it was just given. */
  readonly alone?: Readonly<Record<string, Check>>
}

export interface Options<E> {
  /** What runs beside the client. */
  readonly peers: (deployment: deployments.Deployment, redis: Redis["Service"]) => Layer.Layer<never, E>
  /** Default `Client.layer`. */
  readonly client?: Layer.Layer<Client, never, Connection | ResultBackend>
}

const servers = Layer.merge(RabbitMq.shared, Redis.shared)

/** `title` begins each line: "our client and Python's worker". */
export const onEach = <E>(
  title: string,
  { everywhere = {}, stored = {}, alone = {} }: Checks,
  options: Options<E>
): void => {
  for (const [name, deployment, counts] of [
    ["RabbitMQ", deployments.rabbitMq, true],
    ["RabbitMQ with results as messages", deployments.rpc, false],
    ["Redis", deployments.redis, true]
  ] as const) {
    const together = Object.entries(counts ? { ...everywhere, ...stored } : everywhere)
    const asked = [...together, ...Object.entries(alone)]
    if (asked.length === 0) continue
    let passed = 0
    const World = Layer.unwrap(
      Effect.map(Effect.zip(deployment, Redis), ([one, redis]) => {
        const client = (options.client ?? Client.layer).pipe(
          Layer.provideMerge(one.results),
          Layer.provideMerge(one.connection())
        )
        return Layer.mergeAll(options.peers(one, redis), client, Deployed.layer(one))
      })
    ).pipe(
      Layer.merge(
        Layer.effectDiscard(
          Effect.addFinalizer(() => print(`${title} on ${name}: ${passed} of ${asked.length} checks passed`))
        )
      ),
      Layer.provideMerge(servers)
    )
    layer(World, { excludeTestServices: true })(`${title} on ${name}`, (it) => {
      for (const [checks, concurrent] of [
        // Most of them wait: for a countdown, or for a limit.
        [together, true],
        [Object.entries(alone), false]
      ] as const) {
        it.effect.each(checks.map(([title, check]) => ({ title, check })))(
          "$title",
          ({ check }) => Effect.tap(Effect.scoped(check), () => Effect.sync(() => void passed++)),
          { concurrent, timeout: times(300_000, 600_000) }
        )
      }
    })
  }
}
