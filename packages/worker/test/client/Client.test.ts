import { Connection } from "@apium/hub/Connection"
import * as Exchange from "@apium/hub/Exchange"
import { HubError } from "@apium/hub/HubError"
import * as Queue from "@apium/hub/Queue"
import * as Serializer from "@apium/hub/Serializer"
import * as Content from "@apium/protocol/kombu/Content"
import { msgpack } from "@apium/protocol/kombu/Msgpack"
import { Client } from "@apium/worker/client/Client"
import * as Profile from "@apium/worker/Profile"
import * as Task from "@apium/worker/task/Task"
import { Tasks } from "@apium/worker/task/Tasks"
import { assert, describe } from "@effect/vitest"
import { Duration, Effect, Exit, Layer, Schema } from "effect"
import { TestClock } from "effect/testing"
import { fixture, inflate } from "../../../protocol/test/support/Captures.ts"
import { bodyOf, ended, headers, idsOf, inject, json, start, takeAll, test, waiting } from "../support/World.ts"

type Fields = Readonly<Record<string, unknown>>

interface Published {
  readonly exchange: string
  readonly routingKey: string
  readonly properties: Fields
  readonly headers: Fields
  readonly bodyText: string
}

const captured = (name: string): Published =>
  (fixture(`5.6.3/tasks-amqp/${name}.json`) as { readonly published: ReadonlyArray<Published> }).published[0]!

/** The type of a value on the wire, the same for Python's and for ours. */
const shape = (value: unknown): unknown => {
  if (value === null) return "null"
  if (Array.isArray(value)) return value.map(shape)
  if (typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, shape(item)]))
  }
  return typeof value === "bigint" ? "number" : typeof value
}

const sortedKeys = (value: Fields): ReadonlyArray<string> => Object.keys(value).toSorted()

const properties: Readonly<Record<string, string>> = {
  contentType: "content_type",
  contentEncoding: "content_encoding",
  deliveryMode: "delivery_mode",
  priority: "priority",
  correlationId: "correlation_id",
  replyTo: "reply_to",
  expiration: "expiration"
}

const add = Task.make("wire.add", { params: { x: Schema.Number, y: Schema.Number }, result: Schema.Number })
const echo = Task.raw("wire.echo")

/** Lets the broker drop what is too late, as Celery's messages do. */
const dropping = Effect.provide(Client.layerWith({ profile: { ...Profile.durable, expiry: "broker" } }))

/** The one message in a queue, taken. */
const sent = (queue = "celery") =>
  Effect.gen(function* () {
    const [delivery, ...others] = yield* takeAll(queue)
    assert.isDefined(delivery, "nothing was sent")
    assert.deepStrictEqual(others, [])
    return delivery
  })

describe("a message", () => {
  const cases = [
    ["kwargs", {}],
    ["countdown", { countdown: "30 seconds" }],
    ["eta", { eta: new Date("2031-05-06T07:08:09.123Z") }],
    ["expires_seconds", { expires: "1 minute" }],
    ["shadow", { shadow: "shadow.name" }],
    ["priority", { priority: 5 }],
    ["ignore_result", { ignoreResult: true }],
    ["custom_headers", { headers: { "x-trace": "abc", n: 7, nested: { a: [1] } } }]
  ] as const
  for (const [name, options] of cases) {
    test(
      `has the keys and types of the one Celery 5.6.3 sends: ${name}`,
      Effect.gen(function* () {
        const python = captured(name)
        const client = yield* Client
        const [args, kwargs] = JSON.parse(python.bodyText) as [Array<number>, Record<string, number>]
        yield* TestClock.setTime(1_700_000_000_123)
        const result = yield* client.sendTask(String(python.headers.task), args, kwargs, options)
        // What is not due yet is in the broker, and not in the queue.
        if ("countdown" in options || "eta" in options) yield* TestClock.setTime(2_000_000_000_000)
        const delivery = yield* sent()
        const { headers } = delivery.message
        assert.deepStrictEqual(sortedKeys(headers), sortedKeys(python.headers))
        assert.deepStrictEqual(shape(headers), shape(python.headers))
        for (const key of ["task", "retries", "timelimit", "argsrepr", "kwargsrepr", "ignore_result", "shadow"]) {
          assert.deepStrictEqual(headers[key], python.headers[key], key)
        }
        assert.strictEqual(headers.lang, "js")
        assert.strictEqual(headers.id, result.id)
        assert.strictEqual(headers.root_id, result.id)
        assert.match(String(headers.origin), /^gen\d+@.+/)
        assert.deepStrictEqual(yield* bodyOf(delivery), JSON.parse(python.bodyText))
        const ours = Object.entries(delivery.message.properties).filter(([, value]) => value !== undefined)
        assert.deepStrictEqual(
          ours.map(([key]) => String(properties[key])).toSorted(),
          Object.keys(python.properties).toSorted()
        )
        assert.strictEqual(delivery.message.properties.correlationId, result.id)
        assert.strictEqual(delivery.message.properties.deliveryMode, "persistent")
        assert.strictEqual(delivery.message.properties.priority, python.properties.priority)
        assert.strictEqual(delivery.message.properties.expiration, python.properties.expiration)
        assert.deepStrictEqual(delivery.route, { exchange: "", routingKey: "celery" })
      }).pipe(dropping)
    )
  }

  test(
    "says times as ISO 8601 with +00:00, and the expiration in milliseconds",
    Effect.gen(function* () {
      yield* TestClock.setTime(1_700_000_000_123)
      yield* add.applyAsync({ x: 1, y: 2 }, { expires: "1 minute" })
      const one = yield* sent()
      assert.strictEqual(one.message.headers.expires, "2023-11-14T22:14:20.123000+00:00")
      assert.strictEqual(one.message.properties.expiration, "60000")
      yield* add.applyAsync({ x: 1, y: 2 }, { expires: new Date(1_800_000_000_000), eta: new Date(1_600_000_000_000) })
      const two = yield* sent()
      assert.strictEqual(two.message.headers.expires, "2027-01-15T08:00:00+00:00")
      assert.strictEqual(two.message.headers.eta, "2020-09-13T12:26:40+00:00")
      yield* add.applyAsync({ x: 1, y: 2 }, { countdown: "2 seconds" })
      assert.strictEqual(yield* waiting("celery"), 0)
      yield* TestClock.adjust("1999 millis")
      assert.strictEqual(yield* waiting("celery"), 0)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual((yield* sent()).message.headers.eta, "2023-11-14T22:13:22.123000+00:00")
    }).pipe(dropping)
  )

  test(
    "carries a typed payload as keywords, with Dates, bytes and big integers as kombu writes them",
    Effect.gen(function* () {
      const typed = Task.make("wire.typed", {
        params: { at: Schema.Date, data: Schema.Uint8Array, big: Schema.BigInt, left: Schema.optional(Schema.Number) }
      })
      yield* typed.delay({ at: new Date(0), data: Uint8Array.of(1, 255), big: 2n ** 70n, left: undefined })
      const delivery = yield* sent()
      const text = new TextDecoder().decode(delivery.message.body)
      const kwargs =
        '{"at": {"__type__": "datetime", "__value__": "1970-01-01T00:00:00+00:00"}, ' +
        '"data": {"__type__": "base64", "__value__": "Af8="}, "big": 1180591620717411303424}'
      assert.strictEqual(text, `[[], ${kwargs}, {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]`)
    })
  )

  test(
    "cannot be made to lie about itself by a header of the application's",
    Effect.gen(function* () {
      const result = yield* add.applyAsync(
        { x: 1, y: 2 },
        { headers: { id: "other", task: "other", retries: 7, compression: "application/x-gzip", mine: 1 } }
      )
      const { headers } = (yield* sent()).message
      assert.deepStrictEqual(
        [headers.id, headers.task, headers.retries, headers.compression, headers.mine],
        [result.id, "wire.add", 0, undefined, 1]
      )
    })
  )

  test(
    "is compressed as kombu's zlib, and says so in a header",
    Effect.gen(function* () {
      const client = yield* Client
      yield* client.sendTask("wire.echo", ["z".repeat(1000)], {}, { compression: "zlib" })
      const { message } = yield* sent()
      assert.strictEqual(message.headers.compression, captured("compression_zlib").headers.compression)
      assert.strictEqual(message.body[0], 0x78)
      const body = JSON.parse(new TextDecoder().decode(yield* Effect.promise(() => inflate(message.body)))) as unknown
      assert.deepStrictEqual((body as ReadonlyArray<unknown>)[0], ["z".repeat(1000)])
    })
  )

  test(
    "has the id it is given, and the options of its task",
    Effect.gen(function* () {
      const task = Task.make("wire.options", {
        params: {},
        queue: "wire.other",
        priority: 4,
        expires: "5 seconds",
        ignoreResult: true
      })
      const result = yield* task.applyAsync({}, { taskId: "my-id" })
      const { message } = yield* sent("wire.other")
      assert.strictEqual(result.id, "my-id")
      assert.deepStrictEqual(
        [message.headers.id, message.headers.root_id, message.properties.correlationId],
        ["my-id", "my-id", "my-id"]
      )
      assert.deepStrictEqual(
        [message.properties.priority, message.properties.expiration, message.headers.ignore_result],
        [4, "5000", true]
      )
      // What a send says goes before what the task says.
      yield* task.applyAsync({}, { priority: 1, expires: "1 second", ignoreResult: false, queue: "wire.third" })
      const own = (yield* sent("wire.third")).message
      assert.deepStrictEqual(
        [own.properties.priority, own.properties.expiration, own.headers.ignore_result],
        [1, "1000", false]
      )
    }).pipe(dropping)
  )

  test(
    "one client has one reply address, another has another",
    Effect.gen(function* () {
      yield* add.delay({ x: 1, y: 2 })
      yield* add.delay({ x: 1, y: 2 })
      yield* Effect.provide(add.delay({ x: 1, y: 2 }), Client.layerWith({}))
      const [one, two, three] = (yield* takeAll("celery")).map(({ message }) => message.properties.replyTo)
      assert.strictEqual(one, two)
      assert.notStrictEqual(one, three)
    })
  )
})

describe("where it goes", () => {
  test(
    "a queue brings its exchange and its binding, all of one name",
    Effect.gen(function* () {
      yield* add.applyAsync({ x: 1, y: 2 }, { queue: "wire.other" })
      const connection = yield* Connection
      const seen = yield* sent("wire.other")
      assert.deepStrictEqual(seen.route, { exchange: "", routingKey: "wire.other" })
      // The exchange and the binding are there, as Celery makes them: what is published through them arrives.
      yield* connection.use((channel) =>
        Effect.andThen(
          channel.exchangeDeclare(Exchange.direct("wire.other")),
          channel.publish(seen.message, { exchange: "wire.other", routingKey: "wire.other", mandatory: true })
        )
      )
      yield* sent("wire.other")
    })
  )

  test(
    "a queue the client was told of is declared as it was told",
    Effect.gen(function* () {
      const own = Queue.priority(9)(Queue.make("wire.own"))
      const client = Effect.provide(Client, Client.layerWith({ queues: [own], defaultQueue: "wire.own" }))
      yield* (yield* client).send(add, { x: 1, y: 2 })
      const connection = yield* Connection
      yield* connection.use((channel) => channel.queueDeclare(own))
      yield* sent("wire.own")
    })
  )

  test(
    "an exchange declares nothing, and one that routes nowhere fails with Returned",
    Effect.gen(function* () {
      const connection = yield* Connection
      const exchange = Exchange.topic("wire.topic")
      const toIt = { exchange: "wire.topic", routingKey: "a.b" }
      const missing = yield* Effect.flip(add.applyAsync({ x: 1, y: 2 }, toIt))
      assert.instanceOf(missing, HubError)
      assert.strictEqual(missing.reason._tag, "ChannelClosed")
      yield* connection.declare({ exchanges: [exchange] })
      const unroutable = yield* Effect.flip(add.applyAsync({ x: 1, y: 2 }, toIt))
      assert.instanceOf(unroutable, HubError)
      assert.strictEqual(unroutable.reason._tag, "Returned")
      assert.strictEqual(yield* waiting("a.b"), -1)
      assert.strictEqual(yield* waiting("celery"), -1)
      yield* connection.declare({ queues: [Queue.bindTo(exchange, "a.*")(Queue.make("wire.bound"))] })
      yield* add.applyAsync({ x: 1, y: 2 }, toIt)
      assert.deepStrictEqual((yield* sent("wire.bound")).route, { exchange: "wire.topic", routingKey: "a.b" })
    })
  )

  test(
    "a publish that was refused leaves the client working",
    Effect.gen(function* () {
      yield* Effect.flip(add.applyAsync({ x: 1, y: 2 }, { exchange: "no.such", routingKey: "x" }))
      yield* add.delay({ x: 1, y: 2 })
      yield* sent()
    })
  )
})

describe("a task sent by a handler", () => {
  test(
    "is of the handler's tree: its root is the handler's, and its parent is the handler's task",
    Effect.gen(function* () {
      const parent = Task.make("wire.parent", { params: {}, result: Schema.Array(Schema.String) })
      const handler = Tasks.handle(parent, () =>
        Effect.gen(function* () {
          const client = yield* Client
          const one = yield* add.applyAsync({ x: 1, y: 2 }, { queue: "wire.children" })
          const many = yield* client.sendAll(add, [{ x: 1, y: 2 }], { queue: "wire.children" })
          const byName = yield* client.sendTask("wire.add", [1, 2], {}, { queue: "wire.children" })
          return [one.id, ...many.map(({ id }) => id), byName.id]
        })
      )
      yield* start({}, Layer.provide(handler, Layer.succeed(Client, yield* Client)))
      yield* inject(json("[[], {}, null]", headers("wire.parent", "p1", { root_id: "r1" })))
      const { result } = yield* ended("p1")
      const children = yield* takeAll("wire.children")
      assert.deepStrictEqual<unknown>(idsOf(children), result)
      assert.deepStrictEqual(
        children.map(({ message }) => [message.headers.root_id, message.headers.parent_id]),
        [1, 2, 3].map(() => ["r1", "p1"])
      )
    })
  )
})

describe("many at once", () => {
  test(
    "sendAll sends one batch in order, each with an id of its own",
    Effect.gen(function* () {
      const client = yield* Client
      const payloads = Array.from({ length: 500 }, (_, x) => ({ x, y: 0 }))
      const results = yield* client.sendAll(add, payloads)
      const deliveries = yield* takeAll("celery")
      assert.deepStrictEqual(
        deliveries.map(({ message }) => message.headers.id),
        results.map(({ id }) => id)
      )
      assert.strictEqual(new Set(results.map(({ id }) => id)).size, 500)
      const [, kwargs] = (yield* bodyOf(deliveries[321]!)) as [unknown, unknown]
      assert.deepStrictEqual(kwargs, { x: 321, y: 0 })
      assert.deepStrictEqual(yield* client.sendAll(add, []), [])
    })
  )

  test(
    "one payload that does not fit stops the whole batch before anything is sent",
    Effect.gen(function* () {
      const client = yield* Client
      const bad = { x: "text" } as unknown as { readonly x: number; readonly y: number }
      const error = yield* Effect.flip(client.sendAll(add, [{ x: 1, y: 2 }, bad]))
      assert.isTrue(Schema.isSchemaError(error))
      assert.strictEqual(yield* waiting("celery"), -1)
    })
  )
})

describe("what cannot be sent", () => {
  test(
    "a payload the definition refuses is a SchemaError, and nothing is declared or sent",
    Effect.gen(function* () {
      const error = yield* Effect.flip(add.delay({ x: "1" } as unknown as { readonly x: number; readonly y: number }))
      assert.isTrue(Schema.isSchemaError(error))
      assert.strictEqual(yield* waiting("celery"), -1)
    })
  )

  test(
    "a time that is none is a typed error",
    Effect.gen(function* () {
      for (const options of [
        { eta: new Date("rubbish") },
        { expires: new Date(Number.NaN) },
        { eta: new Date(8.64e15) },
        { countdown: Duration.infinity },
        { expires: Duration.infinity }
      ]) {
        const exit = yield* Effect.exit(add.applyAsync({ x: 1, y: 2 }, options))
        assert.isTrue(Exit.hasFails(exit), JSON.stringify(options))
        const error = yield* Effect.flip(add.applyAsync({ x: 1, y: 2 }, options))
        assert.instanceOf(error, HubError)
        assert.match(error.message, /eta|expires/)
      }
      assert.strictEqual(yield* waiting("celery"), -1)
    })
  )

  test(
    "a value no serializer can write is a typed error",
    Effect.gen(function* () {
      const client = yield* Client
      const circular: Array<unknown> = []
      circular.push(circular)
      for (const value of [circular, Symbol("s"), () => 1, new Date(Number.NaN)]) {
        const exit = yield* Effect.exit(client.sendTask("t", [value as unknown as number], {}))
        assert.isTrue(Exit.hasFails(exit), typeof value)
      }
      const serializer = yield* Effect.exit(client.sendTask("t", [], {}, { serializer: "pickle" }))
      const compression = yield* Effect.exit(client.sendTask("t", [], {}, { compression: "no-such" }))
      assert.isTrue(Exit.hasFails(serializer) && Exit.hasFails(compression))
    })
  )

  let signatures = 0
  const signing: Serializer.EffectSerializer = {
    name: "auth",
    contentType: "application/data",
    contentEncoding: "utf-8",
    encode: () => Effect.sync(() => Uint8Array.of(++signatures)),
    decode: () => Effect.succeed(undefined)
  }
  let nonce = 0
  const sealing: Content.Serializer = {
    name: "sealed",
    contentType: "application/x-sealed",
    contentEncoding: "binary",
    encode: () => Uint8Array.of(++nonce),
    decode: () => undefined
  }
  const written: Serializer.Registry = {
    ...Content.registry([Content.json, msgpack, sealing]),
    effects: new Map([[signing.name, signing]])
  }

  test(
    "calls without arguments have the body and the type of the serializer each is sent with, and a signature of their own",
    Effect.gen(function* () {
      const client = yield* Client
      for (const serializer of ["json", "msgpack", "auth", "json", "msgpack", "auth"]) {
        yield* client.sendTask("t", [], {}, { serializer })
      }
      yield* client.sendTask("t", [], { x: 1 })
      yield* client.sendTask("t", [1], {})
      yield* client.sendTask("t", [], {}, { link: add.s({ x: 1, y: 2 }) })
      const messages = (yield* takeAll("celery")).map(({ message }) => message)
      const embed = { callbacks: null, errbacks: null, chain: null, chord: null }
      const empty = [[], {}, embed]
      const bodies = messages.map(({ body, properties: { contentEncoding, contentType } }) =>
        contentType === signing.contentType
          ? body[0]
          : Content.decodeUnsafe(written, body, contentType, contentEncoding)
      )
      assert.notDeepEqual(bodies.pop(), empty)
      assert.deepStrictEqual(bodies, [empty, empty, 1, empty, empty, 2, [[], { x: 1 }, embed], [[1], {}, embed]])
      assert.deepStrictEqual(
        messages.slice(0, 6).map(({ properties }) => properties.contentType),
        Array.from({ length: 2 }, () => ["application/json", "application/x-msgpack", "application/data"]).flat()
      )
    }).pipe(Effect.provide(Layer.provide(Client.layerWith({}), Layer.succeed(Serializer.Serializers, written))))
  )

  test(
    "calls without arguments are written anew by a serializer of one's own, which may not write the same twice",
    Effect.gen(function* () {
      const client = yield* Client
      for (const x of [1, 2]) yield* client.sendTask(`t${x}`, [], {}, { serializer: sealing.name })
      const bodies = (yield* takeAll("celery")).map(({ message }) => message.body[0])
      assert.deepStrictEqual(bodies, [1, 2])
    }).pipe(Effect.provide(Layer.provide(Client.layerWith({}), Layer.succeed(Serializer.Serializers, written))))
  )

  test(
    "a task that expired before it was sent has no negative expiration",
    Effect.gen(function* () {
      yield* TestClock.setTime(1_700_000_000_000)
      yield* add.applyAsync({ x: 1, y: 2 }, { expires: Duration.millis(-5000) })
      const [delivery] = yield* takeAll("celery")
      assert.isTrue(delivery === undefined || Number(delivery.message.properties.expiration) >= 0)
    }).pipe(dropping)
  )

  test(
    "in the durable profile nobody drops what is too late without a word: a worker revokes it",
    Effect.gen(function* () {
      const result = yield* add.applyAsync({ x: 1, y: 2 }, { expires: "1 second" })
      yield* TestClock.adjust("1 minute")
      yield* start(
        {},
        Tasks.handle(add, ({ x, y }) => Effect.succeed(x + y))
      )
      assert.deepInclude(yield* Effect.flip(result.get), { state: "REVOKED", excType: "TaskRevokedError" })
    })
  )
})

describe("by name, and raw", () => {
  test(
    "sendTask and Task.raw send what they are given",
    Effect.gen(function* () {
      const client = yield* Client
      yield* client.sendTask("wire.add", [1], { y: 2 })
      yield* echo.delay({ args: [1], kwargs: { y: 2 } })
      const [one, two] = yield* takeAll("celery")
      assert.deepStrictEqual(yield* bodyOf(one!), yield* bodyOf(two!))
      assert.deepStrictEqual((yield* bodyOf(one!)) as ReadonlyArray<unknown>, [
        [1],
        { y: 2 },
        { callbacks: null, errbacks: null, chain: null, chord: null }
      ])
      assert.strictEqual(one!.message.headers.argsrepr, "(1,)")
      const wrong = yield* Effect.flip(
        echo.delay({ args: "no", kwargs: {} } as unknown as Task.PayloadOf<typeof echo.params>)
      )
      assert.isTrue(Schema.isSchemaError(wrong))
    })
  )

  test(
    "a parameter named __proto__ arrives like any other",
    Effect.gen(function* () {
      const odd = Task.make("wire.odd", { params: { ["__proto__"]: Schema.Number, constructor: Schema.Number } })
      const payload = Object.defineProperty({ constructor: 2 }, "__proto__", { value: 1, enumerable: true })
      yield* odd.delay(payload as unknown as Task.PayloadOf<typeof odd.params>)
      const text = new TextDecoder().decode((yield* sent()).message.body)
      assert.include(text, '"__proto__":1')
      assert.include(text, '"constructor":2')
    })
  )
})
