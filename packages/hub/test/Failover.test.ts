import { Connection } from "@apium/hub/Connection"
import * as Failover from "@apium/hub/Failover"
import { AccessRefused, ConnectionLost, HubError, type Reason } from "@apium/hub/HubError"
import { MemoryBroker } from "@apium/hub/memory/MemoryTransport"
import * as MemoryTransport from "@apium/hub/memory/MemoryTransport"
import * as HubQueue from "@apium/hub/Queue"
import { Transport, type TransportConnection } from "@apium/hub/Transport"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Random, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import { settle } from "./support/messages.ts"

const unreachable = new ConnectionLost({ cause: "unreachable", text: "nobody listens" })
const refused = new AccessRefused({ replyText: "wrong password" })

const connection: TransportConnection = { channel: Effect.die("unused"), closed: Effect.never, blocked: Stream.never }

/** A broker that fails with what stands in `down`, and notes who was asked and what is open. */
const makeBrokers = (names: ReadonlyArray<string>) => {
  const asked: Array<string> = []
  const down = new Map<string, Reason>()
  const open = new Set<string>()
  const broker = (name: string): Transport["Service"] => ({
    name,
    capabilities: {
      exchangeTypes: new Set(),
      confirms: true,
      mandatory: true,
      exchangeBindings: true,
      prefetch: "channel",
      heartbeats: false,
      deliveryCount: "store",
      delay: "store",
      priority: "highest-first",
      eventExchange: "topic"
    },
    connect: Effect.suspend(() => {
      asked.push(name)
      const reason = down.get(name)
      return Effect.andThen(
        Effect.acquireRelease(
          Effect.sync(() => open.add(name)),
          () => Effect.sync(() => open.delete(name))
        ),
        reason === undefined ? Effect.succeed(connection) : Effect.fail(new HubError({ reason }))
      )
    })
  })
  const [first, ...rest] = names.map(broker)
  return { asked, down, open, transports: [first!, ...rest] as const }
}

describe("failover", () => {
  it.effect("asks the brokers in turn, from behind the one that answered last", () =>
    Effect.gen(function* () {
      const { asked, down, transports } = makeBrokers(["a", "b", "c"])
      const { connect } = Failover.make(transports)
      yield* connect
      yield* connect
      yield* connect
      yield* connect
      assert.deepStrictEqual(asked.splice(0), ["a", "b", "c", "a"])
      down.set("b", unreachable)
      yield* connect
      yield* connect
      assert.deepStrictEqual(asked.splice(0), ["b", "c", "a"])
    })
  )

  it.effect("fails with the last failure when all have failed, each asked once", () =>
    Effect.gen(function* () {
      const { asked, down, transports } = makeBrokers(["a", "b", "c"])
      for (const name of ["a", "b"]) down.set(name, unreachable)
      down.set("c", new ConnectionLost({ cause: "unreachable", text: "the last" }))
      const { message } = yield* Effect.flip(Failover.make(transports).connect)
      assert.include(message, "the last")
      assert.deepStrictEqual(asked, ["a", "b", "c"])
    })
  )

  it.effect("asks no other with a password that one has refused", () =>
    Effect.gen(function* () {
      const { asked, down, transports } = makeBrokers(["a", "b", "c"])
      down.set("a", unreachable)
      down.set("b", refused)
      const { reason } = yield* Effect.flip(Failover.make(transports).connect)
      assert.strictEqual(reason._tag, "AccessRefused")
      assert.deepStrictEqual(asked, ["a", "b"])
    })
  )

  it.effect("leaves nothing open of the attempts that failed, and closes what worked with its scope", () =>
    Effect.gen(function* () {
      const { down, open, transports } = makeBrokers(["a", "b", "c"])
      down.set("a", unreachable)
      down.set("b", unreachable)
      const scope = yield* Scope.make()
      yield* Scope.provide(Failover.make(transports).connect, scope)
      assert.deepStrictEqual([...open], ["c"])
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual([...open], [])
    })
  )

  it.effect("draws a new order for each attempt where it shuffles, and still asks each once", () =>
    Effect.gen(function* () {
      const names = ["a", "b", "c", "d"]
      const { asked, down, transports } = makeBrokers(names)
      for (const name of names) down.set(name, unreachable)
      const { connect } = Failover.make(transports, "shuffle")
      const orders = new Set<string>()
      for (let round = 0; round < 30; round++) {
        yield* Effect.flip(connect)
        const order = asked.splice(0)
        assert.sameMembers(order, names)
        orders.add(order.join(""))
      }
      assert.isAbove(orders.size, 5)
    }).pipe(Random.withSeed("shuffle"))
  )

  it.effect("can be interrupted while a broker does not answer, and closes what that had opened", () =>
    Effect.gen(function* () {
      const { open, transports } = makeBrokers(["a"])
      const [a] = transports
      const hanging = { ...a, connect: Effect.tap(a.connect, () => Effect.never) }
      const fiber = yield* Effect.forkChild(Effect.scoped(Failover.make([hanging]).connect))
      yield* settle
      assert.deepStrictEqual([...open], ["a"])
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual([...open], [])
    })
  )

  it.effect("makes brokers of layers, even of the same layer twice, and a connection moves between them", () =>
    Effect.gen(function* () {
      const transport = yield* Layer.build(Failover.layer([MemoryTransport.layer, MemoryTransport.layer]))
      const connect = Effect.flatMap(Transport, ({ connect }) => connect).pipe(Effect.provideContext(transport))
      const has = Effect.exit(
        Effect.flatMap(
          Effect.flatMap(connect, ({ channel }) => channel),
          (channel) => channel.queueDeclare(HubQueue.make("q"), { passive: true })
        )
      )
      yield* Effect.flatMap(
        Effect.flatMap(connect, ({ channel }) => channel),
        (channel) => channel.queueDeclare(HubQueue.make("q"))
      )
      assert.isTrue(Exit.isFailure(yield* has))
      assert.isTrue(Exit.isSuccess(yield* has))
    })
  )

  it.effect("brings a connection whose broker went away to the next one", () =>
    Effect.gen(function* () {
      const memory = yield* Layer.build(Layer.fresh(MemoryTransport.layer))
      const other = yield* Layer.build(Layer.fresh(MemoryTransport.layer))
      const both = yield* Effect.all([
        Transport.pipe(Effect.provideContext(memory)),
        Transport.pipe(Effect.provideContext(other))
      ])
      const layer = Connection.layer.pipe(Layer.provide(Layer.succeed(Transport, Failover.make(both))))
      yield* Effect.gen(function* () {
        const queue = HubQueue.make("q")
        const connection = yield* Connection
        yield* connection.declare({ queues: [queue] })
        yield* Effect.flatMap(MemoryBroker, ({ disconnect }) => disconnect).pipe(Effect.provideContext(memory))
        yield* settle
        yield* TestClock.adjust("2 seconds")
        // Another broker: the queue is not there until it is declared again.
        const ask = connection.use((channel) => channel.queueDeclare(queue, { passive: true }))
        assert.isTrue(Exit.isFailure(yield* Effect.exit(ask)))
        yield* connection.declare({ queues: [queue] })
        yield* ask
      }).pipe(Effect.provide(layer))
    })
  )
})
