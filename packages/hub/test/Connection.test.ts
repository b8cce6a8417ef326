import type { Channel } from "@apium/hub/Channel"
import { Connection, type ConnectionStatus, type Options } from "@apium/hub/Connection"
import * as Exchange from "@apium/hub/Exchange"
import { AccessRefused, type HubError } from "@apium/hub/HubError"
import { MemoryBroker } from "@apium/hub/memory/MemoryTransport"
import * as HubQueue from "@apium/hub/Queue"
import { Transport } from "@apium/hub/Transport"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Metric, Queue, Random, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import { atEveryStep } from "./support/everyStep.ts"
import { drain, message, settle, textOf } from "./support/messages.ts"
import { type Line, Script, unreachable } from "./support/ScriptedTransport.ts"

const refused = new AccessRefused({ replyText: "wrong password" })
const to = (routingKey: string) => ({ exchange: "", routingKey })
const reasonOf = <A, R>(effect: Effect.Effect<A, HubError, R>) =>
  Effect.map(Effect.flip(effect), ({ reason }) => reason._tag)

const layerOf = (options: Options, ...script: ReadonlyArray<Line>) =>
  Connection.layerWith(options).pipe(Layer.provideMerge(Script.layer(...script)))

const test = <A, E>(
  name: string,
  effect: Effect.Effect<A, E, Connection | Script | MemoryBroker | Scope.Scope>,
  options: Options = {}
) => it.effect(name, () => effect.pipe(Effect.provide(layerOf(options)), Random.withSeed(name)))

/** Moves the time on until this is done. */
const inTime = <A, E, R>(effect: Effect.Effect<A, E, R>, most = 200) =>
  Effect.gen(function* () {
    const fiber = yield* Effect.forkChild(effect)
    for (let tick = 0; tick < most && fiber.pollUnsafe() === undefined; tick++) yield* TestClock.adjust("100 millis")
    return yield* Fiber.join(fiber)
  })

/** The statuses as they come. */
const statuses = Effect.gen(function* () {
  const seen = yield* Queue.unbounded<ConnectionStatus>()
  const { status } = yield* Connection
  yield* Effect.forkScoped(Stream.runForEach(status, (status) => Queue.offer(seen, status)))
  yield* settle
  return seen
})

/** Cuts the link, and is sure that the connection knows. */
const cut = Effect.gen(function* () {
  yield* (yield* MemoryBroker).disconnect
  yield* settle
})

const queue = HubQueue.make("q")

describe("a connection that was lost", () => {
  test(
    "comes back, and says so: open, connecting, open",
    Effect.gen(function* () {
      const seen = yield* statuses
      assert.strictEqual(yield* Queue.take(seen), "open")
      yield* cut
      assert.strictEqual(yield* Queue.take(seen), "connecting")
      assert.strictEqual(yield* inTime(Queue.take(seen)), "open")
    })
  )

  test(
    "is waited for by whoever asks for a channel, uses one, declares or publishes",
    Effect.gen(function* () {
      const connection = yield* Connection
      yield* connection.declare({ queues: [queue] })
      yield* (yield* Script).next(unreachable, unreachable, "up")
      yield* cut
      const work = yield* Effect.all(
        [
          Effect.scoped(Effect.flatMap(connection.channel, (channel) => channel.queueDeclare(queue))),
          connection.use((channel) => channel.queueDeclare(queue)),
          connection.declare({ queues: [queue] }),
          connection.publish(message("1"), to("q")),
          connection.publishAll([
            [message("2"), to("q")],
            [message("3"), to("q")]
          ])
        ],
        { concurrency: "unbounded" }
      ).pipe(Effect.forkChild)
      yield* settle
      assert.isUndefined(work.pollUnsafe())
      yield* inTime(Fiber.join(work))
      const left = yield* connection.use((channel) => drain(channel, "q"))
      assert.sameMembers(left.map(textOf), ["1", "2", "3"])
    })
  )

  test(
    "is not waited for by a publish that says so",
    Effect.gen(function* () {
      const connection = yield* Connection
      const now = { ...to("q"), wait: false }
      yield* connection.declare({ queues: [queue] })
      yield* connection.publish(message("1"), now)
      // Before the loss is heard of, and after.
      yield* (yield* MemoryBroker).disconnect
      const lost = yield* Effect.flip(connection.publish(message("2"), now))
      yield* (yield* Script).next("hang")
      yield* settle
      const none = yield* Effect.flip(connection.publishAll([[message("3"), now]], { queues: [queue] }))
      assert.deepStrictEqual([lost.reason._tag, none.reason._tag], ["ConnectionLost", "ConnectionLost"])
    })
  )

  test(
    "is waited for by a publish that has not heard of the loss yet",
    Effect.gen(function* () {
      const connection = yield* Connection
      yield* connection.declare({ queues: [queue] })
      yield* connection.publish(message("1"), to("q"))
      // No step in between: the connection still holds the link that is gone.
      yield* (yield* MemoryBroker).disconnect
      yield* inTime(connection.publish(message("2"), to("q")))
      assert.strictEqual((yield* connection.use((channel) => drain(channel, "q"))).length, 2)
    })
  )

  test(
    "gets its topology declared again before a publish that brings it, on each link",
    Effect.gen(function* () {
      const connection = yield* Connection
      const events = Exchange.fanout("events")
      const topology = { exchanges: [events] }
      const send = connection.publish(message("m"), { exchange: "events", routingKey: "" }, topology)
      yield* send
      yield* connection.use((channel) => channel.exchangeDelete("events"))
      assert.strictEqual(yield* reasonOf(send), "ChannelClosed")
      yield* (yield* MemoryBroker).disconnect
      yield* inTime(send)
    })
  )

  test(
    "runs recoverable work again on the new link, and not what failed otherwise",
    Effect.gen(function* () {
      const connection = yield* Connection
      yield* connection.declare({ queues: [queue] })
      let runs = 0
      const work = Effect.scoped(
        Effect.gen(function* () {
          runs++
          const channel = yield* connection.channel
          if (runs === 1) yield* cut
          return yield* channel.queueDeclare(queue)
        })
      )
      assert.strictEqual((yield* inTime(connection.recover(work))).name, "q")
      assert.strictEqual(runs, 2)
      const missing = connection.use((channel) =>
        Effect.andThen(
          Effect.sync(() => void runs++),
          channel.get("nowhere")
        )
      )
      assert.strictEqual(yield* reasonOf(connection.recover(missing)), "ChannelClosed")
      assert.strictEqual(runs, 3)
    })
  )

  test(
    "fails who waits longer than the patience given, and says why there was no link",
    Effect.gen(function* () {
      const connection = yield* Connection
      yield* (yield* Script).next(unreachable)
      yield* cut
      const failures = yield* Effect.forkChild(
        Effect.all(
          [
            Effect.flip(Effect.scoped(connection.channel)),
            Effect.flip(connection.use((channel) => channel.get("q"))),
            Effect.flip(connection.publish(message("m"), to("q"))),
            Effect.flip(connection.declare({ queues: [queue] }))
          ],
          { concurrency: "unbounded" }
        )
      )
      yield* TestClock.adjust("4900 millis")
      assert.isUndefined(failures.pollUnsafe())
      yield* TestClock.adjust("100 millis")
      for (const { message, reason } of yield* Fiber.join(failures)) {
        assert.strictEqual(reason._tag, "ConnectionLost")
        assert.include(message, "nobody listens")
      }
    }),
    { patience: "5 seconds" }
  )

  test(
    "fails everybody, now and later, when no retry can mend it",
    Effect.gen(function* () {
      const connection = yield* Connection
      const seen = yield* statuses
      yield* (yield* Script).next(unreachable, refused)
      yield* cut
      const waiting = yield* Effect.forkChild(reasonOf(connection.publish(message("m"), to("q"))))
      yield* inTime(Fiber.await(waiting))
      assert.strictEqual(yield* Fiber.join(waiting), "AccessRefused")
      assert.deepStrictEqual(yield* Queue.takeN(seen, 3), ["open", "connecting", "closed"])
      assert.strictEqual(yield* reasonOf(Effect.scoped(connection.channel)), "AccessRefused")
      assert.strictEqual(yield* reasonOf(connection.use((channel) => channel.get("q"))), "AccessRefused")
      assert.strictEqual(yield* reasonOf(connection.recover(connection.declare({ queues: [queue] }))), "AccessRefused")
    })
  )

  test(
    "by a failure that no retry can mend is not asked for again",
    Effect.gen(function* () {
      const { attempts, drop } = yield* Script
      const connection = yield* Connection
      yield* drop(refused)
      yield* settle
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* reasonOf(connection.publish(message("m"), to("q"))), "AccessRefused")
      assert.strictEqual(attempts.length, 1)
    })
  )
})

describe("the pauses between attempts", () => {
  test(
    "are jittered, grow, and never pass the cap",
    Effect.gen(function* () {
      const { attempts, next } = yield* Script
      yield* TestClock.adjust("1 minute")
      yield* next(unreachable)
      yield* cut
      yield* TestClock.adjust("20 seconds")
      const pauses = attempts.slice(2).map((time, index) => time - attempts[index + 1]!)
      assert.isAbove(pauses.length, 20)
      assert.isBelow(pauses.length, 200)
      for (const [index, pause] of pauses.entries()) assert.isAtMost(pause, Math.min(1500, 200 * 2 ** index))
      assert.isAbove(new Set(pauses).size, 15)
      assert.isAbove(Math.max(...pauses), 1000)
      assert.isBelow(Math.min(...pauses.slice(6)), 750)
    }).pipe(Random.withSeed("pauses")),
    {}
  )

  test(
    "come after a link that was lost as soon as it was there, too",
    Effect.gen(function* () {
      const { attempts, drop } = yield* Script
      for (let second = 0; second < 600; second++) {
        yield* drop()
        yield* TestClock.adjust("100 millis")
      }
      // A minute of a broker that accepts and drops: not one attempt per drop.
      assert.isAbove(attempts.length, 20)
      assert.isBelow(attempts.length, 150)
    }).pipe(Random.withSeed("flapping"))
  )

  it.effect("begin before the first link is there where that was asked for", () =>
    Effect.gen(function* () {
      const layer = layerOf({ retryOnStartup: true }, unreachable, unreachable, "up")
      const fiber = yield* Effect.forkChild(
        Effect.flatMap(Connection, (connection) => connection.declare({ queues: [queue] })).pipe(Effect.provide(layer))
      )
      yield* settle
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("5 seconds")
      yield* Fiber.join(fiber)
    })
  )

  it.effect("are not for a first attempt that fails, unless that was asked for", () =>
    Effect.gen(function* () {
      const exit = yield* Effect.exit(Effect.scoped(Layer.build(layerOf({}, unreachable, "up"))))
      assert.isTrue(Exit.isFailure(exit))
    })
  )

  it.effect("are not for what no retry can mend", () =>
    Effect.gen(function* () {
      const exit = yield* Effect.exit(Effect.scoped(Layer.build(layerOf({ retryOnStartup: true }, refused))))
      assert.isTrue(Exit.isFailure(exit))
    })
  )
})

describe("pooled channels", () => {
  test(
    "are used again, and by one at a time",
    Effect.gen(function* () {
      const connection = yield* Connection
      const { open } = yield* Script
      const seen = new Set<unknown>()
      for (let round = 0; round < 100; round++) yield* connection.use((channel) => Effect.sync(() => seen.add(channel)))
      assert.strictEqual(seen.size, 1)
      assert.strictEqual(open.channels, 1)
    })
  )

  test(
    "are no more than the limit: one more use waits for one that ends",
    Effect.gen(function* () {
      const connection = yield* Connection
      const { open } = yield* Script
      const gate = yield* Deferred.make<void>()
      let running = 0
      let most = 0
      const use = connection.use(() =>
        Effect.gen(function* () {
          most = Math.max(most, ++running)
          yield* Deferred.await(gate)
          running--
        })
      )
      const all = yield* Effect.forkChild(Effect.replicateEffect(use, 12, { concurrency: "unbounded" }))
      yield* settle
      assert.deepStrictEqual([running, open.channels], [3, 3])
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(all)
      assert.strictEqual(most, 3)
      assert.strictEqual(open.channels, 3)
    }),
    { poolLimit: 3 }
  )

  test(
    "that a refused request closed are not handed out again, though the failure was caught",
    Effect.gen(function* () {
      const connection = yield* Connection
      const { open } = yield* Script
      const count = connection.use((channel) =>
        channel.queueDeclare(HubQueue.make("nowhere"), { passive: true }).pipe(
          Effect.map((info) => info.messageCount),
          Effect.catchReason("HubError", "ChannelClosed", () => Effect.succeed(0))
        )
      )
      assert.strictEqual(yield* count, 0)
      assert.strictEqual(open.channels, 0)
      yield* connection.use((channel) => channel.queueDeclare(queue))
      assert.strictEqual(yield* count, 0)
      yield* connection.use((channel) => channel.queueDeclare(queue))
    })
  )

  test(
    "whose work failed or was interrupted are closed, and their place is free",
    Effect.gen(function* () {
      const connection = yield* Connection
      const { open } = yield* Script
      for (let round = 0; round < 5; round++) {
        yield* Effect.exit(connection.use(() => Effect.fail("failed")))
        yield* Effect.exit(connection.use(() => Effect.die("died")))
        const fiber = yield* Effect.forkChild(connection.use(() => Effect.never))
        yield* settle
        yield* Fiber.interrupt(fiber)
        assert.strictEqual(open.channels, 0)
      }
      yield* connection.use((channel) => channel.queueDeclare(queue))
    }),
    { poolLimit: 1 }
  )

  test(
    "give back what work got and did not settle, when it failed",
    Effect.gen(function* () {
      const connection = yield* Connection
      yield* connection.publish(message("m"), to("q"), { queues: [queue] })
      yield* Effect.exit(connection.use((channel) => Effect.andThen(channel.get("q"), Effect.fail("failed"))))
      assert.strictEqual((yield* connection.use((channel) => drain(channel, "q"))).length, 1)
    })
  )

  test(
    "are not needed to declare and publish from inside of one: a full pool is no deadlock",
    Effect.gen(function* () {
      const connection = yield* Connection
      yield* connection.use(() => connection.publish(message("m"), to("q"), { queues: [queue] }))
      assert.strictEqual((yield* connection.use((channel) => drain(channel, "q"))).length, 1)
    }),
    { poolLimit: 1 }
  )
})

describe("publishing", () => {
  test(
    "goes on after a publish was refused: the channel all share is replaced",
    Effect.gen(function* () {
      const connection = yield* Connection
      yield* connection.declare({ queues: [queue] })
      for (let round = 0; round < 3; round++) {
        const refusal = connection.publish(message("m"), { exchange: "nowhere", routingKey: "" })
        assert.strictEqual(yield* reasonOf(refusal), "ChannelClosed")
        yield* connection.publish(message("m"), to("q"))
      }
      assert.strictEqual((yield* connection.use((channel) => drain(channel, "q"))).length, 3)
    })
  )

  /** As a broker with confirms does it: who waits on the channel for one fails with the refusal of another's publish. */
  const confirming = Layer.effect(
    Transport,
    Effect.map(Transport, (transport) => ({
      ...transport,
      connect: Effect.map(transport.connect, (link) => ({
        ...link,
        channel: Effect.map(link.channel, (channel): Channel => {
          const closed = Deferred.makeUnsafe<never, HubError>()
          return {
            ...channel,
            publish: (message, route) =>
              Effect.andThen(
                route.exchange === "" ? Effect.yieldNow : Effect.void,
                channel.publish(message, route)
              ).pipe(
                Effect.tapError((error) => Deferred.fail(closed, error)),
                Effect.raceFirst(Deferred.await(closed))
              )
          }
        })
      }))
    }))
  )

  it.effect("fails only who is to blame for a refusal, though it closes the channel all wait on", () =>
    Effect.gen(function* () {
      const connection = yield* Connection
      yield* connection.declare({ queues: [queue] })
      const good = connection.publish(message("m"), to("q"))
      const bad = connection.publish(message("m"), { exchange: "nowhere", routingKey: "" })
      const exits = yield* Effect.forEach([good, bad, good, bad, good], Effect.exit, { concurrency: "unbounded" })
      assert.deepStrictEqual(exits.map(Exit.isSuccess), [true, false, true, false, true])
      assert.strictEqual((yield* connection.use((channel) => drain(channel, "q"))).length, 3)
    }).pipe(Effect.provide(Connection.layer.pipe(Layer.provide(confirming), Layer.provide(Script.layer()))))
  )

  test(
    "opens one channel for all, however many begin at once",
    Effect.gen(function* () {
      const connection = yield* Connection
      const { open } = yield* Script
      yield* connection.declare({ queues: [queue] })
      const before = open.channels
      yield* Effect.replicateEffect(connection.publish(message("m"), to("q")), 100, { concurrency: "unbounded" })
      assert.strictEqual(open.channels, before + 1)
    })
  )

  it.effect("interrupted at any step, leaves no channel behind that nobody closes", () =>
    atEveryStep(
      (disturbed) =>
        Effect.gen(function* () {
          const connection = yield* Connection
          const { open } = yield* Script
          const send = connection.publish(message("m"), to("q"), { queues: [queue] })
          yield* disturbed(Effect.andThen(send, connection.use(Effect.succeed)))
          yield* send
          return open.channels
        }).pipe(Effect.provide(Layer.fresh(layerOf({})))),
      (channels, step) => assert.isAtMost(channels, 2, `interrupted at step ${step}`)
    )
  )

  test(
    "declares what it brings again after it failed, for somebody may have deleted it",
    Effect.gen(function* () {
      const connection = yield* Connection
      const send = connection.publish(message("m"), { ...to("q"), mandatory: true }, { queues: [queue] })
      yield* send
      yield* connection.use((channel) => channel.queueDelete("q"))
      assert.strictEqual(yield* reasonOf(send), "Returned")
      yield* send
    })
  )

  test(
    "declares what it brings once per link, however many begin at once",
    Effect.gen(function* () {
      const connection = yield* Connection
      const { open } = yield* Script
      const send = connection.publish(message("m"), to("q"), { queues: [queue] })
      yield* Effect.replicateEffect(send, 100, { concurrency: "unbounded" })
      assert.strictEqual(open.channels, 2)
      yield* connection.use((channel) => channel.queueDelete("q"))
      yield* send
      const ask = connection.use((channel) => channel.queueDeclare(queue, { passive: true }))
      assert.strictEqual(yield* reasonOf(ask), "ChannelClosed")
    })
  )
})

describe("a link", () => {
  test(
    "that is blocked says so, and when it is not any more",
    Effect.gen(function* () {
      const seen = yield* statuses
      const { block } = yield* Script
      yield* block(true)
      yield* settle
      yield* block(false)
      assert.deepStrictEqual(yield* Queue.takeN(seen, 3), ["open", "blocked", "open"])
    })
  )

  test(
    "that is replaced a thousand times leaves no scope, channel or fiber behind",
    Effect.gen(function* () {
      const connection = yield* Connection
      const { open } = yield* Script
      const active = Effect.map(
        Metric.snapshot,
        (all) => all.find(({ id }) => id === "child_fibers_active")?.state as { readonly value: number } | undefined
      )
      const round = Effect.gen(function* () {
        yield* connection.publish(message("m"), to("q"), { queues: [queue] })
        yield* connection.use((channel) => channel.get("q"))
        yield* cut
        yield* TestClock.adjust("1600 millis")
      })
      yield* Effect.replicateEffect(round, 3, { discard: true })
      const few = yield* active
      yield* Effect.replicateEffect(round, 1000, { discard: true })
      assert.isDefined(few)
      assert.strictEqual((yield* active)?.value, few?.value)
      assert.strictEqual(open.links, 1)
      assert.isAtMost(open.channels, 2)
    }).pipe(Effect.provideService(Metric.FiberRuntimeMetrics, Metric.FiberRuntimeMetricsImpl))
  )

  it.effect("is closed with its connection: what comes later fails, and nobody is kept waiting or trying", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const context = yield* Scope.provide(Layer.build(layerOf({})), scope)
      yield* Effect.gen(function* () {
        const connection = yield* Connection
        const { attempts, open } = yield* Script
        yield* connection.declare({ queues: [queue] })
        const consumer = yield* connection
          .recover(
            Effect.scoped(Effect.flatMap(connection.channel, (channel) => Stream.runDrain(channel.consume("q"))))
          )
          .pipe(Effect.forkChild)
        yield* settle
        yield* Scope.close(scope, Exit.void)
        yield* settle
        assert.strictEqual(open.links, 0)
        assert.strictEqual(yield* reasonOf(connection.publish(message("m"), to("q"))), "ConnectionLost")
        assert.strictEqual(yield* reasonOf(Effect.scoped(connection.channel)), "ConnectionLost")
        yield* TestClock.adjust("1 minute")
        assert.strictEqual(yield* reasonOf(Fiber.join(consumer)), "ConnectionLost")
        assert.strictEqual(attempts.length, 1)
      }).pipe(Effect.provideContext(context))
    })
  )

  it.effect("that is waited for when the connection closes is waited for no more", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const context = yield* Scope.provide(Layer.build(layerOf({})), scope)
      yield* Effect.gen(function* () {
        const connection = yield* Connection
        yield* (yield* Script).next("hang")
        yield* cut
        const waiting = yield* Effect.forkChild(reasonOf(connection.publish(message("m"), to("q"))))
        yield* TestClock.adjust("1 second")
        assert.isUndefined(waiting.pollUnsafe())
        yield* Scope.close(scope, Exit.void)
        assert.strictEqual(yield* Fiber.join(waiting), "ConnectionLost")
      }).pipe(Effect.provideContext(context))
    })
  )

  test(
    "that does not come is not waited for by who is interrupted",
    Effect.gen(function* () {
      const connection = yield* Connection
      const { open } = yield* Script
      yield* (yield* Script).next("hang")
      yield* cut
      const fiber = yield* Effect.forkChild(connection.use((channel) => channel.get("q")))
      yield* settle
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(open.channels, 0)
    })
  )
})
