/**
 * Several brokers behind one port: a transport made of transports (kombu's `failover_strategy` and its `a;b;c` URLs). Each
 * attempt to connect goes through the candidates once, from where the last one left off, and fails with the last failure.
 * One that no retry can mend (bad credentials) fails at once: the next broker is not asked with the same bad password.
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import * as Scope from "effect/Scope"
import type { HubError } from "./HubError.ts"
import { Transport, type TransportConnection } from "./Transport.ts"

/** `round-robin` keeps to the list's order; `shuffle` draws a new order for each attempt. */
export type FailoverStrategy = "round-robin" | "shuffle"

export const make = (
  transports: NonEmptyReadonlyArray<Transport["Service"]>,
  strategy: FailoverStrategy = "round-robin"
): Transport["Service"] => {
  let start = 0

  const order: Effect.Effect<ReadonlyArray<number>> = Effect.suspend(() => {
    const indices = transports.map((_, offset) => (start + offset) % transports.length)
    return strategy === "shuffle" ? Random.shuffle(indices) : Effect.succeed(indices)
  })

  /** In a scope of its own: what an attempt that failed had opened does not stay open next to the one that works. */
  const connectTo = (index: number): Effect.Effect<TransportConnection, HubError, Scope.Scope> =>
    Effect.uninterruptibleMask((restore) =>
      Effect.gen(function* () {
        const scope = yield* Scope.fork(yield* Effect.scope)
        const connection = yield* restore(Scope.provide(transports[index]!.connect, scope)).pipe(
          Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
        )
        start = (index + 1) % transports.length
        return connection
      })
    )

  return {
    name: transports[0].name,
    capabilities: transports[0].capabilities,
    connect: Effect.flatMap(order, (indices) =>
      indices.slice(1).reduce(
        (attempt, index) =>
          Effect.catchIf(
            attempt,
            (error) => error.recoverable,
            () => connectTo(index)
          ),
        connectTo(indices[0]!)
      )
    )
  }
}

/** Of layers, each a broker of its own. */
export const layer = <E, R>(
  candidates: NonEmptyReadonlyArray<Layer.Layer<Transport, E, R>>,
  strategy?: FailoverStrategy
): Layer.Layer<Transport, E, R> =>
  Layer.effect(
    Transport,
    Effect.gen(function* () {
      const [first, ...rest] = candidates
      const build = (candidate: Layer.Layer<Transport, E, R>) =>
        Effect.map(Layer.build(Layer.fresh(candidate)), (context) => Context.get(context, Transport))
      return make([yield* build(first), ...(yield* Effect.forEach(rest, build))], strategy)
    })
  )
