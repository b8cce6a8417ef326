/** Results as messages: none that somebody waits for is missed (RELIABILITY E2), on whatever broker. */
import type { Connection } from "@apium/hub/Connection"
import type { HubError } from "@apium/hub/HubError"
import * as RpcBackend from "@apium/worker/client/backends/RpcBackend"
import { Client } from "@apium/worker/client/Client"
import type { ResultBackend } from "@apium/worker/client/ResultBackend"
import * as Task from "@apium/worker/task/Task"
import { Tasks } from "@apium/worker/task/Tasks"
import { assert } from "@effect/vitest"
import { Context, Effect, Fiber, Layer, Option, Schema } from "effect"
import { print, times, until } from "../Figures.ts"
import { world } from "../worker.ts"

const after = Task.make("rpc.after", { params: { wait: Schema.Number, n: Schema.Number }, result: Schema.Number })

const AfterLive = Tasks.handle(after, ({ n, wait }) => Effect.as(wait === 0 ? Effect.void : Effect.sleep(wait), n))

/** A worker and a client with connections of their own. */
const open = <E>(connection: () => Layer.Layer<Connection, E>, options: RpcBackend.Options) =>
  Effect.map(
    Layer.build(
      world(
        (): Layer.Layer<Connection | ResultBackend, E | HubError> =>
          Layer.fresh(RpcBackend.layerWith(options)).pipe(Layer.provideMerge(Layer.fresh(connection()))),
        AfterLive
      )
    ),
    (services) => Context.get(services, Client)
  )

/** Tasks that take no time, asked for at once or a few turns later. */
export const instant = <E>(row: string, connection: () => Layer.Layer<Connection, E>) =>
  Effect.gen(function* () {
    const client = yield* open(connection, {})
    const count = times(2000, 4000, 10_000)
    const missed = yield* Effect.forEach(
      Array.from({ length: count }, (_, n) => n),
      (n) =>
        Effect.gen(function* () {
          const { get } = yield* client.send(after, { n, wait: 0 })
          for (let turn = 0; turn < n % 7; turn++) yield* Effect.yieldNow
          return Option.isNone(yield* Effect.timeoutOption(get, "1 minute"))
        }),
      { concurrency: 50 }
    )
    const never = missed.filter((one) => one).length
    yield* print(`E2 rpc on ${row}: ${never} of ${count} instant results hung`)
    assert.strictEqual(never, 0)
  })

/** The broker, which keeps the results as well, goes away and comes back while they are waited for. */
export const restarted = <E, E2, R>(
  row: string,
  connection: () => Layer.Layer<Connection, E>,
  restart: Effect.Effect<void, E2, R>,
  options: RpcBackend.Options
) =>
  Effect.gen(function* () {
    const client = yield* open(connection, options)
    const restarts = times(1, 2, 10)
    const each = times(400, 1000)
    let never = 0
    for (let round = 0; round < restarts; round++) {
      const sent = yield* client.sendAll(
        after,
        Array.from({ length: each }, (_, n) => ({ n, wait: n % 40 }))
      )
      let left = each
      const waiting = yield* Effect.forEach(sent, ({ get }, n) =>
        Effect.forkChild(
          Effect.map(get, (value) => {
            assert.strictEqual(value, n)
            left--
          })
        )
      )
      // They come, and go on coming.
      yield* until(Effect.sync(() => left < (each * 3) / 4))
      yield* restart
      // The broker gives a link a second, and a consumer its messages.
      yield* Effect.timeoutOption(until(Effect.sync(() => left === 0)), "1 minute")
      never += left
      yield* Fiber.interruptAll(waiting)
    }
    yield* print(`E2 rpc on ${row}: ${never} of ${restarts * each} results hung, restarts=${restarts}`)
    assert.strictEqual(never, 0)
  })
