/** Links that are cut, servers that refuse, scripts that are gone (RELIABILITY D3, D5, D9, D10, D11, D13, D15). */
import { Connection } from "@apium/hub/Connection"
import * as Consumer from "@apium/hub/Consumer"
import * as Message from "@apium/hub/Message"
import * as Queue from "@apium/hub/Queue"
import * as Redis from "@apium/transport-redis/node"
import { assert, layer } from "@effect/vitest"
import { Effect, Exit, Fiber, Scope, Stream } from "effect"
import * as FaultProxy from "../../../../test/support/FaultProxy.ts"
import * as Ledger from "../../../../test/support/Ledger.ts"
import { Redis as Server } from "../../../../test/support/Redis.ts"
import { times } from "../../../../test/support/Times.ts"
import * as stores from "../support/stores.ts"

const print = (line: string) => Effect.sync(() => console.log(line))
const numbered = (count: number) => Array.from({ length: count }, (_, index) => String(index))
const message = (text: string) => Message.make(new TextEncoder().encode(text))

layer(Server.layer(), { excludeTestServices: true, timeout: "30 seconds" })("a link", (it) => {
  it.effect(
    "that is killed again and again loses nothing, and consumes again at once",
    () =>
      Effect.gen(function* () {
        const server = yield* Server
        const kills = times(10, 50)
        const queue = Queue.make("kills")
        const ledger = Ledger.make()
        let [n, refused, stop] = [0, 0, false]
        const took: Array<number> = []
        yield* Effect.gen(function* () {
          const connection = yield* Connection
          const consuming = yield* Effect.forkChild(
            Stream.runForEach(Consumer.stream([queue], { prefetch: 20 }), (delivery) =>
              Effect.andThen(
                Effect.sync(() => ledger.finished(new TextDecoder().decode(delivery.message.body))),
                delivery.ack
              )
            )
          )
          const producing = yield* Effect.forkChild(
            Effect.whileLoop({
              while: () => !stop,
              body: () => {
                const task = String(n++)
                const route = { exchange: "", routingKey: queue.name }
                return connection.publish(message(task), route, { queues: [queue] }).pipe(
                  Effect.tap(() => Effect.sync(() => ledger.accepted(task))),
                  Effect.catchTag("HubError", () => Effect.sync(() => void refused++)),
                  Effect.andThen(Effect.sleep("1 millis"))
                )
              },
              step: () => {}
            })
          )
          const more = () => {
            const before = ledger.report().finished
            return stores.until(Effect.sync(() => ledger.report().finished > before))
          }
          for (let kill = 0; kill < kills; kill++) {
            yield* more()
            const began = performance.now()
            yield* server.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            yield* more()
            took.push(performance.now() - began)
          }
          stop = true
          yield* Fiber.join(producing)
          yield* stores
            .until(Effect.sync(() => ledger.report().lost.length === 0))
            .pipe(Effect.timeoutOption("10 seconds"))
          yield* Fiber.interrupt(consuming)
        }).pipe(Effect.provide(Redis.layer(server.url())))
        took.sort((one, other) => one - other)
        const at = (share: number) => Math.round(took[Math.min(took.length - 1, Math.floor(took.length * share))]!)
        const { dup, line, lost } = ledger.report()
        yield* print(`D15 kills=${kills} ${line} refused=${refused} again p50/max=${at(0.5)}/${at(1)}ms`)
        assert.deepStrictEqual([lost.length, refused], [0, 0])
        assert.isBelow(dup, kills * 40)
        assert.isBelow(at(1), 5000)
      }),
    60_000
  )

  it.effect("does what it did after SCRIPT FLUSH", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const { store } = yield* stores.open(server.url())
      const queue = "flushed"
      for (let round = 0; round < 3; round++) {
        yield* store.put(queue, [stores.put("1", queue), stores.put("2", queue)])
        const [first, second] = yield* store.take([queue], 2)
        yield* server.command("SCRIPT", "FLUSH")
        yield* store.settle([first!.tag])
        yield* server.command("SCRIPT", "FLUSH")
        yield* store.restore([second!.tag], { side: "near" })
        yield* server.command("SCRIPT", "FLUSH")
        const [again] = yield* store.take([queue], 2)
        assert.strictEqual(stores.text(again!), "2")
        yield* store.settle([again!.tag])
        assert.strictEqual(yield* store.size(queue), 0)
      }
    })
  )

  it.effect("to a Redis without memory refuses what is new, and lets what is there be taken, held and given back", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const { store, sweep } = yield* stores.open(server.url(), { visibilityTimeout: "300 millis" })
      const queue = "full"
      yield* store.put(
        queue,
        numbered(50).map((text) => stores.put(text, queue))
      )
      yield* Effect.gen(function* () {
        yield* server.command("CONFIG", "SET", "maxmemory", "1")
        const { reason } = yield* Effect.flip(store.put(queue, [stores.put("more", queue)]))
        assert.strictEqual(reason._tag, "OutOfMemory")
        const taken = yield* store.take([queue], 10)
        yield* store.settle(taken.slice(0, 5).map(({ tag }) => tag))
        yield* Effect.sleep("700 millis")
        assert.strictEqual(yield* sweep, 0)
        yield* store.restore(
          taken.slice(5).map(({ tag }) => tag),
          { side: "near" }
        )
        assert.strictEqual(yield* store.size(queue), 45)
        const all = yield* store.take([queue], 100)
        assert.deepStrictEqual(all.map(stores.text), numbered(50).slice(5))
        yield* store.settle(all.map(({ tag }) => tag))
      }).pipe(Effect.ensuring(Effect.orDie(server.command("CONFIG", "SET", "maxmemory", "0"))))
      assert.strictEqual(yield* server.command("HLEN", "unacked"), 0)
    })
  )

  it.effect(
    "into nothing, while it waits, is lost within seconds, whoever waits is told, and it closes",
    () =>
      Effect.gen(function* () {
        const server = yield* Server
        const proxy = yield* FaultProxy.make({ port: server.node.port })
        const scope = yield* Scope.make()
        const { closed, store } = yield* Scope.provide(stores.open(server.url(proxy.port)), scope)
        const waiting = yield* Effect.forkChild(Effect.flip(store.ready(["nothing"])))
        yield* stores.until(Effect.sync(() => proxy.links().length === 2))
        yield* proxy.blackHole
        const began = performance.now()
        assert.strictEqual((yield* Fiber.join(waiting)).reason._tag, "ConnectionLost")
        assert.strictEqual((yield* Effect.flip(closed)).reason._tag, "ConnectionLost")
        // Nothing waits for an answer that does not come.
        assert.strictEqual((yield* Effect.flip(store.take(["nothing"], 1))).reason._tag, "ConnectionLost")
        yield* Scope.close(scope, Exit.void)
        assert.isBelow(performance.now() - began, 5000)
      }),
    20_000
  )

  it.effect("closes while somebody waits, 100 times, and no message goes with it", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const { store } = yield* stores.open(server.url())
      const queue = "closing"
      for (let round = 0; round < 100; round++) {
        const scope = yield* Scope.make()
        const leaving = yield* Scope.provide(stores.open(server.url()), scope)
        const waiting = yield* Effect.forkChild(Effect.exit(leaving.store.ready([queue])))
        if (round % 2 === 0) yield* Effect.yieldNow
        else yield* Effect.sleep("3 millis")
        yield* Effect.all([store.put(queue, [stores.put(String(round), queue)]), Scope.close(scope, Exit.void)], {
          concurrency: 2
        })
        yield* Fiber.interrupt(waiting)
      }
      const all = yield* store.take([queue], 200)
      assert.deepStrictEqual(all.map(stores.text), numbered(100))
      yield* store.settle(all.map(({ tag }) => tag))
    })
  )

  it.effect("of five that look for what is overdue gives back each message once, in its priority", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const queue = "overdue"
      const count = 1000
      yield* Effect.scoped(
        Effect.gen(function* () {
          const { link, store } = yield* stores.open(server.url(), { lease: "1 second" })
          yield* store.put(
            queue,
            numbered(count).map((text) => stores.put(text, queue, Number(text) % 10))
          )
          assert.lengthOf(yield* store.take([queue], count), count)
          yield* link.cut
        })
      )
      const sweepers = yield* Effect.all(Array.from({ length: 5 }, () => stores.open(server.url())))
      const backs = yield* Effect.all(
        sweepers.map(({ sweep }) => {
          let own = 0
          return Effect.whileLoop({
            while: () => own >= 0,
            body: () =>
              Effect.gen(function* () {
                own += yield* sweep
                if ((yield* server.command("ZCARD", "unacked_index")) === 0) own = -1 - own
                else yield* Effect.sleep("20 millis")
              }),
            step: () => {}
          }).pipe(Effect.map(() => -1 - own))
        }),
        { concurrency: "unbounded" }
      )
      const { store } = sweepers[0]!
      const sizes = yield* Effect.all(
        ["", "\x06\x163", "\x06\x166", "\x06\x169"].map((step) => server.command("LLEN", queue + step))
      )
      yield* print(`D11 sweepers=5 n=${count} given back by each=${backs.join("/")}, lists=${sizes.join("/")}`)
      assert.deepStrictEqual(sizes, [300, 300, 300, 100])
      const all = yield* store.take([queue], 2000)
      assert.strictEqual(new Set(all.map(stores.text)).size, count)
      assert.isTrue(all.every(({ deliveryCount, redelivered }) => redelivered && deliveryCount === 1))
      yield* store.settle(all.map(({ tag }) => tag))
    })
  )

  it.effect("puts aside what it cannot read, with the reason and to the byte, and goes on behind it", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const { store } = yield* stores.open(server.url())
      const queue = "poison"
      const deep = "[".repeat(1200) + "]".repeat(1200)
      const poison = [
        "not json",
        "7",
        "{}",
        '{"properties": []}',
        deep,
        '{"body": "%%%", "properties": {"delivery_tag": "t", "body_encoding": "base64"}}',
        '{"body": "", "properties": {"delivery_tag": "t", "body_encoding": "rot13"}}',
        '{"body": "", "n": 9007199254740993, "properties": {"body_encoding": "base64", "of": []}}'
      ]
      for (const [index, item] of poison.entries()) {
        yield* server.command("LPUSH", queue, item)
        yield* store.put(queue, [stores.put(String(index), queue)])
      }
      const received: Array<string> = []
      yield* stores.until(
        Effect.gen(function* () {
          const taken = yield* store.take([queue], 3)
          received.push(...taken.map(stores.text))
          yield* store.settle(taken.map(({ tag }) => tag))
          return received.length >= poison.length
        })
      )
      assert.deepStrictEqual(received, numbered(poison.length))
      const aside = (yield* server.command("LRANGE", `${queue}.unreadable`, 0, -1)) as ReadonlyArray<string>
      const parts = aside.map((text) => [text.slice(0, text.indexOf("\n")), text.slice(text.indexOf("\n") + 1)])
      assert.sameMembers(
        parts.map(([, item]) => item!),
        poison
      )
      for (const [reason] of parts) assert.match(reason!, /^(not |properties|body )/)
      assert.strictEqual(yield* server.command("HLEN", "unacked"), 0)
    })
  )
})
