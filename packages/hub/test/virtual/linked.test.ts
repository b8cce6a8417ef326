/** A transport made of stores, one per link, as Redis is: what the links share, what is lost with one, and what others did to the store. */
import * as Exchange from "@apium/hub/Exchange"
import { ConnectionLost, HubError, OutOfMemory } from "@apium/hub/HubError"
import * as MemoryStore from "@apium/hub/memory/MemoryStore"
import * as HubQueue from "@apium/hub/Queue"
import { settledTwice } from "@apium/hub/Delivery"
import type { Put, VirtualStore } from "@apium/hub/virtual/VirtualStore"
import * as VirtualTransport from "@apium/hub/virtual/VirtualTransport"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Metric, Option, Queue, Stream } from "effect"
import { drain, message, settle, textOf } from "../support/messages.ts"

const lost = new HubError({ reason: new ConnectionLost({ cause: "closed", text: "cut" }) })

/** One store in memory, and links to it that are cut one by one: what a link took and did not settle goes back, as a store's owner dies. */
const world = (more: (store: VirtualStore) => Partial<VirtualStore> = () => ({})) =>
  Effect.gen(function* () {
    const memory = yield* MemoryStore.make
    const links: Array<{ readonly cut: Effect.Effect<void> }> = []
    const open = Effect.sync(() => {
      const closed = Deferred.makeUnsafe<never, HubError>()
      const held = new Set<string>()
      const alive = <A>(work: Effect.Effect<A, HubError>): Effect.Effect<A, HubError> =>
        Effect.suspend(() => (Deferred.isDoneUnsafe(closed) ? Effect.fail(lost) : work))
      const store: VirtualStore = {
        ...memory,
        take: (queues, max) =>
          alive(
            Effect.map(memory.take(queues, max), (taken) => {
              for (const { tag } of taken) held.add(tag)
              return taken
            })
          ),
        settle: (tags) => alive(memory.settle(tags)),
        restore: (tags, options) => alive(memory.restore(tags, options)),
        put: (queue, puts) => alive(memory.put(queue, puts)),
        remove: (queue) => alive(memory.remove(queue)),
        ...more(memory)
      }
      links.push({
        cut: Effect.suspend(() => {
          Deferred.doneUnsafe(closed, Effect.fail(lost))
          return Effect.andThen(settle, Effect.orDie(memory.restore([...held], { side: "near" })))
        })
      })
      return { store, closed: Deferred.await(closed) }
    })
    const { transport } = VirtualTransport.makeLinked("linked", open)
    return { memory, links, transport }
  })

describe("links", () => {
  it.effect("each know what the others declared, and one that is lost takes nothing of it along", () =>
    Effect.gen(function* () {
      const { links, transport } = yield* world()
      const first = yield* transport.connect
      const channel = yield* first.channel
      const topic = Exchange.topic("topic")
      yield* channel.exchangeDeclare(topic)
      yield* channel.queueDeclare(HubQueue.make("q"))
      yield* channel.queueBind("q", { exchange: topic, routingKey: "a.#", arguments: {} })
      const second = yield* (yield* transport.connect).channel
      yield* links[0]!.cut
      assert.strictEqual(yield* Effect.flip(first.closed), lost)
      assert.strictEqual(yield* Effect.flip(channel.publish(message("1"), { exchange: "", routingKey: "q" })), lost)
      yield* second.publish(message("2"), { exchange: "topic", routingKey: "a.b" })
      assert.deepStrictEqual((yield* drain(second, "q")).map(textOf), ["2"])
    })
  )

  it.effect("that are lost have what was held go back, and count who settles too late", () =>
    Effect.gen(function* () {
      const { links, transport } = yield* world()
      const channel = yield* (yield* transport.connect).channel
      yield* channel.queueDeclare(HubQueue.make("q"))
      yield* channel.publish(message("1"), { exchange: "", routingKey: "q" })
      const held = Option.getOrThrow(yield* channel.get("q"))
      yield* links[0]!.cut
      const before = (yield* Metric.value(settledTwice)).count
      yield* held.ack
      yield* held.reject({ requeue: false })
      assert.strictEqual((yield* Metric.value(settledTwice)).count, before + 2)
      const again = Option.getOrThrow(yield* (yield* (yield* transport.connect).channel).get("q"))
      assert.deepStrictEqual([textOf(again), again.redelivered, again.deliveryCount], ["1", true, Option.some(1)])
    })
  )

  it.effect("that are lost end their consumers, and a wait for room in a window", () =>
    Effect.gen(function* () {
      const { links, transport } = yield* world()
      const channel = yield* (yield* transport.connect).channel
      yield* channel.queueDeclare(HubQueue.make("q"))
      yield* channel.publish(message("1"), { exchange: "", routingKey: "q" })
      const ended = yield* Deferred.make<never, HubError>()
      yield* channel.consume("q", { prefetch: 1 }).pipe(
        Stream.runDrain,
        Effect.andThen(Effect.never),
        Effect.onExit((exit) => Deferred.done(ended, exit)),
        Effect.forkScoped
      )
      yield* settle
      yield* links[0]!.cut
      assert.strictEqual(yield* Effect.flip(Deferred.await(ended)), lost)
    })
  )
})

describe("a store with publish and subscribe", () => {
  const broadcasting = (broadcasts: Array<Put>, bound: Array<string>) =>
    world((memory) => ({
      broadcast: (put) => Effect.sync(() => void broadcasts.push(put)),
      bindings: {
        ...memory.bindings,
        add: (exchange, binding) =>
          Effect.andThen(
            Effect.sync(() => bound.push(`${exchange.name} ${binding.queue}`)),
            memory.bindings.add(exchange, binding)
          )
      }
    }))

  it.effect("is given what goes to a fanout exchange, once, and nothing else", () =>
    Effect.gen(function* () {
      const broadcasts: Array<Put> = []
      const { memory, transport } = yield* broadcasting(broadcasts, [])
      const channel = yield* (yield* transport.connect).channel
      const [fanout, direct] = [Exchange.fanout("all"), Exchange.direct("one")]
      for (const exchange of [fanout, direct]) {
        yield* channel.exchangeDeclare(exchange)
        for (const name of ["a", "b"]) {
          yield* channel.queueDeclare(HubQueue.make(name))
          yield* channel.queueBind(name, { exchange, routingKey: "k", arguments: {} })
        }
      }
      yield* channel.publish(message("everybody"), { exchange: "all", routingKey: "any" })
      yield* channel.publish(message("both"), { exchange: "one", routingKey: "k" })
      assert.deepStrictEqual(
        broadcasts.map(({ exchange, routingKey }) => [exchange, routingKey]),
        [["all", "any"]]
      )
      assert.deepStrictEqual([yield* memory.size("a"), yield* memory.size("b")], [1, 1])
    })
  )

  it.effect("hears of a binding on each link, though its table has it", () =>
    Effect.gen(function* () {
      const bound: Array<string> = []
      const { transport } = yield* broadcasting([], bound)
      const queue = HubQueue.make("q")
      for (let link = 0; link < 2; link++) {
        const channel = yield* (yield* transport.connect).channel
        yield* channel.queueDeclare(queue)
        for (const exchange of [Exchange.fanout("all"), Exchange.direct("one")]) {
          yield* channel.exchangeDeclare(exchange)
          yield* channel.queueBind("q", { exchange, routingKey: "", arguments: {} })
        }
      }
      assert.deepStrictEqual(bound, ["all q", "one q", "all q"])
    })
  )

  it.effect("is given what dies to a fanout exchange", () =>
    Effect.gen(function* () {
      const broadcasts: Array<Put> = []
      const { transport } = yield* broadcasting(broadcasts, [])
      const channel = yield* (yield* transport.connect).channel
      yield* channel.exchangeDeclare(Exchange.fanout("dead"))
      yield* channel.queueDeclare(HubQueue.make("q", { arguments: { "x-dead-letter-exchange": "dead" } }))
      yield* channel.publish(message("1"), { exchange: "", routingKey: "q" })
      yield* Option.getOrThrow(yield* channel.get("q")).reject({ requeue: false })
      assert.strictEqual(broadcasts.length, 1)
      assert.property(broadcasts[0]!.message.headers, "x-death")
    })
  )
})

describe("a queue that others declared", () => {
  const shared = Effect.gen(function* () {
    const others = new Set<string>()
    const asked: Array<ReadonlyArray<string>> = []
    const made = yield* world((memory) => ({
      has: (queue, exchanges) =>
        Effect.sync(() => {
          asked.push(exchanges)
          return others.has(queue)
        }),
      remove: (queue) => Effect.tap(memory.remove(queue), () => Effect.sync(() => others.delete(queue)))
    }))
    const channel = yield* (yield* made.transport.connect).channel
    const theirs = (queue: HubQueue.Queue) =>
      Effect.andThen(
        Effect.sync(() => others.add(queue.name)),
        made.memory.declare(queue)
      )
    return { ...made, asked, channel, theirs }
  })

  it.effect("is consumed, counted, purged and deleted as if it had been declared here", () =>
    Effect.gen(function* () {
      const { channel, memory, theirs } = yield* shared
      const queue = HubQueue.make("theirs")
      yield* theirs(queue)
      const put = (text: string) =>
        memory.put("theirs", [{ message: message(text), exchange: "", routingKey: "theirs" }])
      yield* put("1")
      yield* put("2")
      assert.strictEqual((yield* channel.queueDeclare(queue, { passive: true })).messageCount, 2)
      assert.strictEqual(textOf(Option.getOrThrow(yield* channel.get("theirs"))), "1")
      assert.strictEqual(yield* channel.queuePurge("theirs"), 1)
      const exchange = Exchange.direct("theirs")
      yield* channel.exchangeDeclare(exchange)
      yield* channel.queueBind("theirs", { exchange, routingKey: "k", arguments: {} })
      yield* put("3")
      assert.strictEqual(yield* channel.queueDelete("theirs"), 1)
      assert.deepStrictEqual(yield* memory.bindings.list("theirs"), [])
      assert.strictEqual(yield* channel.queueDelete("theirs"), 0)
      const gone = yield* Effect.flip(channel.queueDeclare(queue, { passive: true }))
      assert.strictEqual(gone.reason._tag === "ChannelClosed" ? gone.reason.replyCode : 0, 404)
    })
  )

  it.effect(
    "keeps its consumer when it is declared after all, and is asked for with the exchanges that are known",
    () =>
      Effect.gen(function* () {
        const { asked, channel, theirs } = yield* shared
        const queue = HubQueue.make("theirs", { durable: false })
        yield* theirs(queue)
        yield* channel.exchangeDeclare(Exchange.direct("known"))
        const received = yield* Queue.unbounded<string>()
        yield* channel.consume("theirs").pipe(
          Stream.runForEach((delivery) => Queue.offer(received, textOf(delivery))),
          Effect.forkScoped
        )
        yield* settle
        assert.deepStrictEqual(asked, [["known"]])
        assert.strictEqual((yield* channel.queueDeclare(queue)).consumerCount, 1)
        yield* channel.publish(message("1"), { exchange: "", routingKey: "theirs" })
        assert.strictEqual(yield* Queue.take(received), "1")
      })
  )

  it.effect("is nobody's here when its last consumer has gone: whoever declares it then says how it is", () =>
    Effect.gen(function* () {
      const { channel, theirs, transport } = yield* shared
      yield* theirs(HubQueue.make("theirs"))
      const other = yield* (yield* transport.connect).channel
      yield* Effect.scoped(Effect.andThen(Effect.forkScoped(Stream.runDrain(other.consume("theirs"))), settle))
      yield* channel.queueDeclare(HubQueue.make("theirs", { durable: false }))
      const refused = yield* Effect.flip(channel.queueDeclare(HubQueue.make("theirs")))
      assert.strictEqual(refused.reason._tag === "ChannelClosed" ? refused.reason.replyCode : 0, 406)
    })
  )
})

describe("a delivery", () => {
  it.effect("is held as long as its store says so, and nobody has settled it", () =>
    Effect.gen(function* () {
      let sure = true
      const { transport } = yield* world(() => ({ held: () => sure }))
      const channel = yield* (yield* transport.connect).channel
      yield* channel.queueDeclare(HubQueue.make("q"))
      for (const text of ["1", "2"]) yield* channel.publish(message(text), { exchange: "", routingKey: "q" })
      const one = Option.getOrThrow(yield* channel.get("q"))
      assert.isTrue(one.held?.())
      sure = false
      assert.isFalse(one.held?.())
      sure = true
      yield* one.ack
      assert.isFalse(one.held?.())
      const [unacknowledged] = yield* Stream.runCollect(Stream.take(channel.consume("q", { noAck: true }), 1))
      assert.isUndefined(unacknowledged!.held)
    })
  )

  it.effect(
    "a message whose time is over and that finds no place among the dead keeps nobody else's, and is not lost",
    () =>
      Effect.gen(function* () {
        const full = new HubError({ reason: new OutOfMemory({ text: "OOM" }) })
        const { memory, transport } = yield* world((memory) => ({
          put: (queue, puts) => (queue === "dead" ? Effect.fail(full) : memory.put(queue, puts))
        }))
        const channel = yield* (yield* transport.connect).channel
        const args = { "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead" }
        yield* channel.queueDeclare(HubQueue.make("q", { arguments: args }))
        yield* channel.publish(message("1"), { exchange: "", routingKey: "q" })
        yield* channel.publish(message("old", { expiration: "0" }), { exchange: "", routingKey: "q" })
        yield* channel.publish(message("2"), { exchange: "", routingKey: "q" })
        const failed = yield* Effect.flip(Stream.runDrain(channel.consume("q")))
        assert.strictEqual(failed, full)
        const left = yield* memory.take(["q"], 10)
        assert.sameMembers(
          left.map(({ message }) => new TextDecoder().decode(message.body)),
          ["1", "old", "2"]
        )
        assert.deepStrictEqual(
          left.map(({ deliveryCount }) => deliveryCount),
          [0, 0, 0]
        )
      })
  )
})
