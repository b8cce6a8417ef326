/** Debian's Celery with one slot: in which order it runs what a client of ours has sent. */
import * as Queue from "@apium/hub/Queue"
import { Client } from "@apium/worker/client/Client"
import { assert } from "@effect/vitest"
import { Effect, Layer, Schedule } from "effect"
import { Redis } from "../support/Redis.ts"
import { note } from "./support/python.ts"
import * as PythonWorker from "./support/PythonWorker.ts"
import { type Check, Deployed, onEach } from "./support/suites.ts"

const queue = "urgent"

const stored: Readonly<Record<string, Check>> = {
  "what waits runs by its priority, and within one in the order of its sending": Effect.gen(function* () {
    const { command } = yield* Redis
    const { broker } = yield* Deployed
    const noted = (list: string, many: number) =>
      Effect.repeat(command("LRANGE", list, 0, -1), {
        until: (all) => (all as ReadonlyArray<string>).length >= many,
        schedule: Schedule.spaced("50 millis")
      })
    const sent = (what: string, priority: number, until: { readonly until?: string } = {}) =>
      note.applyAsync({ list: "order", what, ...until }, { queue, priority })
    // Runs until the others have arrived.
    yield* sent("first", 5, { until: "arrived" })
    yield* noted("order", 1)
    yield* Effect.forEach(["0a", "9a", "3a", "9b", "6a", "0b"], (what) => sent(what, Number(what[0])))
    yield* command("RPUSH", "arrived", "all")
    const order = yield* noted("order", 7)
    // On Redis 0 is the most urgent, as in Kombu.
    const expected = broker.startsWith("redis")
      ? ["0a", "0b", "3a", "6a", "9a", "9b"]
      : ["9a", "9b", "6a", "3a", "0a", "0b"]
    assert.deepStrictEqual(order, ["first", ...expected])
  })
}

onEach(
  "our client and Python's worker: priorities",
  { stored },
  {
    client: Client.layerWith({ queues: [Queue.priority(10)(Queue.make(queue))] }),
    peers: ({ backend, broker }) =>
      Layer.effectDiscard(
        PythonWorker.start(
          {
            BROKER: broker,
            BACKEND: backend,
            PRIORITIES: queue,
            CONF: JSON.stringify({ worker_prefetch_multiplier: 1 })
          },
          { concurrency: 1 }
        )
      )
  }
)
