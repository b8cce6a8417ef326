/** What we hold, and others take: a Python worker that restores by age, and whoever found us dead (RELIABILITY D12). */
import * as Redis from "@apium/transport-redis/node"
import * as RedisStore from "@apium/transport-redis/RedisStore"
import * as RedisUri from "@apium/transport-redis/RedisUri"
import { assert, layer } from "@effect/vitest"
import { Deferred, Effect, Latch, Metric } from "effect"
import * as Python from "../../../../test/support/Python.ts"
import { Redis as Server } from "../../../../test/support/Redis.ts"
import * as stores from "../support/stores.ts"

const taken = Effect.map(Metric.snapshot, (all) => {
  const found = all.find(({ id }) => id === "apium_redis_taken_back")
  return (found?.state as { readonly count: number } | undefined)?.count ?? 0
})

layer(Server.shared, { excludeTestServices: true })("a message that we hold", (it) => {
  it.effect(
    "and a Python worker restores is known to be gone with the next renewal, is counted, and is settled for nothing",
    () =>
      Effect.gen(function* () {
        const server = yield* Server
        const before = yield* taken
        const { store } = yield* stores.open(server.url(), { visibilityTimeout: "6 seconds" })
        yield* store.put("taken", [stores.put('"1"', "taken"), stores.put('"2"', "taken")])
        const [first, second] = yield* store.take(["taken"], 2)
        assert.deepStrictEqual([store.held!(first!.tag), store.held!(second!.tag)], [true, true])
        // Whose options say that a quarter of a second is long enough, and whose clock is right.
        yield* Python.run(
          `
import sys
from kombu import Connection
channel = Connection(sys.argv[1], transport_options={"visibility_timeout": 0}).channel()
channel.qos.restore_by_tag(sys.argv[2])
`,
          { args: [server.url(), first!.tag] }
        )
        yield* stores.until(Effect.map(taken, (count) => count === before + 1))
        assert.deepStrictEqual([store.held!(first!.tag), store.held!(second!.tag)], [false, true])
        yield* store.settle([first!.tag])
        yield* store.restore([first!.tag], { side: "near" })
        assert.strictEqual(yield* server.command("LLEN", "taken"), 1)
        const [again] = yield* store.take(["taken"], 2)
        assert.deepStrictEqual([stores.text(again!), again!.redelivered, again!.deliveryCount], ['"1"', true, 1])
        yield* store.settle([again!.tag, second!.tag])
        yield* stores.until(Effect.map(server.command("ZCARD", "unacked_index"), (left) => left === 0))
      })
  )

  it.effect(
    "when others found us dead is lost with its link, which says why, and nothing of it is begun after that",
    () =>
      Effect.gen(function* () {
        const server = yield* Server
        const lost = yield* Deferred.make<string>()
        const { closed, store } = yield* stores.open(server.url(), { lease: "3 seconds" })
        yield* Effect.forkScoped(
          Effect.catch(closed, ({ reason }) => Deferred.succeed(lost, "text" in reason ? reason.text : ""))
        )
        yield* store.put("dead", [stores.put('"1"', "dead")])
        const [held] = yield* store.take(["dead"], 1)
        yield* stores.forgotten(held!.tag)
        const other = yield* stores.open(server.url())
        assert.match(yield* Deferred.await(lost), /not heard of for longer than its lease of 3000 ms/)
        assert.isFalse(store.held!(held!.tag))
        yield* stores.until(Effect.map(Effect.andThen(other.sweep, other.store.size("dead")), (size) => size === 1))
      })
  )

  it.effect(
    "is settled in Redis as soon as it can be sent: not behind the answer to the last ones, which may be long in coming",
    () =>
      Effect.gen(function* () {
        const server = yield* Server
        const link = yield* Redis.open(RedisUri.parseUnsafe(server.url()))
        const heard = yield* Latch.make(true)
        const { store } = yield* RedisStore.make({
          ...link,
          redis: {
            ...link.redis,
            eval:
              (script) =>
              (...params) =>
                Effect.tap(link.redis.eval(script)(...params), () => heard.await)
          }
        })
        yield* store.put(
          "settled",
          ["1", "2", "3"].map((text) => stores.put(text, "settled"))
        )
        const tags = (yield* store.take(["settled"], 3)).map(({ tag }) => tag)
        const left = (count: number) => stores.until(Effect.map(server.command("HLEN", "unacked"), (n) => n === count))
        yield* heard.close
        for (const [index, tag] of tags.entries()) {
          yield* store.settle([tag])
          yield* left(2 - index)
        }
        yield* heard.open
      })
  )
})
