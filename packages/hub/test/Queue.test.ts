import * as Exchange from "@apium/hub/Exchange"
import * as Queue from "@apium/hub/Queue"
import * as Topology from "@apium/hub/Topology"
import * as MemoryTransport from "@apium/hub/memory/MemoryTransport"
import { Transport } from "@apium/hub/Transport"
import { assert, describe, it } from "@effect/vitest"
import { Effect, pipe } from "effect"
import { drain, message } from "./support/messages.ts"

describe("a queue", () => {
  it("is durable, shared and lasting unless it says otherwise", () => {
    assert.deepStrictEqual(Queue.make("q"), {
      name: "q",
      durable: true,
      exclusive: false,
      autoDelete: false,
      arguments: {},
      bindings: []
    })
    const { autoDelete, durable, exclusive, name } = Queue.temporary()
    assert.deepStrictEqual([name, durable, exclusive, autoDelete], ["", false, true, true])
  })

  it("is a value: what is made of it leaves it as it was", () => {
    const plain = Queue.make("q")
    const made = pipe(
      plain,
      Queue.bindTo(Exchange.topic("events"), "user.#"),
      Queue.bindTo(Exchange.fanout("all")),
      Queue.ttl("1 hour"),
      Queue.expires("1 day"),
      Queue.deadLetter("dead", "key"),
      Queue.priority(9),
      Queue.quorum,
      Queue.withArguments({ "x-own": 1 })
    )
    assert.deepStrictEqual(plain, Queue.make("q"))
    assert.deepStrictEqual(made.arguments, {
      "x-message-ttl": 3_600_000,
      "x-expires": 86_400_000,
      "x-dead-letter-exchange": "dead",
      "x-dead-letter-routing-key": "key",
      "x-max-priority": 9,
      "x-queue-type": "quorum",
      "x-own": 1
    })
    assert.deepStrictEqual(
      made.bindings.map(({ exchange, routingKey }) => [exchange.name, routingKey]),
      [
        ["events", "user.#"],
        ["all", ""]
      ]
    )
  })

  it("keeps its messages' keys when it dead-letters without one", () => {
    assert.deepStrictEqual(Queue.deadLetter("dead")(Queue.make("q")).arguments, { "x-dead-letter-exchange": "dead" })
  })

  it("counts its times in whole milliseconds, never fewer than asked", () => {
    assert.deepStrictEqual(Queue.ttl("1500 micros")(Queue.make("q")).arguments, { "x-message-ttl": 2 })
  })
})

describe("a topology", () => {
  it.effect("is declared exchanges first, then queues, then what ties them, and names its queues in order", () =>
    Effect.gen(function* () {
      const channel = yield* (yield* (yield* Transport).connect).channel
      const events = Exchange.topic("events")
      const names = yield* Topology.declare(channel, {
        exchanges: [Exchange.fanout("unused"), Exchange.defaultExchange],
        queues: [
          pipe(Queue.make("a"), Queue.bindTo(events, "a.#"), Queue.bindTo(Exchange.defaultExchange, "a")),
          Queue.temporary(),
          pipe(Queue.make("b"), Queue.bindTo(events, "b.#"))
        ]
      })
      assert.strictEqual(names.length, 3)
      assert.deepStrictEqual([names[0], names[2]], ["a", "b"])
      assert.isAbove(names[1]!.length, 0)
      yield* channel.exchangeDeclare(Exchange.fanout("unused"), { passive: true })
      yield* channel.publish(message("m"), { exchange: "events", routingKey: "b.c" })
      assert.strictEqual((yield* drain(channel, "a")).length, 0)
      assert.strictEqual((yield* drain(channel, "b")).length, 1)
    }).pipe(Effect.provide(MemoryTransport.layer))
  )

  it.effect("of nothing is nothing", () =>
    Effect.gen(function* () {
      const channel = yield* (yield* (yield* Transport).connect).channel
      assert.deepStrictEqual(yield* Topology.declare(channel, {}), [])
    }).pipe(Effect.provide(MemoryTransport.layer))
  )
})
