import * as MailboxMessage from "@apium/protocol/kombu/MailboxMessage"
import { Connection } from "@apium/hub/Connection"
import * as Consumer from "@apium/hub/Consumer"
import * as Exchange from "@apium/hub/Exchange"
import { ConnectionLost, fail } from "@apium/hub/HubError"
import * as Mailbox from "@apium/hub/Mailbox"
import * as MemoryTransport from "@apium/hub/memory/MemoryTransport"
import * as Message from "@apium/hub/Message"
import * as HubQueue from "@apium/hub/Queue"
import * as Serializer from "@apium/hub/Serializer"
import { Transport } from "@apium/hub/Transport"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Deferred, Effect, Fiber, Layer, pipe, Queue, Random, type Scope, Stream } from "effect"
import { TestClock, TestConsole } from "effect/testing"
import { cut, settle } from "./support/links.ts"

const Broker = Connection.layer.pipe(Layer.provideMerge(MemoryTransport.layer))

/** A broker that cannot be found again. */
const OneLinkOnly = Layer.effect(
  Transport,
  Effect.map(Transport, (transport) => {
    let links = 0
    const gone = fail(new ConnectionLost({ cause: "unreachable", text: "no broker" }))
    return { ...transport, connect: Effect.suspend(() => (links++ === 0 ? transport.connect : gone)) }
  })
).pipe(Layer.provideMerge(MemoryTransport.layer))

const test = <A, E>(name: string, effect: Effect.Effect<A, E, Layer.Success<typeof Broker> | Scope.Scope>) =>
  it.effect(name, () => effect.pipe(Effect.provide(Broker), Random.withSeed(name)))

const pong = (method: string) =>
  method === "ping" ? Effect.succeed({ ok: "pong" }) : Effect.fail(new Mailbox.UnknownMethod({ method }))

const nodes = ["w1@alpha", "w2@alpha", "w1@beta"]

const serveAll = Effect.andThen(
  Effect.forEach(nodes, (node) => Effect.forkScoped(Mailbox.serve(node, pong))),
  settle
)

/** The nodes that answer within a second, by name. */
const ask = (command: Mailbox.Command, limit?: number) =>
  Effect.gen(function* () {
    const asking = yield* Effect.forkChild(
      Stream.runCollect(Mailbox.broadcast(command, { timeout: "1 second", limit }))
    )
    yield* settle
    yield* TestClock.adjust("1 second")
    return (yield* Fiber.join(asking)).map(({ node }) => node).toSorted()
  })

const requestExchange = Exchange.fanout("celery.pidbox", { durable: false })

/** Sends a body nobody here would write. */
const send = Effect.fnUntraced(function* (body: unknown, headers: Exchange.Arguments = {}) {
  const connection = yield* Connection
  yield* connection.declare({ exchanges: [requestExchange] })
  yield* connection.publish(yield* Serializer.encode(body, { headers }), { exchange: "celery.pidbox", routingKey: "" })
})

describe("who answers", () => {
  test(
    "every node does, with its name",
    Effect.gen(function* () {
      yield* serveAll
      const replies = yield* Stream.runCollect(Mailbox.broadcast({ method: "ping" }, { timeout: "1 second", limit: 3 }))
      assert.deepStrictEqual(
        replies.toSorted((a, b) => a.node.localeCompare(b.node)),
        [
          { node: "w1@alpha", reply: { ok: "pong" } },
          { node: "w1@beta", reply: { ok: "pong" } },
          { node: "w2@alpha", reply: { ok: "pong" } }
        ]
      )
    })
  )

  test(
    "without a limit it takes until the timeout to know who does",
    Effect.gen(function* () {
      yield* serveAll
      assert.deepStrictEqual(yield* ask({ method: "ping" }), nodes.toSorted())
    })
  )

  test(
    "only the destinations do, and then their number is the limit",
    Effect.gen(function* () {
      yield* serveAll
      const replies = yield* Stream.runCollect(
        Mailbox.broadcast({ method: "ping", destination: ["w2@alpha", "w1@beta"] }, { timeout: "1 hour" })
      )
      assert.deepStrictEqual(replies.map(({ node }) => node).toSorted(), ["w1@beta", "w2@alpha"])
      assert.deepStrictEqual(yield* ask({ method: "ping", destination: ["nobody@nowhere"] }), [])
    })
  )

  test(
    "those whose name matches a glob or a pcre pattern do",
    Effect.gen(function* () {
      yield* serveAll
      assert.deepStrictEqual(yield* ask({ method: "ping", pattern: "*@alpha", matcher: "glob" }), [
        "w1@alpha",
        "w2@alpha"
      ])
      assert.deepStrictEqual(yield* ask({ method: "ping", pattern: "w1@(alpha|beta)$", matcher: "pcre" }), [
        "w1@alpha",
        "w1@beta"
      ])
    })
  )

  test(
    "no more than the limit do",
    Effect.gen(function* () {
      yield* serveAll
      const replies = yield* Stream.runCollect(Mailbox.broadcast({ method: "ping" }, { timeout: "1 hour", limit: 2 }))
      assert.strictEqual(replies.length, 2)
    })
  )

  test(
    "nobody does when there is nobody, and the stream ends at the timeout",
    Effect.gen(function* () {
      const asking = yield* Effect.forkChild(
        Stream.runCollect(Mailbox.broadcast({ method: "ping" }, { timeout: "1 second" }))
      )
      yield* settle
      yield* TestClock.adjust("999 millis")
      assert.isUndefined(asking.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(yield* Fiber.join(asking), [])
    })
  )

  it.effect("a second node of the same name is served, with a warning", () =>
    Effect.gen(function* () {
      yield* Effect.forkScoped(Mailbox.serve("w1", pong))
      yield* settle
      yield* Effect.forkScoped(Mailbox.serve("w1", pong))
      yield* settle
      assert.include(String(yield* TestConsole.logLines), "another node is named w1")
    }).pipe(Effect.provide(Broker))
  )

  it.effect(
    "one of the same name on another link is ready, with a warning, and gets requests when the first is gone",
    () =>
      Effect.gen(function* () {
        const transport = Layer.succeedContext(yield* Layer.build(MemoryTransport.layer))
        const elsewhere = Layer.fresh(Connection.layer).pipe(Layer.provide(transport))
        const ready: Array<string> = []
        const serve = (name: string) =>
          Mailbox.serve("w1", () => Effect.succeed(name), { onReady: Effect.sync(() => ready.push(name)) }).pipe(
            Effect.provide(elsewhere),
            Effect.forkScoped
          )
        const asked = Effect.gen(function* () {
          const replies = yield* Effect.forkChild(
            Stream.runCollect(Mailbox.broadcast({ method: "who", destination: ["w1"] }, { timeout: "1 second" }))
          )
          yield* settle
          return (yield* Fiber.join(replies)).map(({ reply }) => reply)
        }).pipe(Effect.provide(elsewhere))
        const first = yield* serve("first")
        yield* settle
        yield* serve("second")
        yield* settle
        assert.deepStrictEqual(yield* asked, ["first"])
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual(String(yield* TestConsole.logLines).split("another node is named w1").length, 2)
        yield* Fiber.interrupt(first)
        yield* TestClock.adjust("2 seconds")
        yield* settle
        assert.deepStrictEqual(yield* asked, ["second"])
        assert.deepStrictEqual(ready, ["first", "second"])
      })
  )

  test(
    "namespaces do not hear each other",
    Effect.gen(function* () {
      yield* Effect.forkScoped(Mailbox.serve("w1@alpha", pong, { namespace: "other" }))
      yield* settle
      assert.deepStrictEqual(yield* ask({ method: "ping" }), [])
      const replies = yield* Stream.runCollect(
        Mailbox.broadcast({ method: "ping" }, { timeout: "1 second", limit: 1, namespace: "other" })
      )
      assert.strictEqual(replies[0]?.node, "w1@alpha")
    })
  )
})

describe("what is answered", () => {
  const first = (command: Mailbox.Command) =>
    Effect.map(Stream.runCollect(Mailbox.broadcast(command, { timeout: "1 hour", limit: 1 })), ([one]) => one?.reply)

  test(
    "an unknown method is a KeyError, as in Python",
    Effect.gen(function* () {
      yield* serveAll
      assert.deepStrictEqual(yield* first({ method: "nonesuch", destination: ["w1@beta"] }), {
        error: "KeyError('nonesuch')"
      })
    })
  )

  test(
    "failures and defects are shown as Python shows an exception, nothing is null, and arguments arrive",
    Effect.gen(function* () {
      const handle = (method: string, args: Exchange.Arguments): Effect.Effect<unknown, unknown> => {
        switch (method) {
          case "fail":
            return Effect.fail("it's no good")
          case "throw":
            throw new RangeError("too far")
          case "function":
            return Effect.succeed({ run: () => 1, big: 2n ** 70n, self: Symbol("s") })
          case "args":
            return Effect.succeed(args)
          default:
            return Effect.void
        }
      }
      yield* Effect.forkScoped(Mailbox.serve("w1", handle))
      yield* settle
      assert.deepStrictEqual(yield* first({ method: "fail" }), { error: `Exception("it's no good")` })
      assert.deepStrictEqual(yield* first({ method: "throw" }), { error: "RangeError('too far')" })
      assert.match(JSON.stringify(yield* first({ method: "function" })), /error/)
      assert.deepStrictEqual(yield* first({ method: "args", arguments: { n: 1, s: ["ä"] } }), { n: 1, s: ["ä"] })
      assert.isNull(yield* first({ method: "nothing" }))
    })
  )

  test(
    "a handler may decline to answer, and a caller to be answered",
    Effect.gen(function* () {
      const called = yield* Queue.unbounded<string>()
      yield* Effect.forkScoped(Mailbox.serve("w1", (method) => Effect.as(Queue.offer(called, method), Mailbox.noReply)))
      yield* settle
      assert.deepStrictEqual(yield* ask({ method: "shutdown" }), [])
      yield* Mailbox.cast({ method: "heartbeat" })
      assert.deepStrictEqual(yield* Queue.takeN(called, 2), ["shutdown", "heartbeat"])
    })
  )

  test(
    "both sides keep their logical clocks going",
    Effect.gen(function* () {
      const lamport = (now: number): Mailbox.LogicalClock & { readonly now: () => number } => ({
        forward: Effect.sync(() => ++now),
        adjust: (other) => Effect.sync(() => (now = Math.max(now, other) + 1)),
        now: () => now
      })
      const node = lamport(100)
      const caller = lamport(7)
      yield* Effect.forkScoped(Mailbox.serve("w1", pong, { clock: node }))
      yield* settle
      yield* Stream.runDrain(Mailbox.broadcast({ method: "ping" }, { timeout: "1 second", limit: 1, clock: caller }))
      assert.deepStrictEqual([node.now(), caller.now()], [102, 103])
    })
  )
})

describe("what is on the wire", () => {
  test(
    "requests and replies are those of kombu",
    Effect.gen(function* () {
      yield* TestClock.setTime(1_000_000)
      const spy = pipe(HubQueue.temporary("spy"), HubQueue.bindTo(requestExchange))
      const requests = yield* Queue.unbounded<Message.Message>()
      yield* Effect.forkScoped(
        Stream.runForEach(Consumer.stream([spy], { noAck: true }), ({ message }) => Queue.offer(requests, message))
      )
      yield* settle
      yield* Effect.forkChild(
        Stream.runDrain(
          Mailbox.broadcast({ method: "revoke", arguments: { task_id: "a" } }, { timeout: "1500 millis" })
        )
      )
      const request = yield* Queue.take(requests)
      const body = yield* Effect.fromResult(MailboxMessage.decodeRequest(yield* Serializer.decode(request)))
      assert.deepStrictEqual(request.headers, { clock: 0, expires: 1001.5 })
      assert.strictEqual(request.properties.contentType, "application/json")
      assert.strictEqual(body.replyTo?.exchange, "reply.celery.pidbox")
      const oid = body.replyTo?.routingKey ?? ""
      // Declaring it with these very properties is no error, so it has them.
      const connection = yield* Connection
      const reply = {
        durable: false,
        exclusive: true,
        autoDelete: true,
        arguments: { "x-expires": 10000, "x-message-ttl": 300000 }
      }
      yield* connection.use((channel) =>
        Effect.all([
          channel.exchangeDeclare(Exchange.direct("reply.celery.pidbox", { durable: false })),
          channel.queueDeclare(HubQueue.make(`${oid}.reply.celery.pidbox`, reply))
        ])
      )
      yield* Effect.forkScoped(Mailbox.serve("w1@host", pong))
      yield* settle
      yield* connection.use((channel) => channel.queueDeclare(HubQueue.make("w1@host.celery.pidbox", reply)))
    })
  )

  test(
    "replies that are late, of another ticket, or no replies at all are dropped",
    Effect.gen(function* () {
      const connection = yield* Connection
      const heard = yield* Queue.unbounded<MailboxMessage.Request>()
      yield* TestClock.setTime(1_000_000)
      const spy = pipe(HubQueue.temporary("spy"), HubQueue.bindTo(requestExchange))
      yield* Effect.forkScoped(
        Stream.runForEach(Consumer.stream([spy], { noAck: true }), ({ message }) =>
          Effect.flatMap(Serializer.decode(message), (body) =>
            Effect.flatMap(Effect.fromResult(MailboxMessage.decodeRequest(body)), (request) =>
              Queue.offer(heard, request)
            )
          )
        )
      )
      yield* settle
      const asking = yield* Effect.forkChild(
        Stream.runCollect(Mailbox.broadcast({ method: "ping" }, { timeout: "1 second" }))
      )
      const { replyTo, ticket } = yield* Queue.take(heard)
      const answer = (body: unknown, headers: Exchange.Arguments) =>
        Effect.flatMap(Serializer.encode(body, { headers }), (message) => connection.publish(message, replyTo!))
      yield* answer({ late: 1 }, { ticket, clock: 1, expires: 999 })
      yield* answer({ other: 1 }, { ticket: "another", clock: 1 })
      yield* answer(["no reply"], { ticket, clock: 1 })
      yield* answer({ odd: 1 }, { ticket: 7, clock: "x" })
      yield* connection.publish(Message.make(new Uint8Array([0xff])), replyTo!)
      yield* answer({ good: 1 }, { ticket, clock: 1, expires: 1001 })
      yield* answer({ old: 2 }, { clock: 1 })
      yield* settle
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* Fiber.join(asking), [
        { node: "good", reply: 1 },
        { node: "old", reply: 2 }
      ])
    })
  )

  test(
    "requests that expired, that are for others, or that are none, do not disturb a node",
    Effect.gen(function* () {
      const called = yield* Queue.unbounded<string>()
      yield* TestClock.setTime(1_000_000)
      yield* Effect.forkScoped(Mailbox.serve("w1", (method) => Queue.offer(called, method)))
      yield* settle
      const connection = yield* Connection
      yield* send({ method: "expired", arguments: {} }, { expires: 999.9, clock: 1 })
      yield* send({ method: "others", arguments: {}, destination: ["w2"] })
      yield* send("text")
      yield* send({ method: 5 })
      yield* send({ method: "args", arguments: [] })
      yield* send({ method: "slow", pattern: "(a+)+$", matcher: "pcre" })
      yield* send({ method: "clock" }, { clock: "x" })
      yield* connection.publish(Message.make(new Uint8Array([1]), { contentType: "application/x-python-serialize" }), {
        exchange: "celery.pidbox",
        routingKey: ""
      })
      // An exchange that cannot be declared, and a value no queue takes: the answer is lost, the node is not.
      yield* send({ method: "reserved", reply_to: { exchange: "amq.nonsense", routing_key: "x" }, ticket: "t" })
      yield* send({ method: "nowhere", reply_to: { exchange: "", routing_key: "nowhere" }, ticket: "t" })
      yield* send({ method: "good", arguments: {} })
      assert.deepStrictEqual(yield* Queue.takeN(called, 3), ["reserved", "nowhere", "good"])
    })
  )
})

describe("when the link is lost", () => {
  it.effect("a request that cannot be sent in time fails", () =>
    Effect.gen(function* () {
      yield* cut
      const asking = yield* Effect.forkChild(
        Effect.flip(Stream.runCollect(Mailbox.broadcast({ method: "ping" }, { timeout: "1 second" })))
      )
      yield* settle
      yield* TestClock.adjust("1 second")
      const error = yield* Fiber.join(asking)
      assert.strictEqual(error.reason._tag, "ConnectionLost")
    }).pipe(Effect.provide(Connection.layer.pipe(Layer.provideMerge(OneLinkOnly))))
  )

  test(
    "nodes serve on the next one",
    Effect.gen(function* () {
      yield* serveAll
      yield* cut
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(yield* ask({ method: "ping" }), nodes.toSorted())
    })
  )

  test(
    "a command that is being executed goes on, once, and its caller hears the answer",
    Effect.gen(function* () {
      const begun = yield* Queue.unbounded<number>()
      const goOn = yield* Deferred.make<void>()
      yield* Effect.forkScoped(
        Mailbox.serve("w1", () =>
          Effect.andThen(
            Effect.flatMap(Clock.currentTimeMillis, (now) => Queue.offer(begun, now)),
            Effect.as(Deferred.await(goOn), "grown")
          )
        )
      )
      yield* settle
      const asking = yield* Effect.forkChild(
        Stream.runCollect(Mailbox.broadcast({ method: "pool_grow" }, { timeout: "1 minute", limit: 1 }))
      )
      yield* Queue.take(begun)
      yield* cut
      yield* TestClock.adjust("10 seconds")
      yield* Deferred.succeed(goOn, undefined)
      assert.deepStrictEqual(yield* Fiber.join(asking), [{ node: "w1", reply: "grown" }])
      assert.strictEqual(yield* Queue.size(begun), 0)
    })
  )
})
