/** A fleet of Debian's kombu and us on the same keys: options, bodies, and what either gives back. */
import { Connection } from "@apium/hub/Connection"
import * as Consumer from "@apium/hub/Consumer"
import * as Exchange from "@apium/hub/Exchange"
import * as Message from "@apium/hub/Message"
import * as HubQueue from "@apium/hub/Queue"
import { assert, layer } from "@effect/vitest"
import { Effect, Option, Queue, Stream } from "effect"
import * as Python from "../../../test/support/Python.ts"
import { Redis as Server } from "../../../test/support/Redis.ts"
import { encoded, head, json, python, take, textOf, withUs } from "./support/kombu.ts"
import * as stores from "./support/stores.ts"

const keys = Effect.flatMap(Server, ({ command }) =>
  Effect.map(command("KEYS", "*"), (all) => [...(all as ReadonlyArray<string>)].toSorted())
)

layer(Server.layer(), { excludeTestServices: true })("a mixed fleet", (it) => {
  it.effect("puts each priority into the same list", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const lengths = (name: string) =>
        Effect.forEach(["", "\x06\x163", "\x06\x166", "\x06\x169"], (list) => server.command("LLEN", name + list))
      yield* python(`
queue = connection.SimpleQueue("priorities-theirs")
for priority in range(11):
    queue.put(priority, priority=priority)
queue.close()
`)
      yield* withUs(
        {},
        Effect.flatMap(Connection, (connection) =>
          connection.publishAll(
            Array.from({ length: 11 }, (_, priority) => [
              Message.make(encoded(priority), { ...json, priority }),
              { exchange: "", routingKey: "priorities-ours" }
            ])
          )
        )
      )
      const theirs = yield* lengths("priorities-theirs")
      assert.deepStrictEqual(theirs, [3, 3, 3, 2])
      assert.deepStrictEqual(yield* lengths("priorities-ours"), theirs)
      yield* server.command("FLUSHALL")
    })
  )

  for (const options of [
    { fanoutPrefix: true, fanoutPatterns: true },
    { fanoutPrefix: "/other.", fanoutPatterns: true },
    { fanoutPrefix: true, fanoutPatterns: false },
    { fanoutPrefix: false, fanoutPatterns: false }
  ]) {
    it.effect(
      `hears each other with fanout_prefix ${String(options.fanoutPrefix)} and fanout_patterns ${options.fanoutPatterns}`,
      () =>
        Effect.gen(function* () {
          const server = yield* Server
          const exchange = Exchange.fanout("told")
          const theirOptions = { fanout_prefix: options.fanoutPrefix, fanout_patterns: options.fanoutPatterns }
          const listener = yield* Python.start(
            `${head}
def heard(body, message):
    message.ack()
    print("heard", body)
queue = Queue("told-theirs", Exchange("told", "fanout"), routing_key="task.#", auto_delete=True)
with Consumer(connection, [queue], callbacks=[heard]):
    listening = False
    while True:
        try:
            connection.drain_events(timeout=0.1)
        except Exception:
            pass
        if not listening:
            listening = True
            print("listening")
`,
            { args: [server.url(), JSON.stringify(theirOptions)] }
          )
          yield* listener.line("listening")
          yield* withUs(
            options,
            Effect.gen(function* () {
              const connection = yield* Connection
              const received = yield* Queue.unbounded<string>()
              const queue = HubQueue.make("told-ours", {
                autoDelete: true,
                bindings: [{ exchange, routingKey: "task.#", arguments: {} }]
              })
              yield* Consumer.stream([queue]).pipe(
                Stream.runForEach((delivery) =>
                  Effect.andThen(Queue.offer(received, textOf(delivery.message.body)), delivery.ack)
                ),
                Effect.forkScoped
              )
              // Theirs and ours have the same pattern.
              yield* stores.until(
                Effect.map(
                  server.command("CLIENT", "LIST", "TYPE", "pubsub"),
                  (clients) => String(clients).split(" psub=1 ").length === 3
                )
              )
              for (const routingKey of ["task.sent", "worker.online"]) {
                yield* connection.publish(Message.make(encoded(`ours to ${routingKey}`), json), {
                  exchange: "told",
                  routingKey
                })
              }
              yield* python(
                `
told = Exchange("told", "fanout")
with connection.Producer(serializer="json") as producer:
    for key in ("worker.online", "task.sent"):
        producer.publish("theirs to " + key, exchange=told, routing_key=key, declare=[told])
`,
                theirOptions
              )
              const all = [
                "ours to task.sent",
                "ours to worker.online",
                "theirs to worker.online",
                "theirs to task.sent"
              ]
              // Without patterns a channel has no routing key, and everybody hears all.
              const expected = options.fanoutPatterns ? all.filter((text) => text.endsWith("task.sent")) : all
              const ours = yield* Effect.forEach(expected, () => Queue.take(received))
              assert.deepStrictEqual(
                ours.map((text) => JSON.parse(text) as unknown),
                expected
              )
              yield* listener.line(`heard ${expected.at(-1)!}`)
              const theirs = listener.lines().filter((line) => line.startsWith("heard "))
              assert.deepStrictEqual(
                theirs.map((line) => line.slice(6)),
                expected
              )
              yield* listener.kill
            }).pipe(Effect.scoped)
          )
          yield* server.command("FLUSHALL")
        })
    )
  }

  it.effect("with a global_keyprefix has all its keys and channels under it", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const theirs = { global_keyprefix: "{one}" }
      const direct = Exchange.direct("prefixed")
      const queue = HubQueue.make("prefixed", { bindings: [{ exchange: direct, routingKey: "k", arguments: {} }] })
      yield* withUs(
        { globalKeyprefix: "{one}" },
        Effect.gen(function* () {
          const connection = yield* Connection
          yield* connection.declare({ queues: [queue] })
          yield* python(
            `
with connection.Producer(serializer="json") as producer:
    producer.publish("from kombu", exchange=Exchange("prefixed", "direct"), routing_key="k", priority=4)
`,
            theirs
          )
          assert.strictEqual(yield* server.command("LLEN", "{one}prefixed\x06\x163"), 1)
          assert.strictEqual(textOf((yield* take("prefixed")).message.body), '"from kombu"')
          yield* connection.publish(Message.make(encoded("from us"), json), { exchange: "prefixed", routingKey: "k" })
          const said = yield* python(
            `
queue = connection.SimpleQueue("prefixed")
message = queue.get(timeout=60)
print(message.payload, len(connection.default_channel.client.zrevrangebyscore("unacked_index", "+inf", 0)))
message.ack()
queue.close()
`,
            theirs
          )
          assert.strictEqual(said.trim(), "from us 1")
        })
      )
      for (const key of yield* keys) assert.match(key, /^\{one\}/)
      yield* server.command("FLUSHALL")
    })
  )

  it.effect("carries any body both ways: text beyond ASCII, 200 kB, octets", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const octets = Uint8Array.from({ length: 256 * 4 }, (_, index) => index)
      const bodies = [
        Message.make(new TextEncoder().encode('{"é🌱\u2028": "ü\u0000"}'), json, { ключ: "значение 🌱" }),
        Message.make(encoded("x".repeat(200_000)), json),
        Message.make(octets, { contentType: "application/data", contentEncoding: "binary" }),
        Message.make(new Uint8Array(0), { contentType: "application/data", contentEncoding: "binary" })
      ]
      yield* withUs(
        {},
        Effect.gen(function* () {
          const connection = yield* Connection
          yield* connection.publishAll(bodies.map((body) => [body, { exchange: "", routingKey: "bodies-out" }]))
          // As it came: kombu decodes, and encodes again.
          yield* python(`
channel = connection.channel()
for _ in range(${bodies.length}):
    message = Queue("bodies-out")(channel).get(accept=["application/json", "application/data"])
    body = message.body if isinstance(message.body, bytes) else message.body.encode("utf-8")
    sent = channel.prepare_message(body, content_type=message.content_type, content_encoding=message.content_encoding, headers=message.headers)
    channel.basic_publish(sent, exchange="", routing_key="bodies-back")
    message.ack()
`)
          for (const { body, headers, properties } of bodies) {
            const { message } = yield* take("bodies-back")
            assert.deepStrictEqual(message.body, body)
            assert.deepStrictEqual(message.headers, headers)
            assert.strictEqual(message.properties.contentType, properties.contentType)
          }
        })
      )
      assert.strictEqual(yield* server.command("HLEN", "unacked"), 0)
    })
  )

  it.effect("says to each other that a message comes again, and how often as far as it is known", () =>
    Effect.gen(function* () {
      const server = yield* Server
      yield* withUs(
        {},
        Effect.gen(function* () {
          const connection = yield* Connection
          const get = connection.use((channel) => channel.get("again"))
          yield* python(`
queue = connection.SimpleQueue("again")
queue.put("m", priority=6)
queue.get(timeout=60).requeue()
queue.close()
`)
          // Kombu has said that it comes again, and not how often.
          yield* connection.use((channel) =>
            Effect.gen(function* () {
              const first = Option.getOrThrow(yield* channel.get("again"))
              assert.deepStrictEqual([first.redelivered, first.deliveryCount], [true, Option.some(1)])
              assert.notProperty(first.message.headers, "redelivered")
              yield* first.reject({ requeue: true })
              const second = Option.getOrThrow(yield* channel.get("again"))
              assert.deepStrictEqual([second.redelivered, second.deliveryCount], [true, Option.some(2)])
              // Nobody has looked at it: it counts for nothing.
              yield* second.release
            })
          )
          const said = yield* python(`
queue = connection.SimpleQueue("again")
message = queue.get(timeout=60)
print(json.dumps([message.payload, message.headers["redelivered"], message.delivery_info["redelivered"], message.properties["priority"]]))
message.requeue()
queue.close()
`)
          assert.deepStrictEqual(JSON.parse(said), ["m", true, true, 6])
          const last = Option.getOrThrow(yield* get)
          assert.deepStrictEqual(last.deliveryCount, Option.some(2))
          yield* last.ack
        })
      )
      yield* server.command("FLUSHALL")
    })
  )

  it.effect("does not count what was given back unseen", () =>
    withUs(
      {},
      Effect.gen(function* () {
        const connection = yield* Connection
        yield* connection.publish(Message.make(encoded(1), json), { exchange: "", routingKey: "unseen" })
        for (let turn = 0; turn < 3; turn++) {
          yield* connection.use((channel) =>
            Effect.gen(function* () {
              const delivery = Option.getOrThrow(yield* channel.get("unseen"))
              assert.deepStrictEqual([delivery.redelivered, delivery.deliveryCount], [turn > 0, Option.some(0)])
              yield* delivery.release
            })
          )
        }
        yield* take("unseen")
      })
    )
  )

  it.effect(
    "leaves to kombu what it holds until the visibility timeout is over, and gives it back then: to its priority, next in line",
    () =>
      Effect.gen(function* () {
        const server = yield* Server
        yield* python(`
queue = connection.SimpleQueue("theirs-held")
for n in (1, 2):
    queue.put(n, priority=6)
queue.get(timeout=60)
sys.stdout.flush()
os._exit(0)
`)
        const patient = yield* stores.open(server.url())
        for (let look = 0; look < 5; look++) assert.strictEqual(yield* patient.sweep, 0)
        assert.strictEqual(yield* server.command("HLEN", "unacked"), 1)
        const { store, sweep } = yield* stores.open(server.url(), { visibilityTimeout: "300 millis" })
        yield* stores.until(Effect.map(Effect.andThen(sweep, store.size("theirs-held")), (size) => size === 2))
        assert.strictEqual(yield* server.command("LLEN", "theirs-held\x06\x166"), 2)
        const taken = yield* store.take(["theirs-held"], 2)
        assert.deepStrictEqual(
          taken.map((one) => [stores.text(one), one.redelivered, one.deliveryCount]),
          [
            ["1", true, 1],
            ["2", false, 0]
          ]
        )
        yield* store.settle(taken.map(({ tag }) => tag))
      })
  )
})
