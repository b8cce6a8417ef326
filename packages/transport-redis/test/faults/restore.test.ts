/** What dead owners held (RELIABILITY D2, D11): it comes back once, whole, to its place. */
import * as Redis from "@apium/transport-redis/node"
import * as RedisStore from "@apium/transport-redis/RedisStore"
import * as RedisUri from "@apium/transport-redis/RedisUri"
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { seen } from "../../../../test/support/FaultPipe.ts"
import * as FaultProxy from "../../../../test/support/FaultProxy.ts"
import { print, spread, until } from "../../../../test/support/Figures.ts"
import { Redis as Server } from "../../../../test/support/Redis.ts"
import { times } from "../../../../test/support/Times.ts"
import * as stores from "../support/stores.ts"

const numbered = (count: number) => Array.from({ length: count }, (_, index) => String(index))

/** In the answer to a claim, which gives messages: Redis has done it then. In that to a sweep they stand within a list. */
const claimed = new TextEncoder().encode('\r\n{"body"')

/** Kombu's three steps beyond the first, and the queue itself. */
const lists = (queue: string) => ["", "\x06\x163", "\x06\x166", "\x06\x169"].map((step) => queue + step)

/** Waits until it is so: who settles does not wait for Redis. */
const nothingHeld = Effect.flatMap(Server, (server) =>
  until(
    Effect.map(
      Effect.all([server.command("HLEN", "unacked"), server.command("ZCARD", "unacked_index")]),
      ([held, index]) => held === 0 && index === 0
    )
  )
)

layer(Server.layer(), { excludeTestServices: true })("what a dead owner held", (it) => {
  it.effect(
    "is given back once by five that look for it, before what came later, in its priority, and says so in both places",
    () =>
      Effect.gen(function* () {
        const server = yield* Server
        const rounds = times(1, 4, 50)
        const count = 1000
        const took: Array<number> = []
        const shares: Array<string> = []
        for (let round = 0; round < rounds; round++) {
          const queue = `overdue-${round}`
          let overdue = ""
          yield* Effect.scoped(
            Effect.gen(function* () {
              const { link, store } = yield* stores.open(server.url())
              yield* store.put(
                queue,
                numbered(count).map((text) => stores.put(text, queue, Number(text) % 10))
              )
              const held = yield* store.take([queue], count)
              assert.lengthOf(held, count)
              yield* link.cut
              overdue = held[0]!.tag
            })
          )
          yield* Effect.scoped(
            Effect.gen(function* () {
              const sweepers = yield* Effect.all(Array.from({ length: 5 }, () => stores.open(server.url())))
              const { store } = sweepers[0]!
              yield* store.put(queue, [stores.put("later", queue, 0), stores.put("later", queue, 9)])
              yield* stores.forgotten(overdue)
              let first = Number.NaN
              const backs = sweepers.map(() => 0)
              const sweeping = (index: number) =>
                until(
                  Effect.gen(function* () {
                    backs[index]! += yield* sweepers[index]!.sweep
                    if (backs.some((back) => back > 0) && Number.isNaN(first)) first = performance.now()
                    return (yield* server.command("ZCARD", "unacked_index")) === 0
                  })
                )
              yield* Effect.all(
                sweepers.map((_, index) => sweeping(index)),
                { concurrency: "unbounded" }
              )
              took.push(performance.now() - first)
              shares.push(backs.join("/"))
              assert.deepStrictEqual(
                yield* Effect.all(lists(queue).map((list) => server.command("LLEN", list))),
                [301, 300, 300, 101]
              )
              // Kombu looks at either.
              const [raw] = (yield* server.command("LRANGE", queue, -1, -1)) as ReadonlyArray<string>
              const { headers, properties } = JSON.parse(raw!) as {
                readonly headers: unknown
                readonly properties: { readonly delivery_info: unknown }
              }
              assert.deepInclude(headers, { redelivered: true })
              assert.deepInclude(properties.delivery_info, { redelivered: true })
              const all = yield* store.take([queue], count + 2)
              assert.lengthOf(all, count + 2)
              const restored = all.filter((one) => stores.text(one) !== "later")
              assert.strictEqual(new Set(restored.map(stores.text)).size, count)
              const others = restored.filter(({ deliveryCount, redelivered }) => !redelivered || deliveryCount !== 1)
              assert.deepStrictEqual(
                others.map((one) => [stores.text(one), one.redelivered, one.deliveryCount]),
                []
              )
              for (const one of restored) {
                assert.strictEqual(one.message.properties.priority, Number(stores.text(one)) % 10)
              }
              assert.deepStrictEqual([stores.text(all[300]!), stores.text(all.at(-1)!)], ["later", "later"])
              yield* store.settle(all.map(({ tag }) => tag))
              yield* nothingHeld
            })
          )
        }
        yield* print(
          `D11 sweepers=5 n=${rounds * count} lost=0 dup=0 given back by each=${shares.join(", ")}, all of 1,000 in p50/p95/max=${spread(took)} ms`
        )
      })
  )

  it.effect("is not taken from who has it next by the late acknowledgement of one that was only slow", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const queue = "late"
      // It says nothing of itself while this lasts.
      const slow = yield* stores.open(server.url(), { lease: "1 hour" })
      yield* slow.store.put(
        queue,
        numbered(20).map((text) => stores.put(text, queue))
      )
      const held = yield* slow.store.take([queue], 20)
      yield* stores.forgotten(held[0]!.tag)
      const next = yield* stores.open(server.url())
      const again: Array<string> = []
      yield* until(
        Effect.gen(function* () {
          yield* next.sweep
          const taken = yield* next.store.take([queue], 20)
          again.push(...taken.map(({ tag }) => tag))
          return again.length === 20
        })
      )
      yield* slow.store.settle(held.slice(0, 10).map(({ tag }) => tag))
      yield* slow.store.restore(
        held.slice(10).map(({ tag }) => tag),
        { side: "near" }
      )
      assert.deepStrictEqual([yield* server.command("ZCARD", "unacked_index"), yield* next.store.size(queue)], [20, 0])
      yield* next.store.settle(again)
      yield* nothingHeld
    })
  )

  it.effect("for the answer to its claim was lost is delivered when its lease is over, once, and not before", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const losses = times(20, 50, 500)
      const lease = 3000
      /** Each message is alone in its queue: who takes has it, and none that came back meanwhile. */
      const queueOf = (loss: number) => `reset-${loss % 25}`
      const queues = Array.from({ length: 25 }, (_, index) => queueOf(index)) as unknown as readonly [string]
      const proxy = yield* FaultProxy.make({ port: server.node.port })
      const { store, sweep } = yield* stores.open(server.url())
      const lost = new Map<string, number>()
      const took: Array<number> = []
      const effects: Array<string> = []
      const taking = Effect.gen(function* () {
        yield* sweep
        for (const one of yield* store.take(queues, losses)) {
          assert.isTrue(one.redelivered)
          effects.push(stores.text(one))
          took.push(performance.now() - lost.get(stores.text(one))!)
          yield* store.settle([one.tag])
        }
      })
      for (let loss = 0; loss < losses; loss++) {
        const queue = queueOf(loss)
        yield* store.put(queue, [stores.put(String(loss), queue)])
        yield* Effect.scoped(
          Effect.gen(function* () {
            const dying = yield* stores.open(server.url(proxy.port), { lease })
            const cut = yield* proxy.cut({ direction: "down", when: seen(claimed), how: "reset" })
            // No later than the claim, which is the last sign of life.
            lost.set(String(loss), performance.now())
            yield* Effect.flip(dying.store.take([queue], 1))
            yield* cut
          })
        )
        if (loss % 25 === 24 || loss === losses - 1) {
          yield* until(
            Effect.gen(function* () {
              yield* taking
              return effects.length === loss + 1
            })
          )
        }
      }
      yield* print(
        `D2 resets=${losses} lost=${losses - new Set(effects).size} dup=${effects.length - new Set(effects).size} lease=${lease} ms, again after p50/p95/max=${spread(took)} ms`
      )
      assert.sameMembers(effects, numbered(losses))
      assert.isAtLeast(Math.min(...took), lease - 50)
    })
  )

  it.effect(
    "stays held where its queue is no list by now, for as long as that is so, and keeps back nobody else's",
    () =>
      Effect.gen(function* () {
        const server = yield* Server
        const { link, store } = yield* stores.open(server.url())
        yield* store.put("strange", [stores.put("1", "strange"), stores.put("2", "strange")])
        yield* store.put("other", [stores.put("3", "other")])
        const strange = yield* store.take(["strange"], 2)
        const [other] = yield* store.take(["other"], 1)
        yield* server.command("SET", "strange", "x")
        const error = yield* Effect.flip(
          store.restore(
            [...strange, other!].map(({ tag }) => tag),
            { side: "near" }
          )
        )
        assert.include(error.message, "strange")
        assert.deepStrictEqual([yield* server.command("HLEN", "unacked"), yield* store.size("other")], [2, 1])
        const [again] = yield* store.take(["other"], 1)
        yield* link.cut
        // It does not look by itself.
        const next = yield* stores.open(server.url(), { lease: "1 hour" })
        yield* stores.forgotten(again!.tag)
        yield* next.sweep
        assert.deepStrictEqual([yield* server.command("HLEN", "unacked"), yield* next.store.size("other")], [2, 1])
        yield* server.command("DEL", "strange")
        assert.strictEqual(yield* next.sweep, 2)
        const all = [...(yield* next.store.take(["strange"], 2)), ...(yield* next.store.take(["other"], 1))]
        assert.deepStrictEqual(all.map(stores.text), ["1", "2", "3"])
        yield* next.store.settle(all.map(({ tag }) => tag))
        yield* nothingHeld
      }).pipe(Effect.scoped)
  )

  it.effect("takes longer to give back than a lease lasts, and who gives it back lives on", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const { link, store } = yield* stores.open(server.url())
      const count = 200
      yield* store.put(
        "many",
        numbered(count).map((text) => stores.put(text, "many"))
      )
      const held = yield* store.take(["many"], count)
      yield* link.cut
      const slow = yield* Redis.open(RedisUri.parseUnsafe(server.url()))
      const far: RedisStore.RedisLink = {
        ...slow,
        redis: {
          ...slow.redis,
          eval:
            (script) =>
            (...params) =>
              Effect.andThen(Effect.sleep("20 millis"), slow.redis.eval(script)(...params))
        }
      }
      // Nothing is overdue when it begins.
      const next = yield* RedisStore.make(far, { lease: "3 seconds" })
      const lost = yield* Effect.forkScoped(Effect.exit(next.closed))
      yield* stores.forgotten(held[0]!.tag)
      const began = performance.now()
      yield* until(Effect.map(next.store.size("many"), (size) => size === count))
      const took = performance.now() - began
      yield* print(`D11 one sweeper, 20 ms away: n=${count} in ${Math.round(took)} ms, lease 3000 ms`)
      assert.isAbove(took, 3000)
      assert.isUndefined(lost.pollUnsafe())
      const all = yield* next.store.take(["many"], count)
      assert.deepStrictEqual([all.length, next.store.held!(all[0]!.tag)], [count, true])
      yield* next.store.settle(all.map(({ tag }) => tag))
      yield* nothingHeld
    }).pipe(Effect.scoped)
  )
})
