/** A broker that should keep what is not due, and refuses; and stores that keep what a consumer postpones, some of which refuse. */
import { Connection } from "@apium/hub/Connection"
import type { Channel } from "@apium/hub/Channel"
import { DelayRefused, HubError, OutOfMemory } from "@apium/hub/HubError"
import * as MemoryStore from "@apium/hub/memory/MemoryStore"
import type { Route } from "@apium/hub/Message"
import { Transport } from "@apium/hub/Transport"
import type { VirtualStore } from "@apium/hub/virtual/VirtualStore"
import * as VirtualTransport from "@apium/hub/virtual/VirtualTransport"
import * as TaskMessage from "@apium/protocol/celery/TaskMessage"
import * as MemoryBackend from "@apium/worker/client/backends/MemoryBackend"
import { Client } from "@apium/worker/client/Client"
import * as Control from "@apium/worker/control/Control"
import type { ResultBackend } from "@apium/worker/client/ResultBackend"
import * as Profile from "@apium/worker/Profile"
import * as Task from "@apium/worker/task/Task"
import { Tasks } from "@apium/worker/task/Tasks"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Exit, Layer, Logger, Schema, Scope } from "effect"
import { TestClock } from "effect/testing"
import { headers, inject, json, settle, start, stored, waiting } from "../support/World.ts"

const work = Task.make("proj.work", { params: { n: Schema.Number }, result: Schema.Number })

const refused = Effect.fail(new HubError({ reason: new DelayRefused({ text: "it has no lattice" }) }))

/** The memory's channel, but for `notBefore`; `asked` has the routes that had one. */
const refusing = (channel: Channel, asked: Array<Route>): Channel => ({
  ...channel,
  publish: (message, route) => {
    if (route.notBefore === undefined) return channel.publish(message, route)
    asked.push(route)
    return refused
  },
  publishAll: (batch) => {
    const delayed = batch.filter(([, { notBefore }]) => notBefore !== undefined)
    asked.push(...delayed.map(([, route]) => route))
    return delayed.length > 0 ? refused : channel.publishAll(batch)
  }
})

type World = Client | Connection | ResultBackend | Tasks

/** What the workers of a test log goes into `said`. */
const worldOf = (transport: Layer.Layer<Transport>, said: Array<string>) => {
  const logger = Logger.make(
    ({ message }) => void said.push(Array.isArray(message) ? String(message[0]) : String(message))
  )
  return Client.layer.pipe(
    Layer.provideMerge(
      Layer.mergeAll(
        Connection.layer.pipe(Layer.provide(transport)),
        Layer.suspend(() => MemoryBackend.layer),
        Tasks.layer
      )
    ),
    Layer.merge(Logger.layer([logger]))
  )
}

const test = (
  name: string,
  body: (asked: Array<Route>, said: Array<string>) => Effect.Effect<void, unknown, World | Scope.Scope>
) =>
  it.effect(name, () =>
    Effect.suspend(() => {
      const asked: Array<Route> = []
      const said: Array<string> = []
      const Refusing = Layer.effect(
        Transport,
        Effect.map(MemoryStore.make, (store) => {
          // To be sent a message again is all that it could do.
          const { transport } = VirtualTransport.make("memory", { ...store, postpone: undefined }, { delay: "lattice" })
          return {
            ...transport,
            connect: Effect.map(transport.connect, (link) => ({
              ...link,
              channel: Effect.map(link.channel, (channel) => refusing(channel, asked))
            }))
          }
        })
      )
      return Effect.scoped(body(asked, said)).pipe(Effect.provide(worldOf(Refusing, said)))
    })
  )

test("sends tasks undelayed for a worker to hold, which parks none of them, and both say so once", (asked, said) =>
  Effect.gen(function* () {
    const ran: Array<number> = []
    const now = yield* Clock.currentTimeMillis
    yield* start(
      {},
      Tasks.handle(work, ({ n }) =>
        Effect.map(Clock.currentTimeMillis, (at) => {
          ran.push(at - now)
          return n
        })
      )
    )
    const client = yield* Client
    yield* client.send(work, { n: 1 }, { countdown: "10 seconds" })
    yield* client.sendAll(work, [{ n: 2 }, { n: 3 }], { countdown: "20 seconds" })
    yield* settle
    // Each by the client and by the worker, and then no more.
    assert.strictEqual(asked.length, 6)
    yield* TestClock.adjust("9999 millis")
    yield* settle
    assert.deepStrictEqual(ran, [])
    yield* TestClock.adjust("11 seconds")
    yield* settle
    assert.deepStrictEqual(ran, [10_000, 20_000, 20_000])
    assert.strictEqual(asked.length, 6)
    assert.deepStrictEqual(said, [
      "The broker does not keep tasks until they are due: they are sent at once, for workers to hold",
      "The broker does not keep tasks until they are due: the worker holds them"
    ])
    assert.strictEqual(yield* waiting("celery"), 0)
  }))

test("is not asked to keep tasks for an exchange: whose queues take them, a lattice does not know", (asked, said) =>
  Effect.gen(function* () {
    const client = yield* Client
    yield* client.send(work, { n: 1 }, { exchange: "amq.fanout", countdown: "10 seconds" }).pipe(Effect.ignore)
    assert.deepStrictEqual(asked, [])
    assert.deepStrictEqual(said, [])
  }))

describe("a store that keeps what a consumer postpones", () => {
  interface Place {
    readonly store: VirtualStore
    readonly said: Array<string>
    /** Before a delivery is postponed. */
    before: Effect.Effect<void, HubError>
    postponed: number
  }

  const kept = (name: string, body: (place: Place) => Effect.Effect<void, unknown, World | Scope.Scope>) =>
    it.effect(name, () =>
      Effect.gen(function* () {
        const store = yield* MemoryStore.make
        const place: Place = { store, said: [], before: Effect.void, postponed: 0 }
        // As Redis: a publisher's `notBefore` is for the consumer to read.
        const { transport } = VirtualTransport.make(
          "memory",
          {
            ...store,
            put: (queue, puts) =>
              store.put(
                queue,
                puts.map((put) => ({ ...put, notBefore: undefined }))
              ),
            postpone: (tags, notBefore) =>
              Effect.andThen(
                Effect.suspend(() => place.before),
                Effect.andThen(
                  Effect.sync(() => place.postponed++),
                  store.postpone!(tags, notBefore)
                )
              )
          },
          { delay: "consumer" }
        )
        const world = worldOf(Layer.succeed(Transport, transport), place.said)
        yield* Effect.scoped(body(place)).pipe(Effect.provide(world))
      }).pipe(Effect.scoped)
    )

  const counting = (runs: Array<number>) =>
    Tasks.handle(work, ({ n }) =>
      Effect.map(Clock.currentTimeMillis, (at) => {
        runs.push(at)
        return n
      })
    )

  const due = (id: string, millis: number, more: Readonly<Record<string, unknown>> = {}) =>
    inject(json(`[[], {"n": 1}, null]`, headers("proj.work", id, { eta: TaskMessage.formatEta(millis), ...more })))

  kept("is given them at once, holds them for nobody's prefetch, and each runs when it is due", (place) =>
    Effect.gen(function* () {
      const runs: Array<number> = []
      yield* start({ prefetchMultiplier: 1 }, counting(runs))
      for (let n = 0; n < 50; n++) yield* due(String(n), 60_000 + n)
      yield* settle
      assert.deepStrictEqual([place.postponed, yield* waiting("celery")], [50, 0])
      yield* TestClock.setTime(59_999)
      yield* settle
      assert.deepStrictEqual(runs, [])
      for (let n = 0; n < 50; n++) {
        yield* TestClock.setTime(60_000 + n)
        yield* settle
      }
      assert.deepStrictEqual(
        runs,
        Array.from({ length: 50 }, (_, n) => 60_000 + n)
      )
      assert.deepStrictEqual([place.postponed, place.said], [50, []])
    })
  )

  kept("that fails to leaves the task with the worker, which holds it, and says so once", (place) =>
    Effect.gen(function* () {
      const runs: Array<number> = []
      yield* start({}, counting(runs))
      place.before = Effect.fail(new HubError({ reason: new OutOfMemory({ text: "used_memory > maxmemory" }) }))
      for (const id of ["1", "2"]) yield* due(id, 10_000)
      yield* settle
      yield* TestClock.setTime(9_999)
      yield* settle
      assert.deepStrictEqual(runs, [])
      yield* TestClock.setTime(10_000)
      yield* settle
      assert.deepStrictEqual(runs, [10_000, 10_000])
      assert.deepStrictEqual(
        [place.postponed, place.said],
        [0, ["The broker does not keep tasks until they are due: the worker holds them"]]
      )
      // Acknowledged, as the delivery it still was.
      assert.strictEqual(yield* waiting("celery"), 0)
    })
  )

  kept("that fails to while the worker stops has the task back in its queue", (place) =>
    Effect.gen(function* () {
      const runs: Array<number> = []
      const scope = yield* Scope.make()
      yield* Scope.provide(start({}, counting(runs)), scope)
      place.before = Effect.andThen(
        Effect.sleep("1 second"),
        Effect.fail(new HubError({ reason: new OutOfMemory({ text: "used_memory > maxmemory" }) }))
      )
      yield* due("1", 3_600_000)
      yield* settle
      const stopping = yield* Effect.forkChild(Scope.close(scope, Exit.void))
      yield* TestClock.adjust("1 second")
      yield* settle
      stopping.interruptUnsafe()
      assert.strictEqual(yield* waiting("celery"), 1)
      const [back] = yield* place.store.take(["celery"], 1)
      assert.strictEqual(back?.deliveryCount, 0)
    })
  )

  kept("is not asked to by a worker whose profile says that it holds them itself", (place) =>
    Effect.gen(function* () {
      const runs: Array<number> = []
      yield* start({ profile: { ...Profile.durable, delay: "worker" } }, counting(runs))
      yield* due("1", 60_000)
      yield* settle
      assert.strictEqual(place.postponed, 0)
      yield* TestClock.setTime(60_000)
      yield* settle
      assert.deepStrictEqual(runs, [60_000])
    })
  )

  kept(
    "is not asked to by a consumer without acknowledgements, whose message it has not: the worker holds it",
    (place) =>
      Effect.gen(function* () {
        const runs: Array<number> = []
        yield* start({ profile: { ...Profile.fast, delay: "broker" } }, counting(runs))
        yield* due("1", 60_000)
        yield* settle
        assert.strictEqual(place.postponed, 0)
        yield* TestClock.setTime(60_000)
        yield* settle
        assert.deepStrictEqual(runs, [60_000])
      })
  )

  kept("keeps what is revoked, or expires, meanwhile: it is not run", () =>
    Effect.gen(function* () {
      const runs: Array<number> = []
      yield* start({}, counting(runs))
      yield* due("revoked", 60_000)
      yield* due("expired", 60_000, { expires: TaskMessage.formatEta(50_000) })
      yield* due("neither", 60_000)
      yield* settle
      yield* Control.revoke(["revoked"])
      yield* settle
      yield* TestClock.setTime(60_000)
      yield* settle
      assert.deepStrictEqual(runs, [60_000])
      const statuses = []
      for (const id of ["revoked", "expired", "neither"]) statuses.push((yield* stored(id))?.status)
      assert.deepStrictEqual(statuses, ["REVOKED", "REVOKED", "SUCCESS"])
      assert.strictEqual(yield* waiting("celery"), 0)
    })
  )
})
