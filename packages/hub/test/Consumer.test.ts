import type { Channel } from "@apium/hub/Channel"
import { Connection } from "@apium/hub/Connection"
import * as Consumer from "@apium/hub/Consumer"
import { settledTwice, type Delivery } from "@apium/hub/Delivery"
import * as Exchange from "@apium/hub/Exchange"
import { AccessRefused, ChannelClosed, HubError } from "@apium/hub/HubError"
import * as MemoryTransport from "@apium/hub/memory/MemoryTransport"
import * as HubQueue from "@apium/hub/Queue"
import { Transport } from "@apium/hub/Transport"
import { assert, describe, it } from "@effect/vitest"
import { Data, Deferred, Effect, Fiber, Layer, Metric, pipe, Queue, Random, type Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import { atEveryStep } from "./support/everyStep.ts"
import { drain, message, numbered, settle, textOf } from "./support/messages.ts"
import { Script, unreachable } from "./support/ScriptedTransport.ts"

const layer = Connection.layerWith({}).pipe(Layer.provideMerge(Script.layer()))

const test = <A, E>(
  name: string,
  effect: Effect.Effect<A, E, Connection | Script | MemoryTransport.MemoryBroker | Scope.Scope>
) => it.effect(name, () => effect.pipe(Effect.provide(layer), Random.withSeed(name)))

const queue = HubQueue.make("q")
const send = (texts: ReadonlyArray<string>, to = queue) =>
  Effect.flatMap(Connection, (connection) =>
    connection.publishAll(
      texts.map((text) => [message(text), { exchange: "", routingKey: to.name }] as const),
      { queues: [to] }
    )
  )
const left = (name: string) =>
  Effect.flatMap(Connection, (connection) =>
    connection.use((channel) =>
      Effect.andThen(
        channel.queueDeclare(HubQueue.make(name)),
        Effect.map(drain(channel, name), (all) => all.map(textOf))
      )
    )
  )
const info = (name: string) =>
  Effect.flatMap(Connection, (connection) =>
    connection.use((channel) => channel.queueDeclare(HubQueue.make(name), { passive: true }))
  )
const cut = Effect.gen(function* () {
  yield* (yield* MemoryTransport.MemoryBroker).disconnect
  yield* settle
})
/** Cuts the link and waits for the next. */
const recut = Effect.andThen(cut, TestClock.adjust("2 seconds"))

class Bad extends Data.TaggedError("Bad")<{ readonly message: string }> {}

describe("Consumer.stream", () => {
  test(
    "declares its queues with their bindings, and gives what comes to any of them",
    Effect.gen(function* () {
      const connection = yield* Connection
      const events = Exchange.topic("events")
      const users = pipe(HubQueue.make("users"), HubQueue.bindTo(events, "user.#"))
      const orders = pipe(HubQueue.make("orders"), HubQueue.bindTo(events, "order.#"))
      const received = yield* Consumer.stream([users, orders], { prefetch: 1, consumerTag: "mine" }).pipe(
        Stream.tap((delivery) => delivery.ack),
        Stream.take(4),
        Stream.runCollect,
        Effect.forkChild
      )
      yield* settle
      for (const routingKey of ["user.new", "order.new", "nobody", "user.gone", "order.gone"]) {
        yield* connection.publish(message(routingKey), { exchange: "events", routingKey })
      }
      const deliveries = yield* Fiber.join(received)
      assert.sameMembers(deliveries.map(textOf), ["user.new", "order.new", "user.gone", "order.gone"])
      assert.deepStrictEqual(new Set(deliveries.map(({ consumerTag }) => consumerTag)), new Set(["mine-1", "mine-2"]))
    })
  )

  test(
    "goes on over lost links, and what was unsettled comes again and says so",
    Effect.gen(function* () {
      const received = yield* Queue.unbounded<Delivery>()
      yield* Consumer.stream([queue], { prefetch: 2 }).pipe(
        Stream.runForEach((delivery) => Queue.offer(received, delivery)),
        Effect.forkScoped
      )
      yield* settle
      yield* send(numbered(3))
      const [first, second] = yield* Queue.takeN(received, 2)
      yield* first!.ack
      const third = yield* Queue.take(received)
      assert.deepStrictEqual([first!, second!, third].map(textOf), ["1", "2", "3"])
      yield* (yield* Script).next(unreachable, unreachable, "up")
      yield* cut
      yield* TestClock.adjust("10 seconds")
      const again = yield* Queue.takeN(received, 2)
      assert.deepStrictEqual(again.map(textOf), ["2", "3"])
      assert.deepStrictEqual(
        again.map(({ redelivered }) => redelivered),
        [true, true]
      )
      // Of the old link: it settles nothing.
      yield* second!.ack
      yield* again[0]!.ack
      yield* again[1]!.ack
      assert.deepStrictEqual(yield* left("q"), [])
    })
  )

  test(
    "begins again when its queue was deleted, with a new one",
    Effect.gen(function* () {
      const received = yield* Queue.unbounded<Delivery>()
      yield* Consumer.stream([queue]).pipe(
        Stream.runForEach((delivery) => Queue.offer(received, delivery)),
        Effect.forkScoped
      )
      yield* settle
      yield* (yield* Connection).use((channel) => channel.queueDelete("q"))
      yield* settle
      yield* TestClock.adjust("2 seconds")
      yield* send(["m"])
      assert.strictEqual(textOf(yield* Queue.take(received)), "m")
    })
  )

  it.effect("begins again when the broker closed its channel for no request: something was held too long", () => {
    const timedOut = new ChannelClosed({
      replyCode: 406,
      replyText: "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out",
      classId: 0,
      methodId: 0
    })
    let consumers = 0
    const impatient = Layer.effect(
      Transport,
      Effect.map(Transport, (transport) => ({
        ...transport,
        connect: Effect.map(transport.connect, (link) => ({
          ...link,
          channel: Effect.map(link.channel, (channel): Channel => ({
            ...channel,
            consume: (name, options) =>
              consumers++ > 0
                ? channel.consume(name, options)
                : Stream.concat(
                    Stream.take(channel.consume(name, options), 1),
                    Stream.fail(new HubError({ reason: timedOut }))
                  )
          }))
        }))
      }))
    )
    return Effect.gen(function* () {
      const connection = yield* Connection
      yield* connection.publishAll(
        ["a", "b"].map((text) => [message(text), { exchange: "", routingKey: "q" }] as const),
        { queues: [queue] }
      )
      const received = yield* Effect.forkChild(
        Stream.runCollect(Stream.take(Consumer.stream([queue], { prefetch: 1 }), 2))
      )
      yield* TestClock.adjust("2 seconds")
      const [first, again] = yield* Fiber.join(received)
      assert.deepStrictEqual(
        [first, again].map((one) => one && textOf(one)),
        ["a", "a"]
      )
      assert.isTrue(again?.redelivered)
    }).pipe(Effect.provide(Connection.layer.pipe(Layer.provide(impatient), Layer.provide(MemoryTransport.layer))))
  })

  test(
    "fails of what no link can mend",
    Effect.gen(function* () {
      yield* send(["m"])
      const wrong = HubQueue.make("q", { durable: false })
      const error = yield* Effect.flip(Stream.runDrain(Consumer.stream([wrong])))
      assert.strictEqual(error.reason._tag, "ChannelClosed")
      const waiting = yield* Effect.forkChild(Effect.flip(Stream.runDrain(Consumer.stream([queue]))))
      yield* settle
      yield* (yield* Script).drop(new AccessRefused({ replyText: "no more" }))
      yield* cut
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual((yield* Fiber.join(waiting)).reason._tag, "AccessRefused")
    })
  )

  test(
    "leaves nothing behind after a thousand lost links",
    Effect.gen(function* () {
      const { open } = yield* Script
      const active = Effect.map(
        Metric.snapshot,
        (all) => all.find(({ id }) => id === "child_fibers_active")?.state as { readonly value: number } | undefined
      )
      yield* Consumer.stream([queue]).pipe(
        Stream.runForEach((delivery) => delivery.ack),
        Effect.forkScoped
      )
      yield* Effect.replicateEffect(recut, 3, { discard: true })
      const few = yield* active
      yield* Effect.replicateEffect(recut, 1000, { discard: true })
      assert.isDefined(few)
      assert.strictEqual((yield* active)?.value, few?.value)
      assert.strictEqual(open.links, 1)
      assert.strictEqual((yield* info("q")).consumerCount, 1)
    }).pipe(Effect.provideService(Metric.FiberRuntimeMetrics, Metric.FiberRuntimeMetricsImpl))
  )
})

/** Runs a consumer beside the test. */
const running = <E, R>(
  handle: (delivery: Delivery) => Effect.Effect<void, E, R>,
  options: Partial<Consumer.RunOptions<E, R>> = {}
) => Effect.forkChild(Consumer.run([queue], { concurrency: 2, handle, ...options }))

describe("Consumer.run", () => {
  test(
    "refuses to handle none at once, and takes nothing",
    Effect.gen(function* () {
      yield* send(["1"])
      const run = Consumer.run([queue], { concurrency: 0, handle: () => Effect.void })
      assert.match(String(yield* Effect.exit(run)), /concurrency is at least 1, not 0/)
      assert.deepStrictEqual(yield* left("q"), ["1"])
    })
  )

  test(
    "acknowledges what its handler did, as many at once as it was told, and no more",
    Effect.gen(function* () {
      let now = 0
      let most = 0
      const handled: Array<string> = []
      const done = yield* Deferred.make<void>()
      yield* send(numbered(50))
      yield* running(
        (delivery) =>
          Effect.gen(function* () {
            most = Math.max(most, ++now)
            yield* Effect.yieldNow
            now--
            if (handled.push(textOf(delivery)) === 50) yield* Deferred.succeed(done, undefined)
          }),
        { concurrency: 7 }
      )
      yield* Deferred.await(done)
      yield* settle
      assert.sameMembers(handled, [...numbered(50)])
      assert.strictEqual(most, 7)
      const { consumerCount, messageCount } = yield* info("q")
      assert.deepStrictEqual([consumerCount, messageCount], [1, 0])
    })
  )

  test(
    "dead-letters what its handler fails on, with the failure's text, and goes on",
    Effect.gen(function* () {
      const done = yield* Deferred.make<void>()
      yield* send(["bad", "text", "object", "odd", "good"])
      yield* running((delivery) => {
        switch (textOf(delivery)) {
          case "bad":
            return Effect.fail(new Bad({ message: "no such user" }))
          case "text":
            return Effect.fail("as text")
          case "object":
            return Effect.fail({ _tag: "Plain", code: 7 })
          case "odd":
            return Effect.fail(Object.create(null))
          default:
            return Effect.asVoid(Deferred.succeed(done, undefined))
        }
      })
      yield* Deferred.await(done)
      yield* settle
      const dead = yield* (yield* Connection).use((channel) => drain(channel, "q.dead"))
      const errors = new Map(
        dead.map((delivery) => [textOf(delivery), String(delivery.message.headers["x-apium-error"])])
      )
      assert.strictEqual(errors.get("bad"), "Bad: no such user")
      assert.strictEqual(errors.get("text"), "as text")
      assert.include(errors.get("object"), "Plain")
      assert.include(errors.get("object"), "7")
      assert.isTrue(errors.has("odd"))
      assert.isFalse(errors.has("good"))
      for (const { message } of dead) assert.strictEqual(message.headers["x-apium-reason"], "failed")
      assert.deepStrictEqual(yield* left("q"), [])
    })
  )

  test(
    "drops what its handler fails on where it is told to",
    Effect.gen(function* () {
      yield* send(["1", "2"])
      const run = yield* running(() => Effect.fail("no"), { onFailure: "drop" })
      yield* settle
      yield* Fiber.interrupt(run)
      assert.deepStrictEqual(yield* left("q"), [])
      assert.deepStrictEqual(yield* left("q.dead"), [])
    })
  )

  test(
    "gives back what its handler fails on where it is told to, until it has been given back too often",
    Effect.gen(function* () {
      yield* send(["m"])
      let tries = 0
      yield* running(
        () =>
          Effect.andThen(
            Effect.sync(() => void tries++),
            Effect.fail("no")
          ),
        {
          onFailure: "requeue",
          maxDeliveries: 5
        }
      )
      yield* settle
      yield* settle
      assert.strictEqual(tries, 5)
      const [dead] = yield* (yield* Connection).use((channel) => drain(channel, "q.dead"))
      assert.strictEqual(dead!.message.headers["x-apium-reason"], "deliveries")
    })
  )

  test(
    "gives back what its handler dies of, also before there is an effect, and dead-letters it after twenty times",
    Effect.gen(function* () {
      yield* send(["dies", "throws", "good"])
      const tries = new Map<string, number>()
      const run = yield* running((delivery) => {
        const text = textOf(delivery)
        tries.set(text, (tries.get(text) ?? 0) + 1)
        if (text === "throws") throw new Error("before there is an effect")
        return text === "dies" ? Effect.die("defect") : Effect.void
      })
      for (let round = 0; round < 10; round++) yield* settle
      assert.deepStrictEqual(Object.fromEntries(tries), { dies: 20, throws: 20, good: 1 })
      assert.isUndefined(run.pollUnsafe())
      assert.sameMembers(yield* left("q.dead"), ["dies", "throws"])
    })
  )

  test(
    "gives back what its handler is interrupted in, from inside and from outside",
    Effect.gen(function* () {
      yield* send(["inside"])
      let tries = 0
      const inside = yield* running(() => (++tries < 3 ? Effect.interrupt : Effect.void))
      yield* settle
      assert.strictEqual(tries, 3)
      yield* Fiber.interrupt(inside)
      yield* send(numbered(4))
      const begun = yield* Queue.unbounded<string>()
      const outside = yield* running((delivery) => Effect.andThen(Queue.offer(begun, textOf(delivery)), Effect.never))
      yield* Queue.takeN(begun, 2)
      yield* Fiber.interrupt(outside)
      assert.sameMembers(yield* left("q"), [...numbered(4)])
    })
  )

  test(
    "lets a handler clean up, and settles after it, when it is interrupted",
    Effect.gen(function* () {
      yield* send(["m"])
      const begun = yield* Deferred.make<void>()
      const cleaned: Array<number> = []
      const before = yield* Metric.value(settledTwice)
      const run = yield* running(() =>
        Effect.andThen(Deferred.succeed(begun, undefined), Effect.never).pipe(
          Effect.onInterrupt(() =>
            Effect.gen(function* () {
              yield* Effect.yieldNow
              cleaned.push((yield* info("q")).messageCount)
            }).pipe(Effect.orDie)
          )
        )
      )
      yield* Deferred.await(begun)
      yield* Fiber.interrupt(run)
      // Nobody else had the message meanwhile, and none was settled in vain.
      assert.deepStrictEqual(cleaned, [0])
      assert.strictEqual((yield* Metric.value(settledTwice)).count, before.count)
      assert.deepStrictEqual(yield* left("q"), ["m"])
    })
  )

  test(
    "takes in again at once after a lost link, while a handler from before it still runs",
    Effect.gen(function* () {
      yield* send(["long"])
      const gate = yield* Deferred.make<void>()
      const handled = yield* Queue.unbounded<string>()
      let interrupted = 0
      yield* running((delivery) =>
        textOf(delivery) === "long" && !delivery.redelivered
          ? Effect.onInterrupt(Deferred.await(gate), () => Effect.sync(() => void interrupted++))
          : Effect.asVoid(Queue.offer(handled, `${textOf(delivery)} ${delivery.redelivered}`))
      )
      yield* settle
      yield* recut
      yield* send(["short"])
      assert.sameMembers(yield* Queue.takeN(handled, 2), ["long true", "short false"])
      yield* Deferred.succeed(gate, undefined)
      yield* settle
      assert.strictEqual(interrupted, 0)
      assert.deepStrictEqual(yield* left("q"), [])
    })
  )

  test(
    "handles no more at once over a lost link than before it",
    Effect.gen(function* () {
      yield* send(numbered(10))
      let now = 0
      let most = 0
      yield* running(
        () =>
          Effect.gen(function* () {
            most = Math.max(most, ++now)
            yield* Effect.sleep("10 seconds")
            now--
          }),
        { concurrency: 3 }
      )
      yield* settle
      for (let round = 0; round < 10; round++) {
        yield* recut
        yield* TestClock.adjust("5 seconds")
      }
      yield* TestClock.adjust("10 minutes")
      assert.strictEqual(most, 3)
      assert.deepStrictEqual(yield* left("q"), [])
    })
  )

  test(
    "loses nothing, whenever the link is lost",
    Effect.gen(function* () {
      const sent = numbered(200)
      const handled: Array<string> = []
      yield* send(sent)
      yield* running(
        (delivery) =>
          Effect.gen(function* () {
            yield* Effect.yieldNow
            handled.push(textOf(delivery))
            yield* Effect.yieldNow
          }),
        { concurrency: 4, prefetch: 10, maxDeliveries: 1_000_000 }
      )
      for (let round = 0; new Set(handled).size < sent.length && round < 1000; round++) {
        yield* Effect.replicateEffect(Effect.yieldNow, yield* Random.nextIntBetween(0, 12), { discard: true })
        yield* (yield* MemoryTransport.MemoryBroker).disconnect
        yield* TestClock.adjust("2 seconds")
      }
      yield* settle
      assert.deepStrictEqual(new Set(handled), new Set(sent))
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(yield* left("q"), [])
      assert.deepStrictEqual(yield* left("q.dead"), [])
    }).pipe(Random.withSeed("cuts"))
  )

  test(
    "does not stop of a dead letter that the loss of the link prevented",
    Effect.gen(function* () {
      yield* send(["bad"])
      const gate = yield* Deferred.make<void>()
      const run = yield* running(() => Effect.andThen(Deferred.await(gate), Effect.fail("no")))
      yield* settle
      yield* (yield* Script).next(unreachable)
      yield* cut
      yield* Deferred.succeed(gate, undefined)
      yield* TestClock.adjust("5 minutes")
      assert.isUndefined(run.pollUnsafe())
      yield* (yield* Script).next("up")
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(new Set(yield* left("q.dead")), new Set(["bad"]))
      assert.deepStrictEqual(yield* left("q"), [])
    })
  )

  test(
    "fails of a dead letter that is refused, and its message stays",
    Effect.gen(function* () {
      yield* (yield* Connection).declare({ queues: [HubQueue.make("q.dead", { durable: false })] })
      yield* send(["bad", "other"])
      const run = yield* running(() => Effect.fail("no"))
      const error: HubError = yield* Effect.flip(Fiber.join(run))
      assert.strictEqual(error.reason._tag, "ChannelClosed")
      assert.sameMembers(yield* left("q"), ["bad", "other"])
    })
  )

  test(
    "settles nothing twice, acknowledged or not",
    Effect.gen(function* () {
      const before = yield* Metric.value(settledTwice)
      yield* send(numbered(20))
      const run = yield* running((delivery) => (textOf(delivery) === "7" ? Effect.fail("no") : Effect.void))
      yield* settle
      yield* Fiber.interrupt(run)
      assert.deepStrictEqual(yield* left("q"), [])
      assert.strictEqual((yield* Metric.value(settledTwice)).count, before.count)
    })
  )

  it.live("interrupted at any step, leaves each message in one place, and what it did is done", () =>
    Effect.gen(function* () {
      const sent = numbered(6)
      const steps = yield* atEveryStep(
        (disturbed) =>
          Effect.gen(function* () {
            const finished = new Set<string>()
            yield* send(sent)
            const done = yield* Deferred.make<void>()
            const run = Consumer.run([queue], {
              concurrency: 2,
              handle: (delivery) =>
                Effect.gen(function* () {
                  yield* Effect.yieldNow
                  if (textOf(delivery) === "3") return yield* Effect.fail("no")
                  finished.add(textOf(delivery))
                  if (finished.size === 5) yield* Deferred.succeed(done, undefined)
                })
            })
            yield* disturbed(Effect.raceFirst(run, Deferred.await(done)))
            const { consumerCount } = yield* info("q")
            return { finished, consumerCount, waiting: yield* left("q"), dead: yield* left("q.dead") }
          }).pipe(Effect.provide(layer)),
        ({ consumerCount, dead, finished, waiting }, step) => {
          const where = JSON.stringify({ step, finished: [...finished], waiting, dead })
          assert.strictEqual(consumerCount, 0, where)
          assert.strictEqual(new Set(waiting).size, waiting.length, where)
          for (const text of sent) {
            assert.isTrue(waiting.includes(text) || finished.has(text) || dead.includes(text), where)
          }
        }
      )
      assert.isAbove(steps, 100)
    })
  )
})
