/** What others do to keys that everybody relies on: deleted, evicted, flushed, or of another type (RELIABILITY D4, D16, D17). */
import { Connection } from "@apium/hub/Connection"
import * as Consumer from "@apium/hub/Consumer"
import * as Exchange from "@apium/hub/Exchange"
import type { HubError } from "@apium/hub/HubError"
import * as Message from "@apium/hub/Message"
import * as HubQueue from "@apium/hub/Queue"
import * as Redis from "@apium/transport-redis/node"
import { Control } from "@apium/worker"
import { assert, layer } from "@effect/vitest"
import { Effect, Metric, Queue, Result, Stream } from "effect"
import { keepTo, slack } from "../../../../test/support/Figures.ts"
import { Redis as Server } from "../../../../test/support/Redis.ts"
import { times } from "../../../../test/support/Times.ts"
import * as stores from "../support/stores.ts"

const message = (text: string) => Message.make(new TextEncoder().encode(text))

const bound = (name: string, exchange: Exchange.Exchange, routingKey = "k") =>
  HubQueue.make(name, { bindings: [{ exchange, routingKey, arguments: {} }] })

/** The messages of a queue as they are consumed, acknowledged. */
const consuming = (queue: HubQueue.Queue) =>
  Effect.gen(function* () {
    const received = yield* Queue.unbounded<string>()
    yield* Consumer.stream([queue]).pipe(
      Stream.runForEach((delivery) =>
        Effect.andThen(Queue.offer(received, new TextDecoder().decode(delivery.message.body)), delivery.ack)
      ),
      Effect.forkScoped
    )
    return received
  })

const saysWhy = ({ reason }: HubError): string =>
  reason._tag === "ChannelClosed" ? `${reason.replyCode} ${reason.replyText}` : reason._tag

layer(Server.layer(), { excludeTestServices: true })("bindings", (it) => {
  it.effect("that somebody deletes are there again: before our next publish, and within two seconds for others", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const rounds = times(3, 5, 20)
      const exchange = Exchange.direct("healed")
      const key = "_kombu.binding.healed"
      const member = "k\x06\x16\x06\x16healed"
      const took: Array<number> = []
      yield* Effect.gen(function* () {
        const connection = yield* Connection
        const queue = bound("healed", exchange)
        const received = yield* consuming(queue)
        yield* stores.until(Effect.map(server.command("EXISTS", key), (there) => there === 1))
        for (let round = 0; round < rounds; round++) {
          yield* server.command("DEL", key)
          yield* connection.publish(message(String(round)), { exchange: exchange.name, routingKey: "k" })
          assert.strictEqual(yield* Queue.take(received), String(round))
          yield* server.command("DEL", key)
          const began = performance.now()
          yield* stores.until(
            Effect.map(server.command("SMEMBERS", key), (members) => String(members) === String([member]))
          )
          took.push(performance.now() - began)
        }
      }).pipe(Effect.scoped, Effect.provide(Redis.layer(server.url())))
      const slowest = Math.round(Math.max(...took))
      console.log(`D16 deleted=${rounds * 2} lost=0 there again after max=${slowest}ms`)
      keepTo(2000, took)
    })
  )

  it.effect("that were taken out one by one stay out, whoever did it", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const exchange = Exchange.direct("partly")
      yield* Effect.gen(function* () {
        const connection = yield* Connection
        yield* connection.declare({ queues: [bound("a", exchange), bound("b", exchange)] })
        yield* connection.use((channel) => channel.queueUnbind("a", { exchange, routingKey: "k", arguments: {} }))
        yield* server.command("DEL", "_kombu.binding.partly")
        yield* connection.publish(message("1"), { exchange: "partly", routingKey: "k" })
        assert.deepStrictEqual([yield* server.command("LLEN", "a"), yield* server.command("LLEN", "b")], [0, 1])
        yield* connection.declare({ queues: [bound("c", exchange)] })
        yield* server.command("SREM", "_kombu.binding.partly", "k\x06\x16\x06\x16b")
        yield* Effect.sleep("1200 millis")
        assert.deepStrictEqual(yield* server.command("SMEMBERS", "_kombu.binding.partly"), ["k\x06\x16\x06\x16c"])
      }).pipe(Effect.provide(Redis.layer(server.url())))
    })
  )

  it.effect("of a queue that went with its link are taken out by the next one", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const exchange = Exchange.direct("exclusive")
      const count = Effect.map(server.command("SCARD", "_kombu.binding.exclusive"), Number)
      yield* Effect.gen(function* () {
        const connection = yield* Connection
        const queue = HubQueue.bindTo(exchange, "k")(HubQueue.temporary("of-this-link"))
        yield* connection.declare({ queues: [queue] })
        assert.strictEqual(yield* count, 1)
        yield* server.command("CLIENT", "KILL", "TYPE", "normal")
        yield* stores.until(
          Effect.map(
            Effect.ignore(connection.declare({ exchanges: [Exchange.direct("another")] })).pipe(Effect.andThen(count)),
            (left) => left === 0
          )
        )
      }).pipe(Effect.provide(Redis.layer(server.url())))
    })
  )
})

layer(Server.layer(), { excludeTestServices: true })("FLUSHALL", (it) => {
  it.effect(
    "takes what was there, and no more: who consumes goes on within two seconds, by name, by exchange and by fanout",
    () =>
      Effect.gen(function* () {
        const server = yield* Server
        const rounds = times(3, 5, 20)
        const [direct, fanout] = [Exchange.direct("flushed-direct"), Exchange.fanout("flushed-fanout")]
        const took: Array<number> = []
        yield* Effect.gen(function* () {
          const connection = yield* Connection
          const received = yield* consuming(bound("flushed", direct))
          const heard = yield* consuming(bound("flushed-heard", fanout, ""))
          yield* stores.until(Effect.map(server.command("PUBSUB", "NUMPAT"), (open) => open === 1))
          for (let round = 0; round < rounds; round++) {
            yield* server.command("FLUSHALL")
            const began = performance.now()
            yield* connection.publish(message("name"), { exchange: "", routingKey: "flushed" })
            assert.strictEqual(yield* Queue.take(received), "name")
            yield* connection.publish(message("fanout"), { exchange: fanout.name, routingKey: "" })
            assert.strictEqual(yield* Queue.take(heard), "fanout")
            // As another process would: by what is in Redis.
            yield* Effect.gen(function* () {
              const other = yield* Connection
              yield* other.declare({ exchanges: [direct] })
              for (let n = 0; (yield* Queue.size(received)) === 0; n++) {
                yield* other.publish(message(`exchange ${n}`), { exchange: direct.name, routingKey: "k" })
                yield* Effect.sleep("20 millis")
              }
            }).pipe(Effect.provide(Redis.layer(server.url())))
            took.push(performance.now() - began)
            // Behind all that came through the exchange.
            yield* connection.publish(message("end"), { exchange: "", routingKey: "flushed" })
            while ((yield* Queue.take(received)) !== "end");
          }
        }).pipe(Effect.scoped, Effect.provide(Redis.layer(server.url())))
        const slowest = Math.round(Math.max(...took))
        console.log(`D4 FLUSHALL rounds=${rounds} as before after max=${slowest}ms`)
        keepTo(2000, took)
      })
  )
})

layer(Server.layer(), { excludeTestServices: true })("a key of another type", (it) => {
  it.effect("is an error that names it: a list, a set of bindings, and what is unacknowledged", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const { command } = server
      yield* command("SET", "no-list", "1")
      yield* command("SET", "_kombu.binding.no-set", "1")
      yield* Effect.gen(function* () {
        const connection = yield* Connection
        const queue = HubQueue.make("no-list")
        yield* Effect.forEach(
          [
            connection.use((channel) => Effect.andThen(channel.queueDeclare(queue), channel.get("no-list"))),
            connection.publish(message("1"), { exchange: "", routingKey: "no-list" })
          ],
          (work) =>
            Effect.map(Effect.flip(work as Effect.Effect<unknown, HubError>), (error) =>
              assert.match(saysWhy(error), /^406 PRECONDITION_FAILED - WRONGTYPE.*no-list/)
            )
        )
        const refused = yield* Effect.flip(connection.declare({ queues: [bound("any", Exchange.direct("no-set"))] }))
        assert.match(saysWhy(refused), /^406 PRECONDITION_FAILED - WRONGTYPE.*: _kombu\.binding\.no-set$/)
        // The link is as it was.
        yield* connection.publish(message("1"), { exchange: "", routingKey: "a-list" })
        assert.strictEqual(yield* command("LLEN", "a-list"), 1)
      }).pipe(Effect.provide(Redis.layer(server.url())))
      yield* command("DEL", "unacked", "unacked_index")
      yield* command("SET", "unacked", "1")
      const refused = yield* Effect.flip(Effect.scoped(stores.open(server.url())))
      assert.strictEqual(
        saysWhy(refused),
        "406 PRECONDITION_FAILED - WRONGTYPE unacked is a string, and should be a hash"
      )
    })
  )
})

layer(Server.layer(), { excludeTestServices: true })("a gap between two subscriptions", (it) => {
  it.effect(
    "is counted, and a question to workers that falls into it ends in its time, without an answer or with a typed error",
    () =>
      Effect.gen(function* () {
        const server = yield* Server
        const rounds = times(3, 5, 20)
        const gaps = Effect.map(Metric.snapshot, (all) => {
          const found = all.find(({ id }) => id === "apium_redis_fanout_gaps")
          return (found?.state as { readonly count: number } | undefined)?.count ?? 0
        })
        yield* Effect.gen(function* () {
          const heard = yield* consuming(bound("listens", Exchange.fanout("gaps"), ""))
          const connection = yield* Connection
          const before = yield* gaps
          for (let round = 0; round < rounds; round++) {
            yield* stores.until(Effect.map(server.command("PUBSUB", "NUMPAT"), (open) => open === 1))
            yield* connection.publish(message(String(round)), { exchange: "gaps", routingKey: "" })
            assert.strictEqual(yield* Queue.take(heard), String(round))
            yield* server.command("CLIENT", "KILL", "TYPE", "pubsub")
            const began = performance.now()
            const asked = yield* Effect.result(Control.ping({ timeout: "300 millis" }))
            // Nobody is there to answer; or it never went out, and says so.
            if (Result.isFailure(asked)) assert.strictEqual(asked.failure.reason._tag, "ConnectionLost")
            else assert.deepStrictEqual(asked.success, [])
            assert.isBelow(performance.now() - began, 300 + slack)
          }
          // The last one is counted when the process has heard that its link is gone.
          yield* stores.until(Effect.map(gaps, (count) => count - before >= rounds))
          assert.strictEqual((yield* gaps) - before, rounds)
        }).pipe(Effect.scoped, Effect.provide(Redis.layer(server.url())))
      })
  )
})
