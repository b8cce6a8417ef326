/** Fanout, which on Redis is publish and subscribe: between us, and with Debian's kombu. */
import { Connection } from "@apium/hub/Connection"
import * as Consumer from "@apium/hub/Consumer"
import * as Exchange from "@apium/hub/Exchange"
import * as Message from "@apium/hub/Message"
import * as HubQueue from "@apium/hub/Queue"
import * as Redis from "@apium/transport-redis/node"
import { assert, layer } from "@effect/vitest"
import { Effect, Queue, Stream } from "effect"
import * as Python from "../../../test/support/Python.ts"
import { Redis as Server } from "../../../test/support/Redis.ts"
import * as stores from "./support/stores.ts"

const json = { contentType: "application/json", contentEncoding: "utf-8" }
const said = (text: string) => Message.make(new TextEncoder().encode(JSON.stringify(text)), json)

/** A consumer that acknowledges, and is there: somebody subscribes to so many patterns. */
const listening = (queue: HubQueue.Queue) =>
  Effect.gen(function* () {
    const heard = yield* Queue.unbounded<string>()
    yield* Consumer.stream([queue]).pipe(
      Stream.runForEach((delivery) =>
        Effect.andThen(
          Queue.offer(heard, JSON.parse(new TextDecoder().decode(delivery.message.body)) as string),
          delivery.ack
        )
      ),
      Effect.forkScoped
    )
    return Queue.take(heard)
  })

const patterns = (count: number) =>
  Effect.flatMap(Server, ({ command }) =>
    stores.until(Effect.map(command("PUBSUB", "NUMPAT"), (open) => open === count))
  )

const bound = (name: string, exchange: Exchange.Exchange, routingKey = "") =>
  HubQueue.make(name, { bindings: [{ exchange, routingKey, arguments: {} }], autoDelete: true })

layer(Server.layer(), { excludeTestServices: true })("fanout", (it) => {
  it.effect("reaches all who consume, us and kombu, whoever publishes, and nobody twice", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const fanout = Exchange.fanout("everybody")
      yield* Effect.gen(function* () {
        const connection = yield* Connection
        yield* connection.declare({ exchanges: [fanout] })
        const one = yield* listening(bound("one", fanout))
        const other = yield* listening(bound("other", fanout))
        const python = yield* Python.start(
          `
import sys
from kombu import Connection, Consumer, Exchange, Queue
exchange = Exchange("everybody", "fanout")
connection = Connection(sys.argv[1])
def heard(body, message):
    message.ack()
    print("heard", body)
with Consumer(connection, [Queue("theirs", exchange, auto_delete=True)], callbacks=[heard]):
    try:
        connection.drain_events(timeout=0.1)
    except Exception:
        pass
    print("listening")
    connection.drain_events(timeout=100)
    with connection.Producer() as producer:
        producer.publish("from kombu", exchange=exchange, serializer="json")
    connection.drain_events(timeout=100)
`,
          { args: [server.url()] }
        )
        yield* python.line("listening")
        // It says so when it has asked to, which may be before Redis has it. Two of ours share one connection; both have one pattern.
        yield* stores.until(
          Effect.map(
            server.command("CLIENT", "LIST", "TYPE", "pubsub"),
            (clients) => String(clients).split(" psub=1 ").length === 3
          )
        )
        yield* connection.publish(said("from us"), { exchange: fanout.name, routingKey: "" })
        assert.deepStrictEqual([yield* one, yield* other], ["from us", "from us"])
        assert.strictEqual(yield* python.line("heard"), "heard from us")
        assert.deepStrictEqual([yield* one, yield* other], ["from kombu", "from kombu"])
        yield* python.line("heard from kombu")
        yield* connection.publish(said("last"), { exchange: fanout.name, routingKey: "" })
        assert.deepStrictEqual([yield* one, yield* other], ["last", "last"])
      }).pipe(Effect.scoped, Effect.provide(Redis.layer(server.url())))
      // Who has gone listens no more, and nothing was kept in a list.
      yield* patterns(0)
      assert.deepStrictEqual(
        [yield* server.command("EXISTS", "one", "other", "theirs"), yield* server.command("HLEN", "unacked")],
        [0, 0]
      )
    })
  )

  it.effect("reaches those whose pattern fits the routing key", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const events = Exchange.fanout("events")
      yield* Effect.gen(function* () {
        const connection = yield* Connection
        yield* connection.declare({ exchanges: [events] })
        const workers = yield* listening(bound("workers", events, "worker.#"))
        const all = yield* listening(bound("all", events, "#"))
        yield* patterns(2)
        for (const routingKey of ["worker.online", "task.sent", "worker.a.b"]) {
          yield* connection.publish(said(routingKey), { exchange: events.name, routingKey })
        }
        assert.deepStrictEqual([yield* workers, yield* workers], ["worker.online", "worker.a.b"])
        assert.deepStrictEqual([yield* all, yield* all, yield* all], ["worker.online", "task.sent", "worker.a.b"])
      }).pipe(Effect.scoped, Effect.provide(Redis.layer(server.url())))
      yield* patterns(0)
    })
  )

  it.effect("is heard again after the link was lost", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const fanout = Exchange.fanout("again")
      yield* Effect.gen(function* () {
        const connection = yield* Connection
        yield* connection.declare({ exchanges: [fanout] })
        const heard = yield* listening(bound("again", fanout))
        for (const text of ["1", "2", "3"]) {
          yield* patterns(1)
          yield* connection.publish(said(text), { exchange: fanout.name, routingKey: "" }, { exchanges: [fanout] })
          assert.strictEqual(yield* heard, text)
          yield* server.command("CLIENT", "KILL", "TYPE", "pubsub")
        }
      }).pipe(Effect.scoped, Effect.provide(Redis.layer(server.url())))
    })
  )
})
