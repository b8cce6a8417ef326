/** Tasks with an ETA, who sends them and who runs them, and what is made of how late they were. */
import * as Queue from "@apium/hub/Queue"
import * as Redis from "@apium/transport-redis/node"
import { Client, MemoryBackend, type ResultBackend, Task, Tasks, Worker } from "@apium/worker"
import { assert } from "@effect/vitest"
import { Clock, Effect, Layer, Schema, type Scope } from "effect"
import { spread } from "../../../../test/support/Figures.ts"
import { Redis as Server } from "../../../../test/support/Redis.ts"
import * as stores from "./stores.ts"

export const due = Task.make("proj.due", {
  params: { n: Schema.Number, at: Schema.Number },
  result: Schema.Void,
  ignoreResult: true
})

/** Of who sends. */
export const World = Layer.unwrap(
  Effect.map(Server, (server) => Client.layer.pipe(Layer.provideMerge(Redis.layer(server.url()))))
).pipe(Layer.provideMerge(Layer.suspend(() => MemoryBackend.layer)), Layer.provideMerge(Server.layer()))

export interface Ran {
  readonly n: number
  /** Milliseconds after it was due, by the clock of the worker. */
  readonly late: number
}

/** A worker on a connection of its own, for as long as the scope is open. */
export const start = (
  ran: Array<Ran>,
  options: Redis.Options = {}
): Effect.Effect<void, unknown, Server | ResultBackend | Scope.Scope> =>
  Effect.gen(function* () {
    const server = yield* Server
    const handler = Tasks.handle(due, ({ at, n }) =>
      Effect.map(Clock.currentTimeMillis, (now) => void ran.push({ n, late: now - at }))
    )
    yield* Layer.build(
      Worker.layer({ queues: [Queue.make("celery")], concurrency: 10 }).pipe(
        Layer.provide(handler),
        Layer.provide(Tasks.layer),
        Layer.provide(Client.layer),
        Layer.provide(Layer.fresh(Redis.layer(server.url(), options)))
      )
    )
  })

export const send = (count: number, at: (n: number) => number) =>
  Effect.gen(function* () {
    const client = yield* Client
    // Those of one time in one batch.
    const byTime = Map.groupBy(
      Array.from({ length: count }, (_, n) => n),
      at
    )
    for (const [at, numbers] of byTime) {
      yield* client.sendAll(
        due,
        numbers.map((n) => ({ n, at })),
        { eta: new Date(at) }
      )
    }
  })

export const parked = Effect.flatMap(Server, ({ command }) => command("ZCARD", "celery.delayed"))
export const waiting = Effect.flatMap(Server, ({ command }) => command("LLEN", "celery"))
export const untilParked = (count: number) => stores.until(Effect.map(parked, (now) => now === count))

export const nothingLeft = Effect.gen(function* () {
  const { command } = yield* Server
  const keys = ["unacked", "unacked_index", "celery", "celery.delayed", "apium.delayed"]
  assert.strictEqual(yield* command("EXISTS", ...keys), 0)
})

/** What a worker's process has said. */
export const said = (lines: ReadonlyArray<string>): Array<Ran> =>
  lines.flatMap((line) => {
    const [word, n, late] = line.split(" ")
    return word === "ran" ? [{ n: Number(n), late: Number(late) }] : []
  })

export const book = (ran: ReadonlyArray<Ran>, count: number) => {
  const late = ran.map((one) => one.late).toSorted((one, other) => one - other)
  const numbers = new Set(ran.map(({ n }) => n))
  const p99 = late[Math.floor(late.length * 0.99)]
  const twice = ran.flatMap(({ n }, index) => (ran.findIndex((one) => one.n === n) < index ? [n] : []))
  // Those of one test are not always numbered from 0: who is missing is known by who ran.
  const named = twice.length === 0 ? "" : ` twice: ${twice.join()}`
  const ranOnly = count === numbers.size ? "" : ` ran: ${[...numbers].toSorted((one, other) => one - other).join()}`
  return {
    lost: count - numbers.size,
    dup: ran.length - numbers.size,
    early: late.filter((millis) => millis < 0).length,
    p50: late[late.length >> 1] ?? Number.NaN,
    line: `n=${count} lost=${count - numbers.size} dup=${ran.length - numbers.size} early=${late.filter((millis) => millis < 0).length} late p50/p95/max=${spread(late)} p99=${p99} ms${named}${ranOnly}`
  }
}
