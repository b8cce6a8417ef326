/** Results while Redis is away, refuses, or says nothing (RELIABILITY E1, E2, D5, D9, D10). */
import { Connection } from "@apium/hub/Connection"
import * as MemoryTransport from "@apium/hub/memory/MemoryTransport"
import * as HubQueue from "@apium/hub/Queue"
import * as Redis from "@apium/transport-redis/node"
import { Client, RedisBackend, Task, Tasks, Worker } from "@apium/worker"
import { assert, layer } from "@effect/vitest"
import { Context, Effect, Fiber, Layer, Schema } from "effect"
import { message, part } from "../../../test/support/BackendSuite.ts"
import * as FaultProxy from "../../../test/support/FaultProxy.ts"
import { print, slack, spread, timed, times } from "../../../test/support/Figures.ts"
import { Redis as Server, RedisServer } from "../../../test/support/Redis.ts"
import { ids, open, subscribed, waitAll } from "./support/backends.ts"
import * as stores from "./support/stores.ts"

layer(Server.layer({ appendfsync: "always" }), { excludeTestServices: true })("results in a Redis that fails", (it) => {
  it.effect("arrive, though Redis was killed and came back while they were awaited and stored", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const process = yield* RedisServer
      const backend = yield* open(server.url())
      const worker = yield* open(server.url())
      const count = times(300, 1000)
      const all = ids("restart", count)
      const waiting = yield* waitAll(backend, all)
      yield* subscribed(count)
      const third = Math.floor(count / 3)
      const store = (some: ReadonlyArray<string>) =>
        Effect.forEach(some, (id) => worker.store(message(id)), { concurrency: 50, discard: true })
      yield* store(all.slice(0, third))
      yield* process.kill
      // These are stored while nobody is there: each is tried again.
      const storing = yield* Effect.forkChild(store(all.slice(third, 2 * third)), { startImmediately: true })
      yield* Effect.sleep("300 millis")
      const began = performance.now()
      yield* process.start
      yield* Fiber.join(storing)
      const stored = performance.now() - began
      yield* store(all.slice(2 * third))
      yield* Fiber.joinAll(waiting)
      yield* print(
        `redis restart: ${count}/${count} results arrived; stored ${Math.round(stored)} ms after the start, the last heard after ${Math.round(performance.now() - began)} ms`
      )
    })
  )

  it.effect("of tasks that end while it is away are stored when it is back, and no task runs again", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const process = yield* RedisServer
      const count = times(100, 500)
      const task = Task.make("faults.one", { params: { n: Schema.Number }, result: Schema.Number })
      let runs = 0
      const handler = Tasks.handle(task, ({ n }) => Effect.sync(() => (runs++, n * 2)))
      const services = yield* Layer.build(
        Worker.layer({ queues: [HubQueue.make("celery")], concurrency: 20 }).pipe(
          Layer.provide(handler),
          Layer.provide(Tasks.layer),
          Layer.provideMerge(Client.layer),
          Layer.provide(Connection.layer),
          Layer.provide(MemoryTransport.layer),
          Layer.provide(RedisBackend.layer),
          Layer.provide(Redis.layerRedis(server.url()))
        )
      )
      const client = Context.get(services, Client)
      yield* process.kill
      const sent = yield* client.sendAll(
        task,
        Array.from({ length: count }, (_, n) => ({ n }))
      )
      // As many as run at once: none of them is over before its result is stored.
      yield* stores.until(Effect.sync(() => runs === 20))
      yield* Effect.sleep(times(1000, 10_000))
      assert.strictEqual(runs, 20)
      yield* process.start
      const took = yield* timed(
        Effect.forEach(sent, (result, n) => Effect.map(result.get, (value) => assert.strictEqual(value, n * 2)), {
          concurrency: "unbounded"
        })
      )
      assert.strictEqual(runs, count)
      yield* print(
        `results away: ${count}/${count} stored, ${runs} runs; the last ${Math.round(took)} ms after the start`
      )
    })
  )

  it.effect("are not missed, however often the connections are killed", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const backend = yield* open(server.url(), {}, { backoff: { base: "20 millis", cap: "100 millis" } })
      const worker = yield* open(server.url(), {}, { backoff: { base: "20 millis", cap: "100 millis" } })
      const kills = times(15, 25, 50)
      const took: Array<number> = []
      for (let kill = 0; kill < kills; kill++) {
        const all = ids(`kill-${kill}`, 20)
        const waiting = yield* waitAll(backend, all)
        yield* subscribed(all.length)
        const storing = yield* Effect.forkChild(
          Effect.forEach(all, (id) => worker.store(message(id)), { discard: true }),
          { startImmediately: true }
        )
        yield* server.command("CLIENT", "KILL", "TYPE", kill % 3 === 2 ? "normal" : "pubsub")
        took.push(yield* timed(Effect.andThen(Fiber.join(storing), Fiber.joinAll(waiting))))
        yield* subscribed(0)
      }
      yield* print(`CLIENT KILL x${kills}: 0 of ${kills * 20} results missed; p50/p95/max ${spread(took)} ms`)
    })
  )

  it.effect("that come in the moment they are asked for are never missed", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const backend = yield* open(server.url())
      const worker = yield* open(server.url())
      const count = times(2000, 10_000)
      yield* Effect.forEach(
        ids("instant", count),
        (id, index) =>
          Effect.gen(function* () {
            const waiting = yield* Effect.forkChild(backend.wait(id), { startImmediately: index % 2 === 0 })
            for (let turn = 0; turn < index % 7; turn++) yield* Effect.yieldNow
            yield* worker.store(message(id))
            yield* Fiber.join(waiting)
          }),
        { concurrency: 50, discard: true }
      )
      yield* subscribed(0)
      yield* print(`instant results: 0 of ${count} hung`)
    })
  )

  it.effect(
    "a network that swallows everything is noticed while somebody waits, and what was missed is read behind it",
    () =>
      Effect.gen(function* () {
        const server = yield* Server
        const proxy = yield* FaultProxy.make({ port: server.node.port })
        const backend = yield* open(server.url(proxy.port))
        const worker = yield* open(server.url())
        const all = ids("hole", 100)
        const waiting = yield* waitAll(backend, all)
        yield* subscribed(all.length)
        const before = proxy.counts().accepted
        yield* proxy.blackHole
        const noticed = yield* timed(
          Effect.andThen(
            Effect.forEach(all, (id) => worker.store(message(id)), { concurrency: 50, discard: true }),
            proxy.until(({ accepted }) => accepted > before)
          )
        )
        const healed = yield* timed(Effect.andThen(proxy.heal, Fiber.joinAll(waiting)))
        assert.isBelow(noticed, 5000 + slack)
        yield* print(
          `black hole: tried anew after ${Math.round(noticed)} ms, ${all.length} results read ${Math.round(healed)} ms after its end`
        )
      })
  )

  it.effect("a script that Redis forgot is loaded again", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const backend = yield* open(server.url())
      yield* backend.chords.size("flush", 10)
      yield* Effect.forEach(ids("flush", 10), (id, index) =>
        Effect.gen(function* () {
          yield* server.command("SCRIPT", "FLUSH")
          yield* backend.store(message(id))
          yield* backend.chords.count(part("flush", index), () => Effect.void)
          assert.strictEqual((yield* backend.wait(id)).status, "SUCCESS")
        })
      )
    })
  )
})
