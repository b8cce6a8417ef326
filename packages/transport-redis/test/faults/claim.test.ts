/** Who dies, or loses his link, while he takes (RELIABILITY D1, D2). */
import { assert, layer } from "@effect/vitest"
import * as RedisStore from "@apium/transport-redis/RedisStore"
import { Effect } from "effect"
import { seen } from "../../../../test/support/FaultPipe.ts"
import * as FaultProxy from "../../../../test/support/FaultProxy.ts"
import * as Program from "../../../../test/support/Program.ts"
import * as Python from "../../../../test/support/Python.ts"
import { Redis as Server } from "../../../../test/support/Redis.ts"
import { times } from "../../../../test/support/Times.ts"
import * as stores from "../support/stores.ts"

const print = (line: string) => Effect.sync(() => console.log(line))

/** Where the answer to a claim says what was taken: Redis has done it, and we have not heard of it. */
const tag = new TextEncoder().encode('"delivery_tag"')

const numbered = (count: number) => Array.from({ length: count }, (_, index) => String(index))

/** Everything of the queue, acknowledged; it goes on until so many were there. */
const drain = ({ store, sweep }: RedisStore.RedisStore, queue: string, count: number) =>
  Effect.gen(function* () {
    const all: Array<string> = []
    let redelivered = 0
    while (all.length < count) {
      const taken = yield* store.take([queue], 100)
      if (taken.length === 0) yield* Effect.andThen(sweep, Effect.sleep("20 millis"))
      yield* store.settle(taken.map((one) => one.tag))
      all.push(...taken.map(stores.text))
      redelivered += taken.filter((one) => one.redelivered).length
    }
    return { all, redelivered }
  })

layer(Server.shared, { excludeTestServices: true })("a claim", (it) => {
  it.effect(
    "whose answer was lost with its consumer loses nothing: each message comes back once, when the lease is over",
    () =>
      Effect.gen(function* () {
        const server = yield* Server
        const deaths = times(200, 300, 2000)
        const proxy = yield* FaultProxy.make({ port: server.node.port })
        const all = numbered(deaths).map((text) => stores.put(text, "deaths"))
        yield* Effect.scoped(Effect.flatMap(stores.open(server.url()), ({ store }) => store.put("deaths", all)))
        const began = performance.now()
        for (let death = 0; death < deaths; death++) {
          yield* Effect.scoped(
            Effect.gen(function* () {
              // As another process: nobody here knows of it afterwards. None comes back before all have died.
              const dying = yield* stores.open(server.url(proxy.port), { lease: "1 hour" })
              const cut = yield* proxy.cut({ direction: "down", when: seen(tag), how: "reset" })
              const { reason } = yield* Effect.flip(dying.store.take(["deaths"], 1))
              assert.strictEqual(reason._tag, "ConnectionLost")
              yield* cut
            })
          )
        }
        const died = performance.now()
        // As if the leases of all of them were over.
        yield* server.command(
          "EVAL",
          "for _, owner in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do redis.call('ZADD', KEYS[1], 0, owner) end",
          1,
          "apium.owners"
        )
        const { all: back, redelivered } = yield* drain(yield* stores.open(server.url()), "deaths", deaths)
        const lost = deaths - new Set(back).size
        yield* print(
          `D1 deaths=${deaths} lost=${lost} dup=${back.length - new Set(back).size} redelivered=${redelivered} deaths_took=${Math.round(died - began)}ms back_after=${Math.round(performance.now() - died)}ms`
        )
        assert.sameMembers(back, numbered(deaths))
        assert.strictEqual(redelivered, deaths)
        // Nobody waits for a settle, and the last of them may be on its way.
        for (const [command, key] of [
          ["HLEN", "unacked"],
          ["ZCARD", "unacked_index"]
        ] as const) {
          yield* stores.until(Effect.map(server.command(command, key), (count) => count === 0))
        }
      })
  )

  it.effect("whose answer was lost comes back with the next link of the same transport, before any lease is over", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const losses = times(50, 100, 500)
      const proxy = yield* FaultProxy.make({ port: server.node.port })
      const shared = RedisStore.shared()
      const direct = yield* stores.open(server.url())
      yield* direct.store.put(
        "links",
        numbered(losses).map((text) => stores.put(text, "links"))
      )
      const received: Array<string> = []
      for (let loss = 0; loss < losses; loss++) {
        yield* Effect.scoped(
          Effect.gen(function* () {
            const { store } = yield* stores.open(server.url(proxy.port), {}, shared)
            const cut = yield* proxy.cut({ direction: "down", when: seen(tag), how: "reset" })
            yield* Effect.flip(store.take(["links"], 1))
            yield* cut
          })
        )
        yield* Effect.scoped(
          Effect.gen(function* () {
            const { store } = yield* stores.open(server.url(proxy.port), {}, shared)
            const taken = yield* store.take(["links"], 1)
            assert.deepStrictEqual(
              taken.map((one) => [stores.text(one), one.redelivered]),
              [[String(loss), true]]
            )
            yield* store.settle(taken.map((one) => one.tag))
            received.push(...taken.map(stores.text))
          })
        )
      }
      yield* print(
        `D2 losses=${losses} lost=${losses - new Set(received).size} dup=${received.length - new Set(received).size}`
      )
      assert.deepStrictEqual(received, numbered(losses))
      yield* stores.until(Effect.map(server.command("HLEN", "unacked"), (count) => count === 0))
    })
  )

  it.effect("is lost by kombu's way of taking, which pops and then notes: as often as it dies between", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const deaths = times(200, 400, 2000)
      const { store } = yield* stores.open(server.url())
      yield* store.put(
        "popped",
        numbered(deaths).map((text) => stores.put(text, "popped"))
      )
      // What kombu's channel does, as far as it gets.
      yield* Python.run(
        `
import sys, redis
for _ in range(int(sys.argv[2])):
    client = redis.Redis.from_url(sys.argv[1])
    client.brpop("popped", 1)
    client.connection_pool.disconnect()
`,
        { args: [server.url(), String(deaths)] }
      )
      const left = (yield* store.size("popped")) + Number(yield* server.command("HLEN", "unacked"))
      yield* print(`D1 baseline, BRPOP and then HSET: deaths=${deaths} lost=${deaths - left}`)
      assert.strictEqual(left, 0)
    })
  )

  it.effect("of processes that are killed loses nothing", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const kills = times(4, 8, 40)
      const each = 500
      const count = kills * each
      const file = yield* Program.bundle("packages/transport-redis/test/support/consumer.ts")
      const living = yield* stores.open(server.url())
      const { store } = living
      const all = numbered(count)
      const done: Array<string> = []
      for (let kill = 0; kill < kills; kill++) {
        // Each finds enough, however many those before it have taken until their signal came.
        const own = all.slice(kill * each, (kill + 1) * each)
        yield* store.put(
          "killed",
          own.map((text) => stores.put(text, "killed"))
        )
        const consumer = yield* Program.start(file, { args: [server.url(), "killed"] })
        yield* consumer.line("30 turns")
        yield* consumer.signal("SIGKILL")
        const { lines } = yield* consumer.ended
        for (const line of lines) if (line.startsWith("done ")) done.push(...line.slice(5).split(","))
      }
      const rest = (yield* drain(living, "killed", count - new Set(done).size)).all
      // What was said and not settled is at most one turn of each.
      yield* stores.until(
        Effect.map(Effect.andThen(living.sweep, server.command("ZCARD", "unacked_index")), (left) => left === 0)
      )
      rest.push(...(yield* drain(living, "killed", yield* store.size("killed"))).all)
      const effects = [...done, ...rest]
      const lost = count - new Set(effects).size
      yield* print(`D1 kill -9: kills=${kills} n=${count} lost=${lost} dup=${effects.length - new Set(effects).size}`)
      assert.deepStrictEqual(
        all.filter((text) => !effects.includes(text)),
        []
      )
    })
  )
})
