/** A store far away is asked for the next batch while the last one is worked on. */
import type { HubError } from "@apium/hub/HubError"
import * as MemoryStore from "@apium/hub/memory/MemoryStore"
import * as HubQueue from "@apium/hub/Queue"
import type { StoredMessage, VirtualStore } from "@apium/hub/virtual/VirtualStore"
import * as VirtualTransport from "@apium/hub/virtual/VirtualTransport"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Queue, Scope, Stream } from "effect"
import { drain, message, settle, textOf } from "../support/messages.ts"

/** Each take is told of with how many it is for, and comes back when it is let go. */
const world = Effect.gen(function* () {
  const memory = yield* MemoryStore.make
  const events: Array<string> = []
  const asked = yield* Queue.unbounded<{ readonly max: number; readonly go: Effect.Effect<unknown> }>()
  const take: VirtualStore["take"] = (queues, max) =>
    Effect.gen(function* () {
      const gone = Deferred.makeUnsafe<ReadonlyArray<StoredMessage>, HubError>()
      const go = Effect.flatMap(Effect.exit(memory.take(queues, max)), (exit) => Deferred.done(gone, exit))
      events.push(`asked for ${max}`)
      yield* Queue.offer(asked, { max, go })
      return yield* Deferred.await(gone)
    })
  const { transport } = VirtualTransport.makeLinked(
    "far",
    Effect.succeed({ store: { ...memory, remote: true, take }, closed: Effect.never })
  )
  const near = VirtualTransport.make("near", memory)
  const channel = yield* (yield* transport.connect).channel
  const other = yield* (yield* near.transport.connect).channel
  yield* channel.queueDeclare(HubQueue.make("q"))
  yield* other.queueDeclare(HubQueue.make("q"))
  const publish = (count: number) =>
    other.publishAll(
      Array.from({ length: count }, (_, n) => [message(String(n)), { exchange: "", routingKey: "q" }] as const)
    )
  return { asked, channel, events, other, publish }
})

describe("a consumer of a store far away", () => {
  it.effect("asks for the next messages before it hands over those that came, and leaves room for others", () =>
    Effect.gen(function* () {
      const { asked, channel, events, publish } = yield* world
      yield* publish(1000)
      yield* channel.qos(400)
      const seen: Array<string> = []
      const all = Deferred.makeUnsafe<void>()
      yield* Effect.forkScoped(Effect.forever(Effect.flatMap(Queue.take(asked), ({ go }) => go)))
      yield* Effect.forkScoped(
        Stream.runForEachArray(channel.consume("q"), (deliveries) => {
          events.push(`works on ${deliveries.length}`)
          seen.push(...deliveries.map(textOf))
          if (seen.length === 1000) Deferred.doneUnsafe(all, Effect.void)
          return Effect.forEach(deliveries, (delivery) => delivery.ack, { discard: true })
        })
      )
      yield* Deferred.await(all)
      assert.deepStrictEqual(events.slice(0, 6), [
        "asked for 200",
        "asked for 100",
        "works on 200",
        "asked for 150",
        "works on 100",
        "asked for 125"
      ])
      assert.deepStrictEqual(
        seen,
        Array.from({ length: 1000 }, (_, n) => String(n))
      )
    })
  )

  it.effect("that ends gives back what was on its way: in its order, and as if nobody had had it", () =>
    Effect.gen(function* () {
      const { asked, channel, other, publish } = yield* world
      yield* publish(300)
      yield* channel.qos(400)
      const scope = yield* Scope.make()
      const came = Deferred.makeUnsafe<void>()
      yield* Effect.forkIn(
        Stream.runForEachArray(channel.consume("q"), (deliveries) =>
          Effect.forEach(deliveries, (delivery) => delivery.ack, { discard: true }).pipe(
            Effect.andThen(Deferred.succeed(came, undefined)),
            Effect.andThen(Effect.never)
          )
        ),
        scope
      )
      yield* (yield* Queue.take(asked)).go
      yield* Deferred.await(came)
      const next = yield* Queue.take(asked)
      yield* next.go
      yield* Scope.close(scope, Exit.void)
      const left = yield* drain(other, "q")
      assert.deepStrictEqual(
        left.map(textOf),
        Array.from({ length: 100 }, (_, n) => String(n + 200))
      )
      assert.isTrue(left.every(({ deliveryCount }) => deliveryCount._tag === "Some" && deliveryCount.value === 0))
    })
  )

  it.effect.each([{ noAck: false }, { noAck: true }])(
    "that is interrupted while a batch is on its way has lost none of it ($noAck: without acknowledgements)",
    ({ noAck }) =>
      Effect.gen(function* () {
        const { asked, channel, other, publish } = yield* world
        yield* publish(3)
        const seen: Array<string> = []
        const consumer = yield* Effect.forkChild(
          Stream.runForEach(channel.consume("q", { noAck }), (delivery) =>
            Effect.sync(() => seen.push(textOf(delivery)))
          )
        )
        const { go } = yield* Queue.take(asked)
        const ended = yield* Effect.forkChild(Fiber.interrupt(consumer))
        yield* settle
        yield* go
        yield* Fiber.join(ended)
        const left = yield* drain(other, "q")
        assert.deepStrictEqual([seen, left.map(textOf)], [[], ["0", "1", "2"]])
        assert.isTrue(left.every(({ deliveryCount }) => deliveryCount._tag === "Some" && deliveryCount.value === 0))
      })
  )

  it.effect("that finds fewer than it asked for asks for no more before it has handed them over", () =>
    Effect.gen(function* () {
      const { asked, channel, publish } = yield* world
      yield* publish(10)
      yield* channel.qos(400)
      const came = Deferred.makeUnsafe<number>()
      yield* Effect.forkScoped(
        Stream.runForEachArray(channel.consume("q"), (deliveries) =>
          Effect.andThen(Deferred.succeed(came, deliveries.length), Effect.never)
        )
      )
      yield* (yield* Queue.take(asked)).go
      assert.strictEqual(yield* Deferred.await(came), 10)
      yield* settle
      assert.strictEqual(yield* Queue.size(asked), 0)
    })
  )
})
