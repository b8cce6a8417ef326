/** How messages are written and read by configuration: serializers, compressions and signatures, from Celery's keys to a worker that runs them. */
import { Connection } from "@apium/hub/Connection"
import * as MemoryTransport from "@apium/hub/memory/MemoryTransport"
import type { Message } from "@apium/hub/Message"
import * as Serializer from "@apium/hub/Serializer"
import { msgpack } from "@apium/protocol/kombu/Msgpack"
import * as MemoryBackend from "@apium/worker/client/backends/MemoryBackend"
import { Client } from "@apium/worker/client/Client"
import { queueNamed } from "@apium/worker/client/Publisher"
import { ResultBackend } from "@apium/worker/client/ResultBackend"
import * as Configuration from "@apium/worker/Configuration"
import * as Control from "@apium/worker/control/Control"
import * as EventReceiver from "@apium/worker/events/EventReceiver"
import { layerMessages } from "@apium/worker/node"
import * as Task from "@apium/worker/task/Task"
import { Tasks } from "@apium/worker/task/Tasks"
import * as Worker from "@apium/worker/Worker"
import { assert, describe, it, layer } from "@effect/vitest"
import { Context, Effect, Fiber, Layer, Logger, Option, Result, Schema, Stream } from "effect"
import * as Certificates from "../../../test/support/Certificates.ts"
import { until } from "../../../test/support/Figures.ts"
import * as Server from "../../../test/support/Server.ts"

const decode = (input: Record<string, unknown>) => Result.getOrThrow(Configuration.decode(input))

const refused = (input: Record<string, unknown>): string => {
  const found = Configuration.decode(input)
  return Result.isFailure(found) ? found.failure.message : assert.fail("it was taken")
}

const files = { security_key: "k", security_certificate: "c", security_cert_store: "s" }
const signed = { task_serializer: "auth", accept_content: ["auth"] }

describe("the settings of messages", () => {
  it("are options of Serializer.layer, and files", () => {
    const configuration = decode({
      accept_content: ["json", "application/x-yaml"],
      task_serializer: "json",
      task_compression: "gzip"
    })
    assert.deepStrictEqual(Configuration.content(configuration), {
      accept: ["json", "application/x-yaml"],
      serializer: "json",
      compression: "gzip"
    })
    assert.isUndefined(Configuration.security(configuration))
    assert.deepStrictEqual(Configuration.content(decode({})), {})
    assert.deepStrictEqual(Configuration.security(decode({ ...signed, ...files, security_digest: "sha512" })), {
      key: "k",
      certificate: "c",
      certStore: "s",
      digest: "sha512",
      keyPassword: undefined
    })
  })

  it.each([
    [{ accept_content: ["json", "pickle"] }, /^accept_content: pickle is refused always: .*task_serializer = 'json'/],
    [{ task_serializer: "application/x-python-serialize" }, /^task_serializer: pickle is refused always/],
    [{ accept_content: ["jason"] }, /^accept_content: .* Did you mean json\? There are json, msgpack, yaml, auth$/],
    [{ accept_content: "json" }, /^accept_content: it takes a list of serializers/],
    [{ accept_content: [] }, /^accept_content: it takes a list/],
    [{ accept_content: ["json", 5] }, /^accept_content: it takes a list/],
    [{ task_compression: "bzip2" }, /^task_compression: it takes zlib, gzip, zstd, zstandard, brotli$/],
    [{ security_digest: "md5" }, /^security_digest: it takes sha256, sha384, sha512$/],
    [signed, /^security_key: signed messages.*\nsecurity_certificate: .*\nsecurity_cert_store: /],
    [{ ...files, task_serializer: "auth" }, /^task_serializer: what is signed has to be verified/],
    [files, /^security_key: it is for signed messages alone: task_serializer = "auth"/]
  ])("that cannot be are refused: %o", (input, expected) => {
    assert.match(refused(input), expected)
  })
})

const add = Task.make("proj.add", { params: { x: Schema.Number, y: Schema.Number }, result: Schema.Number })

class Keys extends Context.Service<Keys, Readonly<Record<"ours" | "theirs", Certificates.Certificate>>>()("test/Keys") {
  static readonly layer = Layer.effect(
    Keys,
    Effect.gen(function* () {
      const folder = yield* Server.folder
      return {
        ours: yield* Certificates.selfSigned(folder, "ours"),
        theirs: yield* Certificates.selfSigned(folder, "theirs")
      }
    })
  )
}

const securedBy = ({ certificate, key }: Certificates.Certificate, trusted = certificate) => ({
  ...signed,
  security_key: key,
  security_certificate: certificate,
  security_cert_store: trusted
})

/** A worker and a client of this configuration, and what the client sent. */
const running = (input: Record<string, unknown>) =>
  Effect.gen(function* () {
    const configuration = decode({ ...input, broker_url: "memory://" })
    const sent: Array<Message> = []
    const connection = Layer.effect(
      Connection,
      Effect.map(Connection, (connection): Connection["Service"] => ({
        ...connection,
        publish: (message, ...more) => {
          sent.push(message)
          return connection.publish(message, ...more)
        }
      }))
    ).pipe(Layer.provideMerge(Connection.layer), Layer.provide(MemoryTransport.layer))
    const context = yield* Layer.build(
      Worker.layer({ queues: [queueNamed("celery")], concurrency: 1, name: "ours@here", events: true }).pipe(
        Layer.provide(Tasks.handle(add, ({ x, y }) => Effect.succeed(x + y))),
        Layer.provide(Tasks.layer),
        Layer.provideMerge(Client.layer),
        Layer.provideMerge(MemoryBackend.layer),
        Layer.provideMerge(connection),
        Layer.provideMerge(layerMessages(configuration)),
        Layer.provideMerge(Logger.layer([]))
      )
    )
    return { sent, context }
  })

const sum = Effect.flatMap(add.delay({ x: 2, y: 3 }), ({ get }) => get)

layer(Keys.layer, { excludeTestServices: true })("a worker and a client of one configuration", (it) => {
  it.effect("write and read msgpack, compressed as zstd", () =>
    Effect.gen(function* () {
      const { context, sent } = yield* running({
        accept_content: ["msgpack"],
        task_serializer: "msgpack",
        task_compression: "zstd"
      })
      assert.strictEqual(yield* Effect.provide(sum, context), 5)
      const task = sent.find(({ headers }) => headers["task"] === "proj.add")!
      assert.strictEqual(task.properties.contentType, msgpack.contentType)
      assert.strictEqual(task.headers["compression"], "application/zstd")
    })
  )

  it.effect("sign what they send and answer, whoever calls the client; and their events are JSON", () =>
    Effect.gen(function* () {
      const { context, sent } = yield* running(securedBy((yield* Keys).ours))
      const events = yield* EventReceiver.stream({ routingKey: "task.#" }).pipe(
        Stream.filter(({ type }) => type === "task-succeeded"),
        Stream.take(1),
        Stream.runDrain,
        Effect.provide(context),
        Effect.forkChild
      )
      const [node] = yield* Effect.provide(Control.ping({ limit: 1 }), context)
      assert.strictEqual(node?.node, "ours@here")
      // As from a fiber that has the client, and nothing of its layers.
      const client = Context.get(context, Client)
      const result = yield* client.sendTask("proj.add", [2, 3], {})
      assert.strictEqual(yield* result.get, 5)
      const task = sent.find(({ headers }) => headers["task"] === "proj.add")!
      assert.strictEqual(task.properties.contentType, "application/data")
      yield* Fiber.join(events)
    })
  )

  it.effect("do not execute what another signed, or nobody, and store nothing of it", () =>
    Effect.gen(function* () {
      const { ours, theirs } = yield* Keys
      const { context } = yield* running(securedBy(ours))
      const stranger = yield* Layer.build(layerMessages(decode(securedBy(theirs))))
      const connection = Context.get(context, Connection)
      for (const registry of [Context.get(stranger, Serializer.Serializers), yield* Serializer.Serializers]) {
        for (const task of ["proj.add", "proj.unknown"]) {
          const id = crypto.randomUUID()
          const message = yield* Serializer.encodeWith(registry, [[2, 3], {}, {}], {
            headers: { lang: "js", task, id, retries: 0, eta: null, expires: null }
          })
          yield* connection.publish(message, { exchange: "", routingKey: "celery" })
          yield* until(
            connection
              .use((channel) =>
                Effect.flatMap(channel.get("celery.dead"), (found) =>
                  Option.isNone(found) ? Effect.succeed(false) : Effect.as(found.value.ack, true)
                )
              )
              .pipe(Effect.orElseSucceed(() => false))
          )
          assert.isTrue(Option.isNone(yield* Context.get(context, ResultBackend).get(id)))
        }
      }
      assert.strictEqual(yield* Effect.provide(sum, context), 5)
    })
  )

  it.effect("start only with what can be read", () =>
    Effect.gen(function* () {
      const { ours, theirs } = yield* Keys
      const failure = (input: Record<string, unknown>) =>
        Effect.map(Effect.flip(Layer.build(layerMessages(decode(input)))), ({ message }) => message)
      assert.match(yield* failure({ ...securedBy(ours), security_key: theirs.key }), /is of another key/)
      assert.match(yield* failure({ ...securedBy(ours), security_cert_store: "/nowhere/at/all" }), /cannot be read/)
      assert.match(yield* failure({ accept_content: ["application/x-own"] }), /no serializer "application\/x-own"/)
    })
  )
})
