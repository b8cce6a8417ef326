/** A broker that should keep what is not due, and refuses. */
import { Connection } from "@apium/hub/Connection"
import type { Channel } from "@apium/hub/Channel"
import { DelayRefused, HubError } from "@apium/hub/HubError"
import * as MemoryTransport from "@apium/hub/memory/MemoryTransport"
import type { Route } from "@apium/hub/Message"
import { Transport } from "@apium/hub/Transport"
import * as MemoryBackend from "@apium/worker/client/backends/MemoryBackend"
import { Client } from "@apium/worker/client/Client"
import type { ResultBackend } from "@apium/worker/client/ResultBackend"
import * as Task from "@apium/worker/task/Task"
import { Tasks } from "@apium/worker/task/Tasks"
import { assert, it } from "@effect/vitest"
import { Clock, Effect, Layer, Logger, Schema, type Scope } from "effect"
import { TestClock } from "effect/testing"
import { settle, start, waiting } from "../support/World.ts"

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

const test = (
  name: string,
  body: (
    asked: Array<Route>,
    said: Array<string>
  ) => Effect.Effect<void, unknown, Client | Connection | ResultBackend | Tasks | Scope.Scope>
) =>
  it.effect(name, () =>
    Effect.suspend(() => {
      const asked: Array<Route> = []
      const said: Array<string> = []
      const logger = Logger.make(
        ({ message }) => void said.push(Array.isArray(message) ? String(message[0]) : String(message))
      )
      const Refusing = Layer.effect(
        Transport,
        Effect.map(Transport, (transport) => ({
          ...transport,
          capabilities: { ...transport.capabilities, delay: "lattice" as const },
          connect: Effect.map(transport.connect, (link) => ({
            ...link,
            channel: Effect.map(link.channel, (channel) => refusing(channel, asked))
          }))
        }))
      ).pipe(Layer.provide(MemoryTransport.layer))
      const Refused = Client.layer.pipe(
        Layer.provideMerge(
          Layer.mergeAll(
            Connection.layer.pipe(Layer.provide(Refusing)),
            Layer.suspend(() => MemoryBackend.layer),
            Tasks.layer
          )
        )
      )
      return Effect.scoped(body(asked, said)).pipe(Effect.provide([Refused, Logger.layer([logger])]))
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
