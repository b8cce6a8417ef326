/** What is left over, of many messages and of many links, on whatever broker (RELIABILITY H1, H3). */
import { Connection } from "@apium/hub/Connection"
import * as Consumer from "@apium/hub/Consumer"
import type { HubError } from "@apium/hub/HubError"
import * as Message from "@apium/hub/Message"
import * as HubQueue from "@apium/hub/Queue"
import { Transport } from "@apium/hub/Transport"
import { assert } from "@effect/vitest"
import { Deferred, Effect, Fiber, type Layer, Metric, type Scope, Stream } from "effect"
import * as FaultProxy from "./FaultProxy.ts"
import * as Figures from "./Figures.ts"

/** A hundred thousand; a million with `APIUM_FULL=2`. */
const rounds = 10
const perRound = Figures.times(10_000, 20_000, 100_000)
export const messages = rounds * perRound
/** The compiler and the caches settle, and V8's heap gets its size: 200 MiB on Node 24, of which 30 are live. */
const warmUp = 4
const atOnce = 500
const prefetch = 100

const mostResident = 100 * 1024 * 1024

const headers = { lang: "py", task: "proj.add", retries: 0, timelimit: [null, 30], argsrepr: "(2, 3)" }

/** Each way through one link, in their order, 100 unacknowledged at the most: the heap is as it was. */
export const carries: Effect.Effect<void, HubError, Transport | Scope.Scope> = Effect.gen(function* () {
  const { capabilities, connect } = yield* Transport
  const connection = yield* connect
  const publisher = yield* connection.channel
  const consumer = yield* connection.channel
  const { name } = yield* consumer.queueDeclare(HubQueue.temporary())
  const route = { exchange: "", routingKey: name, mandatory: capabilities.mandatory }
  let taken = 0
  let round = Deferred.makeUnsafe<void>()
  const consuming = Stream.runForEach(consumer.consume(name, { prefetch }), (delivery) => {
    assert.strictEqual(delivery.message.headers["id"], taken)
    taken++
    if (taken % perRound === 0) Deferred.doneUnsafe(round, Effect.void)
    return delivery.ack
  })
  const heaps: Array<number> = []
  let sent = 0
  const resident: Array<number> = [process.memoryUsage().rss]
  const began = performance.now()
  const publishing = Effect.gen(function* () {
    for (let count = 0; count < rounds; count++) {
      for (let batch = 0; batch < perRound; batch += atOnce) {
        yield* publisher.publishAll(
          Array.from({ length: atOnce }, () => {
            const body = new TextEncoder().encode(`[[${sent}, 3], {}, {}]`)
            const message = Message.make(body, { contentType: "application/json" }, { ...headers, id: sent++ })
            return [message, route] as const
          })
        )
      }
      yield* Deferred.await(round)
      round = Deferred.makeUnsafe<void>()
      resident.push(process.memoryUsage().rss)
      Figures.collect()
      Figures.collect()
      heaps.push(process.memoryUsage().heapUsed)
    }
  })
  // Who consumes ends with a failure or not at all.
  yield* Effect.raceFirst(publishing, consuming)
  const perSecond = Math.round((taken / (performance.now() - began)) * 1000)
  const bytes = Figures.slope(heaps.slice(warmUp), perRound)
  const grown = Math.max(...resident.slice(warmUp)) - resident[warmUp]!
  yield* Figures.print(
    `H1 ${taken} messages, ${perSecond} a second; heap after each ${perRound}, MiB: ${heaps.map(Figures.mebibytes).join(", ")}; ` +
      `slope ${bytes.toFixed(2)} bytes per message; resident, MiB: ${resident.map(Figures.mebibytes).join(", ")}`
  )
  assert.strictEqual(taken, messages)
  // On Bun the heap has steps of its own, of two MiB: in short rounds one is as much.
  assert.isBelow(bytes, Figures.growth * ("Bun" in globalThis ? Figures.times(10, 3, 1) : 1))
  assert.isBelow(grown, mostResident)
})

/** Effect's own count. */
const fibers = Effect.map(
  Metric.value(Metric.gauge("child_fibers_active", { description: "The current count of active child fibers" })),
  ({ value }) => value
)

const timers = () => process.getActiveResourcesInfo?.().filter((name) => name === "Timeout").length ?? 0

const listeners = () => process.eventNames().reduce((sum, name) => sum + process.listenerCount(name), 0)

/** A connection that consumes and publishes and whose links are reset, a hundred times: nothing is left of them, then or at its end. */
export const reconnects = <E>(
  node: FaultProxy.Target,
  connection: (
    port: number,
    backoff: { readonly base: "1 millis"; readonly cap: "5 millis" }
  ) => Layer.Layer<Connection, E>
) =>
  Effect.gen(function* () {
    const proxy = yield* FaultProxy.make(node)
    const many = Figures.times(100, 200, 1000)
    const left = HubQueue.make("left")
    const before = Figures.sockets()
    const figures = yield* Effect.gen(function* () {
      const { declare, publish } = yield* Connection
      yield* declare({ queues: [left] })
      let seen = 0
      const consuming = yield* Effect.forkChild(
        Stream.runForEach(Consumer.stream([left], { prefetch: 5 }), (delivery) =>
          Effect.andThen(
            delivery.ack,
            Effect.sync(() => void seen++)
          )
        )
      )
      const message = Message.make(new TextEncoder().encode("x"), { deliveryMode: "persistent" })
      const once = Effect.gen(function* () {
        yield* proxy.end("reset")
        yield* proxy.until(({ live }) => live > 0)
        yield* publish(message, { exchange: "", routingKey: left.name })
      })
      // The heap is flat from about 750 on: code that is compiled, and compiled again.
      for (let warm = 0; warm < Figures.times(100, 200, 800); warm++) yield* once
      // The consumer is there again, too: what it is made of counts.
      const before = seen
      yield* publish(message, { exchange: "", routingKey: left.name })
      yield* Figures.until(Effect.sync(() => seen > before))
      const at = {
        heap: yield* Figures.heap,
        sockets: Figures.sockets(),
        timers: timers(),
        listeners: listeners(),
        fibers: yield* fibers
      }
      for (let index = 0; index < many; index++) yield* once
      // What goes a moment later is not left.
      yield* Figures.until(
        Effect.map(
          fibers,
          (running) =>
            Figures.sockets() <= at.sockets &&
            timers() <= at.timers + 1 &&
            listeners() <= at.listeners &&
            running <= at.fibers + 1
        )
      )
      const growth = (yield* Figures.heap) - at.heap
      yield* Fiber.interrupt(consuming)
      return { growth, sockets: Math.max(0, Figures.sockets() - at.sockets) }
    }).pipe(Effect.provide(connection(proxy.port, { base: "1 millis", cap: "5 millis" })), Metric.enableRuntimeMetrics)
    yield* proxy.until(({ live }) => live === 0)
    yield* Figures.until(Effect.sync(() => Figures.sockets() <= before))
    yield* Figures.print(
      `H3 reconnects=${many}: sockets +${figures.sockets}, timers +0, listeners +0, fibers +0, heap +${Figures.mebibytes(figures.growth)} MiB; after the end sockets +0`
    )
    assert.isBelow(figures.growth, 2 * 1_048_576)
  })
