/** A broker that says no, and credentials that change; nowhere a password (RELIABILITY B13, B15, G10). */
import { Connection } from "@apium/hub/Connection"
import type { HubError } from "@apium/hub/HubError"
import * as Message from "@apium/hub/Message"
import * as HubQueue from "@apium/hub/Queue"
import * as Amqp from "@apium/transport-amqp/node"
import { assert, layer } from "@effect/vitest"
import { Cause, Effect, Exit, Logger, Redacted, Stream } from "effect"
import { inspect } from "node:util"
import * as FaultProxy from "../../../../test/support/FaultProxy.ts"
import { RabbitMq } from "../../../../test/support/RabbitMq.ts"
import * as Figures from "../../../../test/support/Figures.ts"
import * as Raw from "../support/Raw.ts"

const canary = "cAnArY-hunter2"

/** All that could be printed of it. */
const printed = (value: unknown): string =>
  [String(value), JSON.stringify(value), inspect(value, { depth: 20, showHidden: true })].join("\n")

const userText = (text: string) => `<<"${text}">>`

layer(RabbitMq.shared, { excludeTestServices: true })("a broker that refuses", (it) => {
  it.effect("is asked once, though it may be asked again at a start, and the password is nowhere", () =>
    Effect.gen(function* () {
      const rabbit = yield* RabbitMq
      const proxy = yield* FaultProxy.make(rabbit.node)
      yield* rabbit.addUser("outside", canary, "nothing")
      const where = `127.0.0.1:${proxy.port}`
      const cases = [
        [`amqp://nobody:${canary}@${where}/${rabbit.vhost}`, "AccessRefused", /ACCESS_REFUSED/],
        [`amqp://outside:${canary}@${where}/none`, "VhostNotFound", /none/],
        [`amqp://outside:${canary}@${where}/${rabbit.vhost}`, "AccessRefused", /refused for user 'outside'/]
      ] as const
      const logged: Array<string> = []
      const logger = Logger.make((entry) => void logged.push(printed(entry.message), printed(entry.cause)))
      const attempts: Array<number> = []
      for (const [url, tag, text] of cases) {
        const before = proxy.counts().accepted
        const world = Amqp.layer(url, { retryOnStartup: true })
        const exit = yield* Effect.exit(
          Effect.provide(Effect.asVoid(Connection), world).pipe(
            Effect.tapCause((cause) => Effect.logError("no broker", cause)),
            Effect.provide(Logger.layer([logger]))
          )
        )
        assert.isTrue(Exit.isFailure(exit))
        if (!Exit.isFailure(exit)) return
        const { reason } = Cause.squash(exit.cause) as HubError
        assert.strictEqual(reason._tag, tag)
        assert.match(reason.message, text)
        assert.notInclude(printed(exit) + Cause.pretty(exit.cause) + printed(world), canary)
        attempts.push(proxy.counts().accepted - before)
      }
      assert.isAbove(logged.length, 0)
      assert.notInclude(logged.join("\n"), canary)
      yield* proxy.until(({ live }) => live === 0)
      yield* Figures.print(`B13 credentials, no vhost, vhost refused: attempts=${attempts.join()}, passwords printed=0`)
      assert.deepStrictEqual(attempts, [1, 1, 1])
    })
  )

  it.effect("because there are too many connections is asked again, until there are not", () =>
    Effect.gen(function* () {
      const rabbit = yield* RabbitMq
      const limit = (count: number) =>
        rabbit.evaluate(
          `ok = rabbit_vhost_limit:set(${userText(rabbit.vhost)}, [{<<"max-connections">>, ${count}}], <<"test">>), ok`
        )
      yield* Effect.acquireRelease(limit(0), () => Effect.ignore(limit(-1)))
      const reason = (yield* Effect.flip(Effect.scoped(Raw.connect(rabbit.url())))).reason
      assert.strictEqual(reason._tag, "ConnectionLost")
      assert.match(reason.message, /530 NOT_ALLOWED.*limit/)
      yield* limit(-1)
      yield* Effect.scoped(Raw.connect(rabbit.url()))
    })
  )

  it.effect(
    "one request of one channel closes the connection: who asked hears code and text, the others that it was lost by it",
    () =>
      Effect.gen(function* () {
        const rabbit = yield* RabbitMq
        const connection = yield* Raw.connect(rabbit.url())
        const [guilty, innocent] = [yield* connection.channel, yield* connection.channel]
        // A type of exchange that is not there is a hard error: 503 COMMAND_INVALID.
        const asked = yield* Effect.flip(
          guilty.exchangeDeclare({
            name: "bad",
            type: "no-such-type",
            durable: false,
            autoDelete: false,
            internal: false,
            arguments: {}
          })
        )
        assert.strictEqual(asked.reason._tag, "ChannelClosed")
        assert.match(asked.message, /503 COMMAND_INVALID - .*no-such-type/)
        assert.isFalse(asked.recoverable)
        const lost = yield* Effect.flip(connection.closed)
        assert.match(lost.message, /\(closed\): 503 COMMAND_INVALID - .*no-such-type/)
        assert.strictEqual(yield* Effect.flip(innocent.closed), lost)
        assert.strictEqual(yield* Effect.flip(innocent.queueDeclare(HubQueue.temporary())), lost)
        assert.strictEqual(yield* Effect.flip(connection.updateSecret(Redacted.make("x"))), lost)
        assert.isTrue(lost.recoverable)
      })
  )

  it.effect(
    "an old password gets the new one from who provides them, and an open connection is told without a break",
    () =>
      Effect.gen(function* () {
        const rabbit = yield* RabbitMq
        let password = `${canary}-1`
        yield* rabbit.addUser("rotated", password)
        const change = (next: string) => {
          password = next
          return rabbit.evaluate(
            `ok = rabbit_auth_backend_internal:change_password(<<"rotated">>, ${userText(next)}, <<"test">>), ok`
          )
        }
        let asked = 0
        const credentials = Effect.sync(() => {
          asked++
          return { username: "rotated", password: Redacted.make(password) }
        }).pipe(Effect.delay("5 millis"))
        yield* Effect.gen(function* () {
          const connection = yield* Connection
          yield* connection.declare({ queues: [HubQueue.make("rotated")] })
          yield* change(`${canary}-2`)
          yield* rabbit.closeConnections()
          yield* connection.publish(Message.make(new Uint8Array(1)), { exchange: "", routingKey: "rotated" })
          assert.strictEqual(asked, 2)
        }).pipe(Effect.provide(Amqp.layer(rabbit.url(), { credentials })))
        const open = yield* Raw.connect(rabbit.url(), {
          credentials,
          newPasswords: Stream.make(Redacted.make(`${canary}-3`), Redacted.make(`${canary}-4`))
        })
        const channel = yield* open.channel
        yield* open.updateSecret(Redacted.make(`${canary}-5`), "expires")
        yield* channel.queueDeclare(HubQueue.make("rotated"), { passive: true })
        assert.notInclude(printed(open), canary)
        yield* Figures.print(`B15 attempts to log in=${asked}, updated in place=3, disconnects by that=0`)
      })
  )
})
