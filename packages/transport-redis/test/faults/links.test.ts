/** Links that are cut, that lead into nothing, and servers that do not answer (RELIABILITY D10, D15). */
import { Connection } from "@apium/hub/Connection"
import * as Consumer from "@apium/hub/Consumer"
import * as Exchange from "@apium/hub/Exchange"
import * as Message from "@apium/hub/Message"
import * as Queue from "@apium/hub/Queue"
import * as Redis from "@apium/transport-redis/node"
import * as RedisUri from "@apium/transport-redis/RedisUri"
import { assert, layer } from "@effect/vitest"
import { Effect, Exit, Fiber, pipe, Scope, Stream } from "effect"
import * as FaultProxy from "../../../../test/support/FaultProxy.ts"
import * as Figures from "../../../../test/support/Figures.ts"
import { Redis as Server, RedisServer } from "../../../../test/support/Redis.ts"
import * as stores from "../support/stores.ts"
import * as traffic from "../support/traffic.ts"

/** Two seconds is the bar, and 1.5 s of it the longest pause before an attempt. */
const atOnce = (took: ReadonlyArray<number>): void => Figures.keepTo(2000, took)

layer(stores.connected(Server.layer()), { excludeTestServices: true })("a link", (it) => {
  it.effect("that is killed again and again loses nothing, and consumes again at once", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const { end, more, refused } = yield* traffic.begin("kills")
      const took: Array<number> = []
      for (let kill = 0; kill < Figures.times(5, 7, 50); kill++) {
        yield* more
        yield* server.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        took.push(yield* Figures.timed(more))
      }
      const { dup, lost, n } = yield* end
      yield* Figures.print(
        `D15 kills=${took.length} lost=${lost.length} dup=${dup} n=${n} refused=${refused.length} again p50/p95/max=${Figures.spread(took)}ms`
      )
      assert.deepStrictEqual([lost, refused], [[], []])
      // Of each kill: what was handled and its acknowledgement cut off, and what each publisher sends again.
      assert.isAtMost(dup, took.length * (20 + 2))
      atOnce(took)
    })
  )

  it.effect("whose subscriber is killed again and again hears again at once", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const connection = yield* Connection
      const news = Exchange.fanout("news")
      const reader = pipe(Queue.make("reader"), Queue.bindTo(news))
      let heard = 0
      yield* Effect.forkScoped(
        Stream.runForEach(Consumer.stream([reader]), ({ ack }) =>
          Effect.andThen(
            Effect.sync(() => void heard++),
            ack
          )
        )
      )
      const publish = connection.publish(
        Message.make(new Uint8Array(1)),
        { exchange: news.name, routingKey: "" },
        { queues: [reader] }
      )
      // Nobody keeps what is published while it is away.
      const more = Effect.suspend(() => {
        const before = heard
        return stores.until(
          Effect.andThen(
            publish,
            Effect.andThen(
              Effect.sleep("5 millis"),
              Effect.sync(() => heard > before)
            )
          )
        )
      })
      yield* more
      const took: Array<number> = []
      for (let kill = 0; kill < Figures.times(5, 7, 50); kill++) {
        yield* server.command("CLIENT", "KILL", "TYPE", "pubsub")
        took.push(yield* Figures.timed(more))
      }
      yield* Figures.print(`D15 subscriber kills=${took.length} heard again p50/p95/max=${Figures.spread(took)}ms`)
      atOnce(took)
    })
  )

  it.effect(
    "to a Redis that answers nobody for seconds, or is kept busy by a script, goes on two seconds later at the latest",
    () =>
      Effect.gen(function* () {
        const server = yield* Server
        const { end, more, refused } = yield* traffic.begin("busy")
        yield* more
        const pause = Figures.times(3000, 3000, 5000)
        yield* server.command("CLIENT", "PAUSE", pause)
        yield* Effect.sleep(pause)
        const paused = yield* Figures.timed(more)
        yield* server.command("CONFIG", "SET", "busy-reply-threshold", 100)
        const script = yield* Effect.forkChild(Effect.exit(server.command("EVAL", "while true do end", 0)))
        yield* stores.until(Effect.map(Effect.exit(server.command("PING")), Exit.isFailure))
        yield* Effect.sleep("1 second")
        yield* server.command("SCRIPT", "KILL")
        const busy = yield* Figures.timed(more)
        yield* Fiber.join(script)
        const { dup, lost, n } = yield* end
        yield* Figures.print(
          `D15 lost=${lost.length} dup=${dup} n=${n} refused=${refused.length} again ${Math.round(paused)} ms after CLIENT PAUSE ${pause}, ${Math.round(busy)} ms after BUSY`
        )
        assert.deepStrictEqual([lost, refused], [[], []])
        assert.isBelow(Math.max(paused, busy), 2000 + Figures.slack)
      })
  )
})

const idle = stores.connected(Server.layer({ config: ["--timeout", "1"] }))

layer(idle, { excludeTestServices: true })("a Redis that hangs up after a second", (it) => {
  it.effect("loses nothing of who consumes, and nobody is away for longer than two seconds", () =>
    Effect.gen(function* () {
      const took: Array<number> = []
      for (let turn = 0; turn < Figures.times(2, 3, 10); turn++) {
        if (turn > 0) yield* Effect.sleep("3 seconds")
        const { end, more, refused } = yield* traffic.begin(`idle${turn}`)
        took.push(yield* Figures.timed(more))
        const { lost } = yield* end
        assert.deepStrictEqual([lost, refused], [[], []])
      }
      yield* Figures.print(
        `D15 timeout=1 pauses=${took.length - 1} of 3 s, lost=0, again p50/p95/max=${Figures.spread(took)}ms`
      )
      Figures.keepTo(2000, took)
    })
  )
})

// Half a millisecond for each command of its log: two seconds.
const slow = stores.connected(Server.layer({ appendfsync: "always", config: ["--key-load-delay", "500"] }))

layer(slow, { excludeTestServices: true })("a Redis that loads", (it) => {
  it.effect("is waited for, and used within two seconds", () =>
    Effect.gen(function* () {
      const [server, { kill, start }] = [yield* Server, yield* RedisServer]
      yield* server.command("EVAL", "for n = 1, 4000 do redis.call('SET', 'key' .. n, n) end", 0)
      const { end, more, refused } = yield* traffic.begin("loading")
      yield* more
      yield* kill
      const loading = yield* Figures.timed(start)
      const took = yield* Figures.timed(more)
      const { dup, lost, n } = yield* end
      yield* Figures.print(
        `D15 lost=${lost.length} dup=${dup} n=${n} refused=${refused.length} again ${Math.round(took)} ms after ${Math.round(loading)} ms of LOADING`
      )
      assert.deepStrictEqual([lost, refused], [[], []])
      assert.isAbove(loading, 1500)
      assert.isBelow(took, 2000 + Figures.slack)
    })
  )
})

layer(Server.layer(), { excludeTestServices: true })("a link into nothing", (it) => {
  it.effect("is lost within three seconds, whoever waits for a message is told, and it closes", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const proxy = yield* FaultProxy.make({ port: server.node.port })
      const scope = yield* Scope.make()
      const { closed, store } = yield* Scope.provide(stores.open(server.url(proxy.port)), scope)
      const waiting = yield* Effect.forkChild(Effect.flip(store.ready(["nothing"])))
      yield* stores.until(Effect.sync(() => proxy.links().length > 0))
      yield* proxy.blackHole
      const began = performance.now()
      assert.strictEqual((yield* Fiber.join(waiting)).reason._tag, "ConnectionLost")
      assert.strictEqual((yield* Effect.flip(closed)).reason._tag, "ConnectionLost")
      const took = performance.now() - began
      // Nothing waits for an answer that does not come.
      assert.strictEqual((yield* Effect.flip(store.take(["nothing"], 1))).reason._tag, "ConnectionLost")
      yield* Scope.close(scope, Exit.void)
      yield* Figures.print(
        `D10 commands: lost after ${Math.round(took)} ms, closed after ${Math.round(performance.now() - began)} ms`
      )
      assert.isBelow(took, 3500 + Figures.slack)
      assert.isBelow(performance.now() - began, 5000 + Figures.slack)
    })
  )

  it.effect("is lost within three seconds for who only listens, and for all who share the subscriber", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const proxy = yield* FaultProxy.make({ port: server.node.port })
      const open = Redis.open(RedisUri.parseUnsafe(server.url(proxy.port)))
      const links = yield* Effect.all([open, open])
      for (const [index, link] of links.entries()) {
        yield* link.listen(`news${index}*`, () => {})
        yield* link.subscribe([`channel${index}`], () => {})
      }
      // One for commands each, and one to listen.
      assert.strictEqual(proxy.links().length, 3)
      const other = yield* Redis.open(RedisUri.parseUnsafe(server.url(proxy.port)))
      const quiet = yield* Effect.forkChild(Effect.exit(other.lost))
      yield* proxy.blackHole
      const began = performance.now()
      for (const { lost } of links) {
        const { message, reason } = yield* Effect.flip(lost)
        assert.strictEqual(reason._tag, "ConnectionLost")
        assert.include(message, "no answer within 2000 ms")
      }
      const took = performance.now() - began
      yield* Figures.print(`D10 subscriber: lost after ${Math.round(took)} ms`)
      assert.isBelow(took, 3500 + Figures.slack)
      assert.isUndefined(quiet.pollUnsafe())
      const asking = Effect.scoped(links[0].listen("late*", () => {}))
      assert.strictEqual((yield* Effect.flip(asking))._tag, "RedisError")
    })
  )
})
