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

  it("of a broadcast is each consumer's own, bound to one fanout exchange, as Kombu's Broadcast", () => {
    const one = Queue.broadcast("reload")
    assert.match(one.name, /^bcast\.[\da-f]{8}-[\da-f-]{27}$/)
    assert.notStrictEqual(Queue.broadcast("reload").name, one.name)
    assert.deepStrictEqual(
      [one.alias, one.durable, one.autoDelete, one.exclusive, one.bindings],
      ["reload", true, true, false, [{ exchange: Exchange.fanout("reload"), routingKey: "", arguments: {} }]]
    )
    assert.strictEqual(Queue.broadcast("reload", { queue: "mine" }).name, "mine")
    assert.match(Queue.broadcast("reload", { queue: "mine", unique: true }).name, /^mine\.[\da-f]{8}-/)
    const exchange = Exchange.fanout("other", { durable: false })
    const made = Queue.broadcast("reload", { exchange, autoDelete: false, routingKey: "k" })
    assert.deepStrictEqual(
      [made.alias, made.autoDelete, made.bindings],
      ["reload", false, [{ exchange, routingKey: "k", arguments: {} }]]
    )
  })

  it("of one worker is what celery.utils.nodenames.worker_direct makes", () => {
    assert.deepStrictEqual(
      Queue.workerDirect("w1@example.com"),
      pipe(Queue.make("w1@example.com.dq2"), Queue.bindTo(Exchange.direct("C.dq2"), "w1@example.com"))
    )
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
