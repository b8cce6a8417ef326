import * as MemoryTransport from "@apium/hub/memory/MemoryTransport"
import * as Exchange from "@apium/hub/Exchange"
import * as HubQueue from "@apium/hub/Queue"
import * as TransportSuite from "@apium/hub/testing/TransportSuite"
import { Transport } from "@apium/hub/Transport"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect, Metric, Option, Queue, Random, type Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import { atEveryStep } from "./support/everyStep.ts"
import { drain, message, numbered, settle, textOf } from "./support/messages.ts"

TransportSuite.suite("MemoryTransport", MemoryTransport.layer)

const to = (routingKey: string, notBefore?: number) => ({ exchange: "", routingKey, notBefore })

const openChannel = Effect.flatMap(
  Effect.flatMap(Transport, ({ connect }) => connect),
  (connection) => connection.channel
)

const test = <A, E>(
  name: string,
  effect: Effect.Effect<A, E, Transport | MemoryTransport.MemoryBroker | Scope.Scope>
) => it.effect(name, () => effect.pipe(Effect.provide(MemoryTransport.layer)))

const activeFibers = Effect.map(
  Metric.snapshot,
  (all) => all.find((metric) => metric.id === "child_fibers_active")?.state as { readonly value: number } | undefined
)

describe("time on the embedded broker", () => {
  test(
    "a delayed message is there at its time, not a millisecond before",
    Effect.gen(function* () {
      const channel = yield* openChannel
      yield* channel.queueDeclare(HubQueue.make("q"))
      yield* channel.publish(message("later"), to("q", 1000))
      yield* TestClock.adjust(999)
      assert.deepStrictEqual(yield* drain(channel, "q"), [])
      yield* TestClock.adjust(1)
      assert.deepStrictEqual((yield* drain(channel, "q")).map(textOf), ["later"])
    })
  )

  test(
    "delayed messages come in the order of their times, and wake a consumer that waits",
    Effect.gen(function* () {
      const channel = yield* openChannel
      yield* channel.queueDeclare(HubQueue.make("q"))
      const received = yield* Queue.unbounded<readonly [string, number]>()
      yield* channel.consume("q").pipe(
        Stream.runForEach((delivery) =>
          Effect.flatMap(Clock.currentTimeMillis, (now) => Queue.offer(received, [textOf(delivery), now] as const))
        ),
        Effect.forkScoped
      )
      for (const seconds of [30, 10, 20]) yield* channel.publish(message(`${seconds} s`), to("q", seconds * 1000))
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* Queue.takeN(received, 3), [
        ["10 s", 10_000],
        ["20 s", 20_000],
        ["30 s", 30_000]
      ])
    })
  )

  test(
    "a delay of sixty days is sixty days",
    Effect.gen(function* () {
      const channel = yield* openChannel
      yield* channel.queueDeclare(HubQueue.make("q"))
      const due = Duration.toMillis("60 days")
      yield* channel.publish(message("m"), to("q", due))
      yield* TestClock.adjust(due - 1)
      assert.strictEqual((yield* drain(channel, "q")).length, 0)
      yield* TestClock.adjust(1)
      assert.strictEqual((yield* drain(channel, "q")).length, 1)
    })
  )

  test(
    "a purge and a deletion take what is not due yet along, and count it",
    Effect.gen(function* () {
      const channel = yield* openChannel
      yield* channel.queueDeclare(HubQueue.make("q"))
      yield* channel.publish(message("1"), to("q"))
      yield* channel.publish(message("2"), to("q", 1000))
      assert.strictEqual(yield* channel.queuePurge("q"), 2)
      yield* channel.publish(message("3"), to("q", 1000))
      assert.strictEqual(yield* channel.queueDelete("q"), 1)
      yield* channel.queueDeclare(HubQueue.make("q"))
      yield* TestClock.adjust(2000)
      assert.deepStrictEqual(yield* drain(channel, "q"), [])
    })
  )

  test(
    "the earlier of the message's and the queue's time to live counts, from when it is in the queue",
    Effect.gen(function* () {
      const channel = yield* openChannel
      yield* channel.queueDeclare(HubQueue.ttl("10 seconds")(HubQueue.make("q")))
      yield* channel.publish(message("own", { expiration: "5000" }), to("q"))
      yield* channel.publish(message("queue's"), to("q"))
      yield* channel.publish(message("longer", { expiration: "60000" }), to("q"))
      yield* channel.publish(message("delayed"), to("q", 6000))
      yield* TestClock.adjust(5000)
      const first = yield* channel.get("q")
      assert.strictEqual(Option.isSome(first) && textOf(first.value), "queue's")
      yield* TestClock.adjust(5000)
      // What expired while it was held is not delivered again.
      if (Option.isSome(first)) yield* first.value.reject({ requeue: true })
      assert.deepStrictEqual((yield* drain(channel, "q")).map(textOf), ["delayed"])
    })
  )

  test(
    "an expired message goes to the dead-letter exchange when somebody would take it, and a consumer never sees it",
    Effect.gen(function* () {
      const channel = yield* openChannel
      const dead = Exchange.fanout("dead")
      yield* channel.exchangeDeclare(dead)
      yield* channel.queueDeclare(HubQueue.make("grave"))
      yield* channel.queueBind("grave", { exchange: dead, routingKey: "", arguments: {} })
      yield* channel.queueDeclare(HubQueue.deadLetter("dead")(HubQueue.make("q")))
      for (const text of numbered(300)) yield* channel.publish(message(text, { expiration: "1000" }), to("q"))
      yield* TestClock.adjust(1000)
      yield* channel.publish(message("fresh"), to("q"))
      const [only] = yield* channel.consume("q", { prefetch: 7 }).pipe(Stream.take(1), Stream.runCollect)
      assert.strictEqual(textOf(only!), "fresh")
      const buried = yield* drain(channel, "grave")
      assert.deepStrictEqual(buried.map(textOf), numbered(300))
      assert.deepStrictEqual(buried[0]!.message.headers["x-death"], [
        {
          count: 1,
          reason: "expired",
          queue: "q",
          time: new Date(1000),
          exchange: "",
          "routing-keys": ["q"]
        }
      ])
    })
  )

  test(
    "a retry queue of time to live and dead letters brings a rejected message back, as often as it is rejected",
    Effect.gen(function* () {
      const channel = yield* openChannel
      yield* channel.queueDeclare(HubQueue.deadLetter("", "later")(HubQueue.make("work")))
      yield* channel.queueDeclare(HubQueue.ttl("5 seconds")(HubQueue.deadLetter("", "work")(HubQueue.make("later"))))
      yield* channel.publish(message("m"), to("work"))
      for (let round = 1; round <= 3; round++) {
        const delivery = yield* channel.get("work")
        assert.isTrue(Option.isSome(delivery), `round ${round}`)
        if (Option.isSome(delivery)) yield* delivery.value.reject({ requeue: false })
        yield* TestClock.adjust("5 seconds")
        assert.isTrue(Option.isNone(yield* channel.get("later")))
      }
      const back = yield* channel.get("work")
      assert.isTrue(Option.isSome(back))
      if (Option.isNone(back)) return
      const deaths = back.value.message.headers["x-death"] as ReadonlyArray<{
        readonly queue: string
        readonly count: number
      }>
      assert.deepStrictEqual(
        deaths.map(({ count, queue }) => [queue, count]),
        [
          ["later", 3],
          ["work", 3]
        ]
      )
    })
  )
})

describe("many deadlines", () => {
  test(
    "ten thousand at random are kept in their order, and none early",
    Effect.gen(function* () {
      const channel = yield* openChannel
      yield* channel.queueDeclare(HubQueue.make("q"))
      const arrived: Array<readonly [deadline: number, order: number]> = []
      yield* channel.consume("q").pipe(
        Stream.runForEach((delivery) =>
          Effect.map(Clock.currentTimeMillis, (now) => {
            const [deadline = 0, order = 0] = textOf(delivery).split(" ").map(Number)
            assert.isAtLeast(now, deadline)
            arrived.push([deadline, order])
          })
        ),
        Effect.forkScoped
      )
      for (let order = 0; order < 10_000; order++) {
        const deadline = yield* Random.nextIntBetween(1, 5000)
        yield* channel.publish(message(`${deadline} ${order}`), to("q", deadline))
      }
      for (let now = 0; now < 5000;) {
        const step = yield* Random.nextIntBetween(1, 200)
        yield* TestClock.adjust(step)
        yield* settle
        now += step
        assert.isTrue(arrived.every(([deadline]) => deadline <= now))
      }
      assert.strictEqual(arrived.length, 10_000)
      assert.deepStrictEqual(
        arrived,
        arrived.toSorted((a, b) => a[0] - b[0] || a[1] - b[1])
      )
    }).pipe(Random.withSeed("deadlines"))
  )

  test(
    "are forgotten with their queue, by the thousand, and those of other queues are not",
    Effect.gen(function* () {
      const channel = yield* openChannel
      const names = numbered(20)
      for (const name of names) yield* channel.queueDeclare(HubQueue.make(name))
      for (let count = 0; count < 200; count++) {
        for (const name of names) {
          yield* channel.publish(message("m"), to(name, yield* Random.nextIntBetween(1, 1000)))
        }
      }
      let kept = 0
      for (const [index, name] of names.entries()) {
        yield* TestClock.adjust(10)
        if (index % 4 > 0) {
          yield* index % 4 === 1 ? channel.queueDelete(name) : channel.queuePurge(name)
        } else {
          kept++
        }
      }
      yield* TestClock.adjust(1000)
      let left = 0
      for (const [index, name] of names.entries()) {
        if (index % 4 === 1) yield* channel.queueDeclare(HubQueue.make(name))
        left += (yield* drain(channel, name)).length
      }
      assert.strictEqual(left, kept * 200)
    }).pipe(Random.withSeed("forgotten"))
  )
})

describe("the embedded broker", () => {
  it.effect("is another one each time its layer is built", () =>
    Effect.gen(function* () {
      const declare = Effect.flatMap(openChannel, (channel) => channel.queueDeclare(HubQueue.make("q")))
      const ask = Effect.flatMap(openChannel, (channel) => channel.queueDeclare(HubQueue.make("q"), { passive: true }))
      yield* Effect.scoped(Effect.provide(declare, MemoryTransport.layer))
      const exit = yield* Effect.exit(Effect.scoped(Effect.provide(ask, MemoryTransport.layer)))
      assert.strictEqual(exit._tag, "Failure")
    })
  )

  test(
    "a disconnect fails every link and consumer, and gives back what they held, in its order",
    Effect.gen(function* () {
      const transport = yield* Transport
      const { disconnect } = yield* MemoryTransport.MemoryBroker
      const link = yield* transport.connect
      const channel = yield* link.channel
      yield* channel.queueDeclare(HubQueue.make("q"))
      for (const text of numbered(5)) yield* channel.publish(message(text), to("q"))
      const first = yield* channel.get("q")
      assert.isTrue(Option.isSome(first))
      const held = yield* channel.consume("q", { prefetch: 2 }).pipe(Stream.take(2), Stream.runCollect)
      assert.deepStrictEqual(held.map(textOf), ["2", "3"])
      yield* disconnect
      assert.strictEqual((yield* Effect.flip(link.closed)).reason._tag, "ConnectionLost")
      assert.strictEqual((yield* Effect.flip(channel.get("q"))).reason._tag, "ConnectionLost")
      yield* held[0]!.ack
      const again = yield* openChannel
      assert.deepStrictEqual((yield* drain(again, "q")).map(textOf), numbered(5))
    })
  )

  test(
    "priorities that are no whole numbers in range are taken for the nearest that are",
    Effect.gen(function* () {
      const channel = yield* openChannel
      yield* channel.queueDeclare(HubQueue.priority(5)(HubQueue.make("q")))
      for (const priority of [-1, 1.5, 300, Number.NaN, 0]) {
        yield* channel.publish(message(String(priority), { priority }), to("q"))
      }
      assert.deepStrictEqual((yield* drain(channel, "q")).map(textOf), ["300", "1.5", "-1", "NaN", "0"])
    })
  )

  test(
    "headers match by what they hold: dates, bytes, arrays and tables too",
    Effect.gen(function* () {
      const channel = yield* openChannel
      const exchange = Exchange.headers("h")
      yield* channel.exchangeDeclare(exchange)
      yield* channel.queueDeclare(HubQueue.make("q"))
      const wanted = () => ({ at: new Date(5), bytes: Uint8Array.of(1, 2), list: [1, [2]], table: { a: { b: 1 } } })
      yield* channel.queueBind("q", { exchange, routingKey: "", arguments: wanted() })
      yield* channel.publish(message("same", {}, wanted()), { exchange: "h", routingKey: "" })
      yield* channel.publish(message("other", {}, { ...wanted(), at: new Date(6) }), { exchange: "h", routingKey: "" })
      assert.deepStrictEqual((yield* drain(channel, "q")).map(textOf), ["same"])
    })
  )

  it.effect("a thousand links, channels and consumers leave no fiber behind", () =>
    Effect.gen(function* () {
      const transport = yield* Transport
      const round = Effect.scoped(
        Effect.gen(function* () {
          const channel = yield* (yield* transport.connect).channel
          yield* channel.queueDeclare(HubQueue.make("q"))
          yield* Effect.forkScoped(Stream.runDrain(channel.consume("q")))
          yield* Effect.yieldNow
          yield* channel.publish(message("m"), to("q", 60_000))
        })
      )
      const activeAfter = (rounds: number) =>
        Effect.andThen(Effect.replicateEffect(round, rounds, { discard: true }), Effect.andThen(settle, activeFibers))
      const few = yield* activeAfter(3)
      const many = yield* activeAfter(1000)
      assert.isDefined(few)
      // Those of the beginning may take a few turns more to end.
      assert.isAtMost(many?.value ?? Number.POSITIVE_INFINITY, few?.value ?? 0)
    }).pipe(
      Effect.provide(MemoryTransport.layer),
      Effect.provideService(Metric.FiberRuntimeMetrics, Metric.FiberRuntimeMetricsImpl)
    )
  )
})

describe("an interruption at any step", () => {
  /** Acknowledges, rejects and requeues by turns, and notes what it is sure of. */
  const work = (settled: Array<string>, started: Array<string>) =>
    Effect.gen(function* () {
      const channel = yield* openChannel
      yield* channel.consume("q", { prefetch: 3 }).pipe(
        Stream.take(6),
        Stream.runForEach((delivery) =>
          Effect.gen(function* () {
            const text = textOf(delivery)
            if (text === "2") return yield* delivery.reject({ requeue: true })
            started.push(text)
            yield* text === "4" ? delivery.reject({ requeue: false }) : delivery.ack
            settled.push(text)
          })
        )
      )
      const last = yield* channel.get("q")
      if (Option.isSome(last)) {
        started.push(textOf(last.value))
        yield* last.value.ack
        settled.push(textOf(last.value))
      }
    }).pipe(Effect.scoped)

  it.live("leaves each message in one place: settled, or in its queue, and in the dead-letter queue if rejected", () =>
    Effect.gen(function* () {
      const sent = numbered(6)
      const steps = yield* atEveryStep(
        (disturbed) =>
          Effect.gen(function* () {
            const channel = yield* openChannel
            yield* channel.queueDeclare(HubQueue.deadLetter("", "grave")(HubQueue.make("q")))
            yield* channel.queueDeclare(HubQueue.make("grave"))
            for (const text of sent) yield* channel.publish(message(text), to("q"))
            const settled: Array<string> = []
            const started: Array<string> = []
            yield* disturbed(work(settled, started))
            const info = yield* channel.queueDeclare(HubQueue.make("q"), { passive: true })
            const left = (yield* drain(channel, "q")).map(textOf)
            const grave = (yield* drain(channel, "grave")).map(textOf)
            return { settled, started, left, grave, info }
          }).pipe(Effect.scoped, Effect.provide(MemoryTransport.layer)),
        ({ grave, info, left, settled, started }, step) => {
          const where = JSON.stringify({ step, settled, started, left, grave })
          assert.strictEqual(info.consumerCount, 0, where)
          assert.strictEqual(info.messageCount, left.length, where)
          assert.strictEqual(new Set(left).size, left.length, where)
          for (const text of sent) {
            const there = left.includes(text)
            if (settled.includes(text)) assert.isFalse(there, where)
            else if (!started.includes(text)) assert.isTrue(there, where)
          }
          const rejected = !left.includes("4")
          assert.deepStrictEqual(grave, rejected ? ["4"] : [], where)
        }
      )
      assert.isAbove(steps, 50)
    })
  )
})
