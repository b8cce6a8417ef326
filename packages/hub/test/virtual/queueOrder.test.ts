/** Several queues on one channel with room for one message: which of them is next (kombu's `queue_order_strategy`). */
import * as MemoryStore from "@apium/hub/memory/MemoryStore"
import * as Queue from "@apium/hub/Queue"
import type { VirtualStore } from "@apium/hub/virtual/VirtualStore"
import * as VirtualTransport from "@apium/hub/virtual/VirtualTransport"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Stream } from "effect"
import { message, settle } from "../support/messages.ts"

/** The queues of nine messages in the order in which they came: three in each of three queues, consumed as b, c, a. */
const taken = (queueOrder: VirtualStore["queueOrder"]) =>
  Effect.gen(function* () {
    const store = yield* MemoryStore.make
    const { transport } = VirtualTransport.make("ordered", { ...store, queueOrder })
    const channel = yield* (yield* transport.connect).channel
    const names = ["b", "c", "a"]
    yield* channel.qos(1)
    const order: Array<string> = []
    const all = Deferred.makeUnsafe<void>()
    for (const name of names) yield* channel.queueDeclare(Queue.make(name))
    // One message holds the only room until everybody waits for it.
    yield* channel.queueDeclare(Queue.make("first"))
    yield* channel.publish(message("first"), { exchange: "", routingKey: "first" })
    const held = yield* Deferred.make<void>()
    yield* Effect.forkScoped(
      Stream.runForEach(channel.consume("first"), (delivery) => Effect.andThen(Deferred.await(held), delivery.ack))
    )
    yield* settle
    for (const name of names) {
      for (let n = 0; n < 3; n++) yield* channel.publish(message(name), { exchange: "", routingKey: name })
      yield* Effect.forkScoped(
        Stream.runForEach(channel.consume(name), (delivery) => {
          order.push(delivery.queue)
          if (order.length === 9) Deferred.doneUnsafe(all, Effect.void)
          return delivery.ack
        })
      )
      yield* settle
    }
    yield* Deferred.succeed(held, undefined)
    yield* Deferred.await(all)
    return order.join("")
  })

describe("of the queues of a channel with room for one message", () => {
  it.effect("each is next in turn", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* taken(undefined), "bcabcabca")
    })
  )

  it.effect("the first by name is next until it is empty", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* taken("sorted"), "aaabbbccc")
    })
  )

  it.effect("the one that was consumed first is next until it is empty", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* taken("priority"), "bbbcccaaa")
    })
  )

  it.effect("one that was next and asks no more does not stand in the way of the others", () =>
    Effect.gen(function* () {
      const store = yield* MemoryStore.make
      const { transport } = VirtualTransport.make("left", store)
      const channel = yield* (yield* transport.connect).channel
      yield* channel.qos(1)
      for (const name of ["a", "b"]) {
        yield* channel.queueDeclare(Queue.make(name))
        for (let n = 0; n < 2; n++) yield* channel.publish(message(name), { exchange: "", routingKey: name })
      }
      const first = yield* Stream.toPull(channel.consume("a"))
      const second = yield* Stream.toPull(channel.consume("b"))
      const [delivery] = yield* first
      const asking = yield* Effect.forkScoped(first)
      yield* settle
      const other = yield* Effect.forkScoped(second)
      yield* settle
      yield* delivery.ack
      yield* Fiber.interrupt(asking)
      yield* settle
      const exit = other.pollUnsafe()
      assert.isTrue(exit !== undefined && Exit.isSuccess(exit))
    })
  )
})
