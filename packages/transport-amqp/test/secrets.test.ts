/** A password, a token and the arguments of a task go where they belong, and are to be read nowhere else. */
import { inspect } from "node:util"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { Connection } from "@apium/hub/Connection"
import * as Message from "@apium/hub/Message"
import * as HubQueue from "@apium/hub/Queue"
import { Transport } from "@apium/hub/Transport"
import * as AmqpUri from "@apium/protocol/amqp/AmqpUri"
import * as Amqp from "@apium/transport-amqp/node"
import * as AmqpConnection from "@apium/transport-amqp/AmqpConnection"
import { assert, layer } from "@effect/vitest"
import { Cause, Effect, Exit, Logger, Metric, Redacted, References, Result, Tracer } from "effect"
import { RabbitMq } from "../../../test/support/RabbitMq.ts"
import * as Mute from "./support/Mute.ts"

const canary = "c4nary/7Q+ü"
const octets = new TextEncoder().encode(canary)

/** How it might be printed. */
const forms = [
  canary,
  encodeURIComponent(canary),
  Buffer.from(octets).toString("base64").slice(0, 12),
  Buffer.from(`\0canary\0${canary}`).toString("base64").slice(0, 20),
  Buffer.from(octets).toString("hex"),
  Buffer.from(octets)
    .toString("hex")
    .replaceAll(/..(?!$)/g, "$& "),
  octets.join(", ")
]

/** All that was said, and all ways to say what was made. */
const watch = () => {
  const said: Array<string> = []
  const look = (thing: unknown): void => {
    said.push(
      inspect(thing, { depth: 20, showHidden: true, maxArrayLength: null, maxStringLength: null }),
      String(thing)
    )
    try {
      said.push(JSON.stringify(thing) ?? "")
    } catch {
      // It goes in circles: `inspect` has shown it.
    }
  }
  const logger = Logger.make((options) =>
    look([options.message, options.cause, options.fiber.getRef(References.CurrentLogAnnotations)])
  )
  const tracer = Tracer.make({
    span: (options) => {
      const span = new Tracer.NativeSpan(options)
      spans.push(span)
      return span
    }
  })
  const spans: Array<Tracer.NativeSpan> = []
  const under = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    effect.pipe(
      Effect.onExit((exit) =>
        Effect.sync(() => {
          look(exit)
          if (Exit.isFailure(exit)) said.push(Cause.pretty(exit.cause))
        })
      ),
      Effect.provide(Logger.layer([logger])),
      Effect.provideService(References.MinimumLogLevel, "Trace"),
      Effect.provideService(Tracer.Tracer, tracer)
    )
  const check = Effect.map(Metric.snapshot, (metrics) => {
    look(metrics)
    for (const span of spans) look([span.name, span.attributes, span.events, span.status])
    for (const text of said) for (const form of forms) assert.notInclude(text, form)
    return said.join("\n")
  })
  return { look, under, check }
}

layer(RabbitMq.shared, { excludeTestServices: true })("a secret", (it) => {
  it.effect("of a URL is in no error, log, span or metric, whatever becomes of the connection", () =>
    Effect.gen(function* () {
      const { check, look, under } = watch()
      const rabbit = yield* RabbitMq
      const { host, port } = rabbit.node
      const http = yield* Effect.acquireRelease(
        Effect.callback<ReturnType<typeof createServer>>((resume) => {
          const made = createServer()
          made.listen(0, "127.0.0.1", () => resume(Effect.succeed(made)))
        }),
        (made) => Effect.sync(() => made.close())
      )
      const silent = yield* Mute.server(() => {})
      const login = `canary:${encodeURIComponent(canary)}`
      const urls = [
        `amqp://${login}@${host}:${port}/${rabbit.vhost}`,
        `amqp://${login}@${host}:${port}/${rabbit.vhost}?login_method=AMQPLAIN`,
        `amqp://${login}@${host}:${port}/${rabbit.vhost}?login_method=NONESUCH`,
        `amqps://${login}@${host}:${port}/${rabbit.vhost}`,
        `amqp://${login}@127.0.0.1:${(http.address() as AddressInfo).port}//`,
        `amqp://${login}@127.0.0.1:${silent.port}//?connect_timeout=0.2`,
        `amqp://${login}@127.0.0.1:1//`,
        `amqp://${login}@127.0.0.1:nowhere//`,
        `amqp://${login}@127.0.0.1//?heartbeat=${encodeURIComponent(canary)}`
      ]
      for (const url of urls) {
        look(AmqpUri.parseAll(url))
        const attempt = Effect.flatMap(Transport, (transport) => {
          look(transport)
          return Effect.scoped(transport.connect)
        }).pipe(Effect.provide(Amqp.layerTransport(url)))
        assert.isTrue(Exit.isFailure(yield* Effect.exit(under(attempt))), url)
      }
      const said = yield* check
      for (const word of ["ACCESS_REFUSED", "NONESUCH", "HTTP", "ECONNREFUSED", "InvalidUri"])
        assert.include(said, word)
    })
  )

  it.effect("and the arguments of tasks are in nothing that a working connection says, loses or refuses", () =>
    Effect.gen(function* () {
      const { check, look, under } = watch()
      const rabbit = yield* RabbitMq
      const { host, port } = rabbit.node
      yield* rabbit.addUser("canary", canary)
      const url = `amqp://canary:${encodeURIComponent(canary)}@${host}:${port}/${rabbit.vhost}`
      const working = Effect.gen(function* () {
        const connection = yield* Connection
        look(connection)
        const queue = HubQueue.make("secrets")
        const headers = { argsrepr: `('${canary}',)` }
        const secret = (more: Readonly<Record<string, unknown>> = {}) =>
          Message.make(octets, { correlationId: canary }, { ...headers, ...more })
        const to = (routingKey: string) => ({ exchange: "", routingKey, mandatory: true })
        yield* connection.publish(secret(), to("secrets"), { queues: [queue] })
        // No queue, no exchange, no frame, no value of AMQP's.
        const refused = [
          connection.publish(secret(), to("nowhere")),
          connection.publish(secret(), { exchange: "nowhere", routingKey: "" }),
          connection.publish(secret({ large: canary.repeat(20_000) }), to("secrets")),
          connection.publish(secret({ map: new Map([[canary, canary]]) }), to("secrets"))
        ]
        for (const publish of refused) {
          const exit = yield* Effect.exit(under(publish))
          assert.isTrue(Exit.isFailure(exit))
          look(exit)
        }
        yield* rabbit.closeConnections()
        yield* connection.publish(secret(), to("secrets"))
        yield* connection.use((channel) =>
          Effect.gen(function* () {
            look(channel)
            const delivery = yield* channel.get("secrets")
            yield* rabbit.closeConnections()
            look(yield* Effect.exit(channel.queuePurge("secrets")))
            assert.strictEqual(delivery._tag, "Some")
          })
        )
      })
      yield* under(Effect.provide(working, Amqp.layer(url)))
      assert.include(yield* check, "NOT_FOUND")
    })
  )

  it.effect("that replaces another on an open connection is in nothing that it says", () =>
    Effect.gen(function* () {
      const { check, look, under } = watch()
      const { host, port } = (yield* RabbitMq).node
      const [uri] = Result.getOrThrow(AmqpUri.parseAll(`amqp://guest:guest@${host}:${port}//`))
      const connection = yield* AmqpConnection.make({ uri, socket: Amqp.dial(uri), name: "secrets" })
      look(connection)
      // RabbitMQ refuses it: users of its own have passwords that do not change on the way.
      look(yield* Effect.exit(under(connection.updateSecret(Redacted.make(canary)))))
      yield* check
    })
  )
})
