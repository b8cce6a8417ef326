import type { Channel } from "@apium/hub/Channel"
import { Connection } from "@apium/hub/Connection"
import * as Exchange from "@apium/hub/Exchange"
import * as HubQueue from "@apium/hub/Queue"
import * as DelayedDelivery from "@apium/transport-amqp/DelayedDelivery"
import * as Amqp from "@apium/transport-amqp/node"
import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Queue } from "effect"
import { RabbitMq } from "../../../../test/support/RabbitMq.ts"
import { arrivals, persistent, textOf, to } from "./Arrivals.ts"

/** A virtual host of the test's own, and its URL. */
const vhost = (name: string) =>
  Effect.gen(function* () {
    const rabbit = yield* RabbitMq
    const vhost = `${rabbit.vhost}-${name}`
    yield* rabbit.addVhost(vhost)
    return { vhost, url: rabbit.url().replace(rabbit.vhost, vhost) }
  })

const permit = (user: string, vhost: string, write = ".*") =>
  Effect.flatMap(RabbitMq, (rabbit) =>
    rabbit.evaluate(
      `rabbit_auth_backend_internal:set_permissions(<<"${user}">>, <<"${vhost}">>, <<".*">>, <<"${write}">>, <<".*">>, <<"test">>), ok`
    )
  )

const connected = (url: string) => Layer.fresh(Amqp.layer(url))

layer(RabbitMq.shared, { excludeTestServices: true })("a broker that refuses the lattice", (it) => {
  /** Twenty publishes at once are refused; one more is when the cause has gone, for its link remembers; the next link asks again. */
  const refusal = <E, R>(url: string, mended: Effect.Effect<unknown, E, R>) =>
    Effect.gen(function* () {
      const delayed = Effect.flatMap(Connection, (connection) =>
        connection.publish(persistent("later"), to("plain", 5))
      )
      const text = yield* Effect.gen(function* () {
        const connection = yield* Connection
        yield* connection.declare({ queues: [HubQueue.make("plain")] })
        const errors = yield* Effect.all(
          Array.from({ length: 20 }, () => Effect.flip(delayed)),
          { concurrency: "unbounded" }
        )
        assert.deepStrictEqual(
          errors.map(({ reason }) => reason._tag),
          errors.map(() => "DelayRefused")
        )
        yield* mended
        const { message, recoverable, transient } = yield* Effect.flip(delayed)
        assert.isFalse(recoverable || transient)
        yield* connection.publish(persistent("now"), to("plain", 0))
        assert.strictEqual(yield* connection.use((channel) => channel.queuePurge("plain")), 1)
        return message
      }).pipe(Effect.provide(connected(url)))
      yield* Effect.provide(delayed, connected(url))
      return text
    })

  it.effect("because we may not configure it: the publish says so, and the link goes on", () =>
    Effect.gen(function* () {
      const rabbit = yield* RabbitMq
      yield* rabbit.addUser("modest", "modest", ["^(?!celery_delayed).*", ".*", ".*"])
      const url = rabbit.url().replace("guest:guest", "modest:modest")
      assert.match(yield* refusal(url, permit("modest", rabbit.vhost)), /403 ACCESS_REFUSED.*celery_delayed_27/)
    })
  )

  it.effect("because it is there with other arguments: the publish says so, and the link goes on", () =>
    Effect.gen(function* () {
      const { url } = yield* vhost("others")
      const use = <E>(work: (channel: Channel) => Effect.Effect<void, E>) =>
        Effect.provide(
          Effect.flatMap(Connection, (connection) => connection.use(work)),
          connected(url)
        )
      const taken = DelayedDelivery.exchangeName(27)
      yield* use((channel) => channel.exchangeDeclare(Exchange.direct(taken)))
      const mended = use((channel) => channel.exchangeDelete(taken))
      assert.match(yield* refusal(url, mended), /406 PRECONDITION_FAILED/)
    })
  )

  it.effect("for one queue that we may not bind: others have their delayed messages", () =>
    Effect.gen(function* () {
      const own = yield* vhost("half")
      yield* Effect.gen(function* () {
        const connection = yield* Connection
        yield* connection.declare({ queues: [HubQueue.make("open"), HubQueue.make("closed")] })
        yield* permit("guest", own.vhost, "^(?!closed)")
        const arrived = yield* arrivals(HubQueue.make("open"))
        for (let turn = 0; turn < 2; turn++) {
          const { message } = yield* Effect.flip(connection.publish(persistent("closed"), to("closed", 5)))
          assert.match(message, /queue "closed" cannot be bound: 403/)
        }
        yield* connection.publish(persistent("open"), to("open", 1.9))
        assert.strictEqual(textOf((yield* Queue.take(arrived)).delivery), "open")
      }).pipe(Effect.scoped, Effect.provide(connected(own.url)))
    })
  )
})
