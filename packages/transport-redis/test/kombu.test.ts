/** One queue, Debian's kombu on one side and us on the other. */
import { Connection } from "@apium/hub/Connection"
import * as Exchange from "@apium/hub/Exchange"
import * as Message from "@apium/hub/Message"
import * as Queue from "@apium/hub/Queue"
import * as Redis from "@apium/transport-redis/node"
import { assert, layer } from "@effect/vitest"
import { Effect, Option } from "effect"
import * as Python from "../../../test/support/Python.ts"
import { Redis as Server } from "../../../test/support/Redis.ts"
import { times } from "../../../test/support/Times.ts"
import { renewed } from "./support/lapse.ts"
import * as stores from "./support/stores.ts"

const head = String.raw`
import json, os, sys
from kombu import Connection, Consumer, Exchange, Queue
url, name = sys.argv[1:3]
connection = Connection(url)
`

const python = (code: string, ...args: ReadonlyArray<string>) => Python.run(head + code, { args })

const json = { contentType: "application/json", contentEncoding: "utf-8" }
const timeouts = times(4, 10)

const bodyOf = (body: Uint8Array): unknown => JSON.parse(new TextDecoder().decode(body))

layer(Server.shared, { excludeTestServices: true })("kombu", (it) => {
  it.effect("gets what we send, the lowest priority first, and its acknowledgements leave nothing behind", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const queue = Queue.make("to-kombu")
      yield* Effect.gen(function* () {
        const connection = yield* Connection
        for (const [value, priority] of [
          ["lowest", 9],
          ["middle", 4],
          ["first", 0],
          ["second", 2],
          ["big", 3]
        ] as const) {
          const body = new TextEncoder().encode(JSON.stringify({ value }))
          yield* connection.publish(
            Message.make(body, { ...json, priority, correlationId: value }, { of: "us", large: 2n ** 60n }),
            { exchange: "", routingKey: queue.name },
            { queues: [queue] }
          )
        }
      }).pipe(Effect.provide(Redis.layer(server.url())))
      const said = yield* python(
        `
queue = connection.SimpleQueue(name)
for _ in range(5):
    message = queue.get(timeout=60)
    print(json.dumps([message.payload["value"], message.properties["correlation_id"], message.properties["priority"], message.headers]))
    message.ack()
queue.close()
`,
        server.url(),
        queue.name
      )
      const headers = `{"of": "us", "large": ${2n ** 60n}}`
      assert.deepStrictEqual(said.trim().split("\n"), [
        `["first", "first", 0, ${headers}]`,
        `["second", "second", 2, ${headers}]`,
        `["middle", "middle", 4, ${headers}]`,
        `["big", "big", 3, ${headers}]`,
        `["lowest", "lowest", 9, ${headers}]`
      ])
      assert.deepStrictEqual(
        [yield* server.command("HLEN", "unacked"), yield* server.command("ZCARD", "unacked_index")],
        [0, 0]
      )
    })
  )

  it.effect("sends what we get, the lowest priority first, to the last digit of a number", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const queue = Queue.make("from-kombu")
      yield* python(
        `
queue = connection.SimpleQueue(name)
for value, priority in (("lowest", 9), ("middle", 5), ("first", 0), ("second", 1)):
    queue.put({"value": value}, priority=priority, headers={"of": "kombu", "large": 9007199254740993, "none": [], "text": "\\u00e9\\U0001f331"})
queue.close()
`,
        server.url(),
        queue.name
      )
      const received = yield* Effect.gen(function* () {
        const connection = yield* Connection
        yield* connection.declare({ queues: [queue] })
        return yield* connection.use((channel) =>
          Effect.gen(function* () {
            const all: Array<unknown> = []
            for (;;) {
              const next = yield* channel.get(queue.name)
              if (Option.isNone(next)) return all
              const { message, redelivered, route } = next.value
              assert.deepStrictEqual(message.headers, {
                of: "kombu",
                large: 9007199254740993n,
                none: [],
                text: "é🌱"
              })
              assert.deepStrictEqual([redelivered, route.exchange], [false, queue.name])
              all.push([bodyOf(message.body), message.properties.priority, message.properties.contentType])
              yield* next.value.ack
            }
          })
        )
      }).pipe(Effect.provide(Redis.layer(server.url())))
      assert.deepStrictEqual(received, [
        [{ value: "first" }, 0, "application/json"],
        [{ value: "second" }, 1, "application/json"],
        [{ value: "middle" }, 5, "application/json"],
        [{ value: "lowest" }, 9, "application/json"]
      ])
      assert.deepStrictEqual(
        [yield* server.command("HLEN", "unacked"), yield* server.command("ZCARD", "unacked_index")],
        [0, 0]
      )
    })
  )

  it.effect("routes through the bindings that we make, and we through those of kombu, direct and topic", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const topic = Exchange.topic("kombu-topic")
      const ours = Queue.make("ours", { bindings: [{ exchange: topic, routingKey: "a.#", arguments: {} }] })
      const received = yield* Effect.gen(function* () {
        const connection = yield* Connection
        yield* connection.declare({ exchanges: [topic], queues: [ours] })
        const members = yield* server.command("SMEMBERS", "_kombu.binding.kombu-topic")
        assert.deepStrictEqual(members, ["a.#\x06\x16^a\\..*?$\x06\x16ours"])
        yield* python(
          `
theirs = Queue("theirs", Exchange("kombu-topic", "topic"), routing_key="*.b")(connection.channel())
theirs.declare()
with connection.Producer() as producer:
    producer.publish({"from": "kombu"}, exchange="kombu-topic", routing_key="a.c", declare=[theirs])
    producer.publish({"from": "nobody"}, exchange="kombu-topic", routing_key="c")
`,
          server.url(),
          "theirs"
        )
        yield* connection.publish(
          Message.make(new TextEncoder().encode('{"from": "us"}'), json),
          { exchange: topic.name, routingKey: "x.b" },
          { exchanges: [topic] }
        )
        return yield* connection.use((channel) => channel.get(ours.name))
      }).pipe(Effect.map(Option.map(({ message }) => bodyOf(message.body))), Effect.provide(Redis.layer(server.url())))
      assert.deepStrictEqual(received, Option.some({ from: "kombu" }))
      const said = yield* python(
        `
queue = connection.SimpleQueue(Queue("theirs", Exchange("kombu-topic", "topic"), routing_key="*.b"))
message = queue.get(timeout=60)
print(json.dumps(message.payload))
message.ack()
queue.close()
`,
        server.url(),
        "theirs"
      )
      assert.deepStrictEqual(JSON.parse(said), { from: "us" })
    })
  )

  it.effect(
    "restores what we held and were dead with, to the queue it came from, and says that it was delivered before",
    () =>
      Effect.gen(function* () {
        const server = yield* Server
        yield* Effect.scoped(
          Effect.gen(function* () {
            const { link, store } = yield* stores.open(server.url())
            yield* store.put("held", [stores.put('"m"', "held", 6)])
            assert.lengthOf(yield* store.take(["held"], 1), 1)
            yield* link.cut
          })
        )
        yield* python(
          `
import time
connection = Connection(url, transport_options={"visibility_timeout": 0.1})
time.sleep(0.2)
channel = connection.channel()
channel.qos.restore_visible()
`,
          server.url(),
          "held"
        )
        // Kombu 5.2 puts it into the list of priority 0 (kombu#2026); in the message its priority is what it was.
        assert.strictEqual(yield* server.command("LLEN", "held"), 1)
        const { store } = yield* stores.open(server.url())
        const [again] = yield* store.take(["held"], 2)
        assert.deepStrictEqual(
          [stores.text(again!), again!.redelivered, again!.message.properties.priority],
          ['"m"', true, 6]
        )
        yield* store.settle([again!.tag])
      })
  )

  it.effect(`leaves alone what we hold ${timeouts} times longer than the visibility timeout`, () =>
    Effect.gen(function* () {
      const server = yield* Server
      const visibility = 1500
      const said = yield* renewed(visibility, (attempt) =>
        Effect.gen(function* () {
          const queue = `long-${attempt}`
          const { store } = yield* stores.open(server.url(), { visibilityTimeout: visibility })
          yield* store.put(queue, [stores.put("1", queue)])
          const [held] = yield* store.take([queue], 1)
          const said = yield* python(
            `
import time
connection = Connection(url, transport_options={"visibility_timeout": ${visibility / 1000}})
channel = connection.channel()
end = time.time() + ${(visibility / 1000) * timeouts}
while time.time() < end:
    channel.qos.restore_visible(interval=1)
    time.sleep(0.05)
print(channel.client.llen(name))
`,
            server.url(),
            queue
          )
          yield* store.settle([held!.tag])
          yield* stores.until(Effect.map(server.command("ZCARD", "unacked_index"), (count) => count === 0))
          return said.trim()
        })
      )
      assert.strictEqual(said, "0")
    })
  )

  it.effect("dies with what it popped and noted, and we restore that when its visibility timeout is over", () =>
    Effect.gen(function* () {
      const server = yield* Server
      yield* python(
        `
queue = connection.SimpleQueue(name)
queue.put({"n": 1}, priority=3)
queue.get(timeout=60)
sys.stdout.flush()
os._exit(0)
`,
        server.url(),
        "died"
      )
      const { store, sweep } = yield* stores.open(server.url(), { visibilityTimeout: "200 millis" })
      yield* stores.until(Effect.map(Effect.andThen(sweep, store.size("died")), (size) => size === 1))
      assert.strictEqual(yield* server.command("LLEN", "died\x06\x163"), 1)
      const [again] = yield* store.take(["died"], 2)
      assert.deepStrictEqual(
        [bodyOf(again!.message.body), again!.redelivered, again!.deliveryCount],
        [{ n: 1 }, true, 1]
      )
      yield* store.settle([again!.tag])
    })
  )
})
