/** What is not due waits in Redis, and goes back to its list in time: one store, several, and none. */
import * as Exchange from "@apium/hub/Exchange"
import type { VirtualStore } from "@apium/hub/virtual/VirtualStore"
import { assert, layer } from "@effect/vitest"
import { Clock, Effect, Exit, Scope } from "effect"
import { print, slack, spread } from "../../../test/support/Figures.ts"
import { Redis as Server } from "../../../test/support/Redis.ts"
import * as stores from "./support/stores.ts"

const hour = 3_600_000

/** Takes all there is, and postpones it. */
const postpone = (store: VirtualStore, queue: string, notBefore: number) =>
  Effect.gen(function* () {
    const taken = yield* store.take([queue], 256)
    yield* Effect.forEach(taken, ({ tag }) => store.postpone!([tag], notBefore), { concurrency: "unbounded" })
    return taken
  })

/** As if an hour had passed. */
const dueNow = (queue: string) =>
  Effect.flatMap(Server, ({ command }) =>
    command(
      "EVAL",
      `local all = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
for i = 1, #all, 2 do redis.call('ZADD', KEYS[1], tonumber(all[i + 1]) - ${hour}, all[i]) end
return redis.call('ZADD', KEYS[2], 0, ARGV[1])`,
      2,
      `${queue}.delayed`,
      "apium.delayed",
      queue
    )
  )

/** Everything of the queue, acknowledged, until so many were there: with the time at which each came. */
const drain = (store: VirtualStore, queue: string, count: number) =>
  Effect.gen(function* () {
    const all: Array<{ readonly text: string; readonly at: number; readonly priority: number | undefined }> = []
    while (all.length < count) {
      const taken = yield* store.take([queue], 100)
      if (taken.length === 0) yield* store.ready([queue])
      const at = yield* Clock.currentTimeMillis
      yield* store.settle(taken.map(({ tag }) => tag))
      for (const one of taken) {
        assert.deepStrictEqual([one.redelivered, one.deliveryCount], [false, 0])
        all.push({ text: stores.text(one), at, priority: one.message.properties.priority })
      }
    }
    return all
  })

layer(Server.layer(), { excludeTestServices: true })("what is postponed", (it) => {
  it.effect("waits beside its queue to the byte, and comes back as it was, though it was there twice", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const queue = "bytes"
      const { store } = yield* stores.open(server.url())
      const raw = `{"body": "", "n": 9007199254740993, "properties": {"priority": 7, "body_encoding": "base64", "delivery_tag": "t", "of": []}, "é": "\\u00e9"}`
      for (let copy = 0; copy < 2; copy++) yield* server.command("LPUSH", `${queue}\x06\x166`, raw)
      const now = yield* Clock.currentTimeMillis
      yield* postpone(store, queue, now + hour)
      const members = (yield* server.command("ZRANGE", `${queue}.delayed`, 0, -1)) as ReadonlyArray<string>
      assert.deepStrictEqual(
        members.map((member) => member.replace(/^6:\d{12}:/, "")),
        [raw, raw]
      )
      const score = yield* server.command("ZSCORE", `${queue}.delayed`, members[0]!)
      assert.strictEqual(Number(score), now + hour)
      assert.deepStrictEqual(yield* server.command("ZSCORE", "apium.delayed", queue), score)
      assert.deepStrictEqual(
        [yield* server.command("HLEN", "unacked"), yield* server.command("ZCARD", "unacked_index")],
        [0, 0]
      )
      assert.strictEqual(yield* store.size(queue), 0)
      yield* dueNow(queue)
      yield* stores.until(Effect.map(server.command("LLEN", `${queue}\x06\x166`), (length) => length === 2))
      assert.deepStrictEqual(yield* server.command("LRANGE", `${queue}\x06\x166`, 0, -1), [raw, raw])
      assert.deepStrictEqual(
        [yield* server.command("EXISTS", `${queue}.delayed`), yield* server.command("ZSCORE", "apium.delayed", queue)],
        [0, null]
      )
    })
  )

  it.effect("comes in the order in which it is due, by priority, and what is due together as it was sent", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const queue = "order"
      const { store } = yield* stores.open(server.url())
      const now = yield* Clock.currentTimeMillis
      const texts = ["5", "3", "4", "1", "2"]
      for (const text of texts) {
        yield* store.put(queue, [stores.put(text, queue, 0), stores.put(`${text}-together`, queue, 9)])
        for (const { message, tag } of yield* store.take([queue], 2)) {
          const own = message.properties.priority === 0 ? Number(text) : 3
          yield* store.postpone!([tag], now + hour + own)
        }
      }
      // As if the hour had passed, for all of them in one moment.
      yield* dueNow(queue)
      yield* stores.until(Effect.map(store.size(queue), (size) => size === 10))
      const all = yield* drain(store, queue, 10)
      assert.deepStrictEqual(
        all.map(({ text }) => text),
        ["1", "2", "3", "4", "5", ...texts.map((text) => `${text}-together`)]
      )
    })
  )

  it.effect(
    "is moved half a second before it is due by whichever of three consumers, each once, a thousand at a time",
    () =>
      Effect.gen(function* () {
        const server = yield* Server
        const queue = "thousand"
        const count = 1000
        const all = yield* Effect.all([stores.open(server.url()), stores.open(server.url()), stores.open(server.url())])
        for (let n = 0; n < count; n++) yield* all[0].store.put(queue, [stores.put(String(n), queue)])
        const due = (yield* Clock.currentTimeMillis) + 5000
        for (let parked = 0; parked < count;) parked += (yield* postpone(all[parked % 3]!.store, queue, due)).length
        const received: Array<{ readonly text: string; readonly at: number }> = []
        yield* Effect.forEach(
          all,
          ({ store }) =>
            Effect.whileLoop({
              while: () => received.length < count,
              body: () =>
                Effect.gen(function* () {
                  const taken = yield* store.take([queue], 50)
                  if (taken.length === 0) yield* Effect.raceFirst(store.ready([queue]), Effect.sleep("100 millis"))
                  const at = yield* Clock.currentTimeMillis
                  for (const one of taken) received.push({ text: stores.text(one), at })
                  yield* store.settle(taken.map(({ tag }) => tag))
                }),
              step: () => {}
            }),
          { concurrency: "unbounded" }
        )
        const ahead = received.map(({ at }) => due - at)
        yield* print(`moved n=${count} by 3 consumers, ms before they are due p50/p95/max=${spread(ahead)}`)
        assert.strictEqual(received.length, count)
        assert.strictEqual(new Set(received.map(({ text }) => text)).size, count)
        // By two clocks' milliseconds.
        assert.isAtMost(Math.max(...ahead), 501)
      })
  )

  it.effect("by one who dies then is moved in time by another, who was there and heard nothing of it", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const queue = "inherited"
      const { store } = yield* stores.open(server.url())
      const waiting = yield* Effect.forkChild(drain(store, queue, 1))
      const due = yield* Effect.scoped(
        Effect.gen(function* () {
          const dying = yield* stores.open(server.url())
          yield* dying.store.put("elsewhere", [stores.put("m", "elsewhere")])
          const due = (yield* Clock.currentTimeMillis) + 1500
          yield* postpone(dying.store, "elsewhere", due)
          yield* dying.link.cut
          return due
        })
      )
      const elsewhere = yield* drain(store, "elsewhere", 1)
      const ahead = due - elsewhere[0]!.at
      assert.isAtMost(ahead, 501)
      // No look for what is overdue, a third of a lease apart, has found it.
      assert.isAtLeast(ahead, -8000)
      waiting.interruptUnsafe()
      // As if the lease of the dead one were over: he is nobody's fellow consumer below.
      yield* server.command("DEL", "apium.consumers")
    })
  )

  it.effect("is given back behind what waits there when the last consumer stops, and not while there is another", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const queue = "stopping"
      const count = 10_000
      // Who only sends, and gets one now and then, is no consumer.
      const client = yield* stores.open(server.url())
      const consumer = Effect.gen(function* () {
        const scope = yield* Scope.make()
        const { store } = yield* Scope.provide(stores.open(server.url()), scope)
        yield* Effect.raceFirst(store.ready([queue]), Effect.sleep("50 millis"))
        return { store, stop: Scope.close(scope, Exit.void) }
      })
      const [first, second] = [yield* consumer, yield* consumer]
      const due = (yield* Clock.currentTimeMillis) + hour
      for (let n = 0; n < count; n += 100) {
        yield* client.store.put(
          queue,
          Array.from({ length: 100 }, (_, index) => stores.put(String(n + index), queue, (n + index) % 10))
        )
        yield* postpone(first.store, queue, due + n)
      }
      yield* client.store.put(queue, [stores.put("waits", queue)])
      yield* first.stop
      assert.deepStrictEqual(
        [yield* client.store.size(queue), yield* server.command("ZCARD", `${queue}.delayed`)],
        [1, count]
      )
      const began = performance.now()
      yield* second.stop
      const took = Math.round(performance.now() - began)
      yield* print(`A10 parked=${count} back=${(yield* client.store.size(queue)) - 1} took=${took}ms`)
      assert.deepStrictEqual(
        [
          yield* client.store.size(queue),
          yield* server.command("EXISTS", `${queue}.delayed`),
          yield* server.command("ZCARD", "apium.delayed")
        ],
        [count + 1, 0, 0]
      )
      assert.isBelow(took, 5000 + slack)
      const [waited] = yield* client.store.take([queue], 1)
      assert.strictEqual(stores.text(waited!), "waits")
      yield* client.store.settle([waited!.tag])
      const all = yield* drain(client.store, queue, count)
      assert.strictEqual(new Set(all.map(({ text }) => text)).size, count)
      // Those of one list in the order in which they are due.
      const highest = all.filter(({ priority }) => priority! < 3).map(({ text }) => Number(text))
      assert.deepStrictEqual(
        highest,
        highest.toSorted((one, other) => one - other)
      )
    })
  )

  it.effect("with no memory left waits, goes back and is moved as ever", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const queue = "full"
      const scope = yield* Scope.make()
      const { store } = yield* Scope.provide(stores.open(server.url()), scope)
      for (let n = 0; n < 40; n++) yield* store.put(queue, [stores.put(String(n), queue)])
      yield* Effect.gen(function* () {
        yield* server.command("CONFIG", "SET", "maxmemory", "1")
        const now = yield* Clock.currentTimeMillis
        const taken = yield* store.take([queue], 20)
        yield* Effect.forEach(taken, ({ tag }) => store.postpone!([tag], now + 4000), { concurrency: "unbounded" })
        assert.deepStrictEqual([taken.length, yield* server.command("ZCARD", `${queue}.delayed`)], [20, 20])
        yield* stores.until(Effect.map(store.size(queue), (size) => size === 40))
        yield* postpone(store, queue, now + hour)
        assert.strictEqual(yield* server.command("ZCARD", `${queue}.delayed`), 40)
        yield* Scope.close(scope, Exit.void)
        assert.strictEqual(yield* server.command("LLEN", queue), 40)
      }).pipe(Effect.ensuring(Effect.orDie(server.command("CONFIG", "SET", "maxmemory", "0"))))
      yield* server.command("DEL", queue)
    })
  )

  it.effect("where Redis refuses it is held as before, and nothing of its batch is anywhere else", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const { store } = yield* stores.open(server.url())
      yield* server.command("SET", "refused.delayed", "somebody's own")
      const later = (yield* Clock.currentTimeMillis) + hour
      for (const queue of ["allowed", "refused"]) yield* store.put(queue, [stores.put(queue, queue)])
      const taken = yield* store.take(["allowed", "refused"], 2)
      const exits = yield* Effect.forEach(taken, ({ tag }) => Effect.exit(store.postpone!([tag], later)), {
        concurrency: "unbounded"
      })
      assert.deepStrictEqual(exits.map(Exit.isFailure), [true, true])
      assert.strictEqual(yield* server.command("HLEN", "unacked"), 2)
      assert.strictEqual(yield* server.command("EXISTS", "allowed.delayed"), 0)
      yield* store.restore(
        taken.map(({ tag }) => tag),
        { side: "near" }
      )
      assert.deepStrictEqual([yield* store.size("allowed"), yield* store.size("refused")], [1, 1])
      for (const queue of ["allowed", "refused"]) yield* store.purge(queue).pipe(Effect.ignore)
    })
  )

  it.effect("that came by publish and subscribe is in no queue: it is refused, and held as before", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const queue = "listener"
      const { store } = yield* stores.open(server.url())
      const exchange = Exchange.fanout("news")
      yield* store.bindings.add(exchange, { queue, routingKey: "", arguments: {} })
      yield* store.take([queue], 1)
      yield* store.broadcast!({ ...stores.put("heard", ""), exchange: exchange.name })
      yield* store.ready([queue])
      const [taken] = yield* store.take([queue], 1)
      const { reason } = yield* Effect.flip(store.postpone!([taken!.tag], (yield* Clock.currentTimeMillis) + hour))
      assert.strictEqual(reason._tag, "DelayRefused")
      yield* store.restore([taken!.tag], { side: "near", counted: false })
      assert.deepStrictEqual((yield* store.take([queue], 1)).map(stores.text), ["heard"])
      yield* store.remove(queue)
    })
  )

  it.effect("after somebody else had it back is his, and is not parked beside it", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const queue = "restored"
      const { store } = yield* stores.open(server.url())
      yield* store.put(queue, [stores.put("m", queue)])
      const [taken] = yield* store.take([queue], 1)
      yield* server.command("ZREM", "unacked_index", taken!.tag)
      yield* store.postpone!([taken!.tag], (yield* Clock.currentTimeMillis) + hour)
      assert.deepStrictEqual(
        [yield* server.command("EXISTS", `${queue}.delayed`), yield* server.command("HLEN", "unacked")],
        [0, 0]
      )
    })
  )
})
