import { Connection } from "@apium/hub/Connection"
import * as Message from "@apium/hub/Message"
import * as HubQueue from "@apium/hub/Queue"
import * as DelayedDelivery from "@apium/transport-amqp/DelayedDelivery"
import * as Amqp from "@apium/transport-amqp/node"
import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Queue } from "effect"
import { RabbitMq } from "../../../../test/support/RabbitMq.ts"
import * as Figures from "../../../../test/support/Figures.ts"
import { arrivals, earliest, persistent, textOf, to } from "./Arrivals.ts"

/** The first delayed message of a link waits until its lattice is declared: longer than the part of a second that others leave for that. */
const Declared = Layer.effectDiscard(
  Effect.flatMap(Connection, (connection) =>
    connection.publish(persistent("first"), to("first", 1.9), { queues: [HubQueue.make("first")] })
  )
)

const World = Declared.pipe(
  Layer.provideMerge(Layer.unwrap(Effect.map(RabbitMq, (rabbit) => Amqp.layer(rabbit.url())))),
  Layer.provideMerge(RabbitMq.shared)
)

/** They do nothing but wait, most of the time. */
const together = { excludeTestServices: true, concurrent: true } as const

layer(World, together)("a message that is to wait, on RabbitMQ", (it) => {
  for (const [kind, target] of [
    ["classic", HubQueue.make("classic")],
    ["quorum", HubQueue.quorum(HubQueue.make("quorum"))]
  ] as const) {
    it.effect(`arrives in a ${kind} queue after 1, 2 and 3 s, not early, and as if it had come by itself`, () =>
      Effect.gen(function* () {
        const connection = yield* Connection
        const arrived = yield* arrivals(target)
        const due = new Map<string, number>()
        for (const seconds of [3, 1, 2]) {
          // Something more than whole seconds, which goes by before it is published.
          const route = to(target.name, seconds + 0.9)
          due.set(`${seconds}`, earliest(route))
          yield* connection.publish(persistent(`${seconds}`), route)
        }
        const late: Array<number> = []
        for (const _ of [1, 2, 3]) {
          const { at, delivery } = yield* Queue.take(arrived)
          const since = due.get(textOf(delivery))!
          due.delete(textOf(delivery))
          assert.deepStrictEqual(delivery.route, { exchange: "", routingKey: target.name })
          assert.isAtLeast(at, since)
          late.push(at - since)
        }
        assert.strictEqual(due.size, 0)
        yield* Figures.print(`${kind}: 1, 2 and 3 s late by ${late.join(", ")} ms`)
      })
    )
  }

  it.effect("the many of one batch, and of many at once, arrive all, each in its second", () =>
    Effect.gen(function* () {
      const count = Figures.times(100, 1000)
      const connection = yield* Connection
      const arrived = yield* arrivals(HubQueue.make("many"))
      const one = (index: number) => {
        const seconds = 1 + Math.random() * 2
        const now = Date.now()
        // What has to have gone by: the whole seconds.
        return [
          persistent(JSON.stringify([index, now + Math.floor(seconds) * 1000])),
          { ...to("many", 0), notBefore: now + seconds * 1000 + 1 }
        ] as const
      }
      yield* Effect.all(
        [
          connection.publishAll(Array.from({ length: count }, (_, index) => one(index))),
          Effect.forEach(
            Array.from({ length: count }, (_, index) => count + index),
            (index) => Effect.suspend(() => connection.publish(...one(index))),
            { concurrency: "unbounded", discard: true }
          )
        ],
        { concurrency: "unbounded", discard: true }
      )
      const seen = new Set<number>()
      const wait: Array<number> = []
      for (let taken = 0; taken < 2 * count; taken++) {
        const { at, delivery } = yield* Queue.take(arrived)
        const [index, due] = JSON.parse(textOf(delivery)) as [number, number]
        seen.add(index)
        wait.push(at - due)
      }
      yield* Figures.print(
        `${2 * count} messages: p50/p95/max ${Figures.spread(wait)} ms after their last whole second`
      )
      assert.strictEqual(seen.size, 2 * count)
    })
  )

  it.effect("does not arrive in another queue whose name is the end of its own", () =>
    Effect.gen(function* () {
      const connection = yield* Connection
      const [whole, end] = [yield* arrivals(HubQueue.make("a.b")), yield* arrivals(HubQueue.make("b"))]
      yield* connection.publish(persistent("first"), to("b", 3.9))
      yield* connection.publish(persistent("second"), to("a.b", 3.9))
      assert.strictEqual(textOf((yield* Queue.take(end)).delivery), "first")
      assert.strictEqual(textOf((yield* Queue.take(whole)).delivery), "second")
      yield* connection.publish(persistent("third"), to("b", 0))
      assert.strictEqual(textOf((yield* Queue.take(end)).delivery), "third")
    })
  )

  it.effect("goes to its queue at once when less than a second is left", () =>
    Effect.gen(function* () {
      const connection = yield* Connection
      const arrived = yield* arrivals(HubQueue.make("soon"))
      yield* connection.publish(persistent("soon"), to("soon", 0.9))
      const { delivery } = yield* Queue.take(arrived)
      assert.notProperty(delivery.message.headers, "x-death")
    })
  )

  it.effect("an expiration does not make it early", () =>
    Effect.gen(function* () {
      const connection = yield* Connection
      const arrived = yield* arrivals(HubQueue.make("expiring"))
      const route = to("expiring", 2.9)
      yield* connection.publish(persistent("kept", { expiration: "100" }), route)
      assert.isAtLeast((yield* Queue.take(arrived)).at, earliest(route))
    })
  )

  it.effect("waits a second time, republished: RabbitMQ takes it for a cycle unless its deaths are taken off", () =>
    Effect.gen(function* () {
      const connection = yield* Connection
      const arrived = yield* arrivals(HubQueue.make("twice"))
      // One that comes to be published within its last second goes to its queue at once: another one.
      const first = yield* Effect.repeat(
        Effect.andThen(
          Effect.suspend(() => connection.publish(persistent("twice"), to("twice", 3.9))),
          Queue.take(arrived)
        ),
        { until: ({ delivery }) => "x-death" in delivery.message.headers, times: 5 }
      )
      assert.property(first.delivery.message.headers, "x-death")
      const again = Message.republishable(first.delivery.message)
      assert.deepStrictEqual(again.headers, {})
      const route = to("twice", 3.9)
      yield* connection.publish(again, route)
      assert.isAtLeast((yield* Queue.take(arrived)).at, earliest(route))
    })
  )

  it.effect("for a queue that was deleted and declared again in between, it arrives, as after a purge", () =>
    Effect.gen(function* () {
      const connection = yield* Connection
      const queue = HubQueue.make("again")
      const channel = yield* connection.channel
      yield* channel.queueDeclare(queue)
      yield* connection.publish(persistent("purged meanwhile"), to("again", 8.9))
      yield* channel.queuePurge("again")
      yield* channel.queueDelete("again")
      const arrived = yield* arrivals(queue)
      yield* connection.publish(persistent("new"), to("again", 1.9))
      const both = [yield* Queue.take(arrived), yield* Queue.take(arrived)]
      assert.sameMembers(
        both.map(({ delivery }) => textOf(delivery)),
        ["purged meanwhile", "new"]
      )
    })
  )

  it.effect("for a queue that is not there, it comes back with the queue's name, and disturbs nobody", () =>
    Effect.gen(function* () {
      const connection = yield* Connection
      const arrived = yield* arrivals(HubQueue.make("there"))
      const [error] = yield* Effect.all(
        [
          Effect.flip(connection.publish(persistent("lost"), to("not there", 5))),
          connection.publish(persistent("kept"), to("there", 0))
        ],
        { concurrency: "unbounded" }
      )
      assert.deepInclude(error.reason, { _tag: "Returned", exchange: "", routingKey: "not there" })
      assert.strictEqual((yield* Effect.flip(connection.publish(persistent(""), to("", 5)))).reason._tag, "Returned")
      assert.strictEqual(textOf((yield* Queue.take(arrived)).delivery), "kept")
    })
  )

  it.effect("for what names no queue of its own, it is refused, and nothing of its batch goes out", () =>
    Effect.gen(function* () {
      const connection = yield* Connection
      yield* connection.declare({ queues: [HubQueue.make("plain"), HubQueue.make("a.*"), HubQueue.make("#")] })
      for (const route of [
        to("a.*", 5),
        to("#", 5),
        to("x".repeat(200), 5),
        { ...to("celery", 5), exchange: "amq.topic" }
      ]) {
        const { reason } = yield* Effect.flip(
          connection.publishAll([
            [persistent("first"), to("plain", 0)],
            [persistent("second"), route]
          ])
        )
        assert.strictEqual(reason._tag, "DelayRefused")
      }
      assert.strictEqual(yield* connection.use((channel) => channel.queuePurge("plain")), 0)
    })
  )

  it.effect(
    "after somebody has deleted a part of the lattice, it is declared again",
    () =>
      Effect.gen(function* () {
        const connection = yield* Connection
        const arrived = yield* arrivals(HubQueue.make("repaired"))
        const message = (text: string) => connection.publish(persistent(text), to("repaired", 1.9))
        yield* message("before")
        yield* Queue.take(arrived)
        for (const exchange of [DelayedDelivery.deliveryExchange, DelayedDelivery.exchangeName(0)]) {
          yield* connection.use((channel) => channel.exchangeDelete(exchange))
          yield* message(exchange)
          assert.strictEqual(textOf((yield* Queue.take(arrived)).delivery), exchange)
        }
        yield* connection.use((channel) => channel.queueDelete(DelayedDelivery.queueName(0)))
        // One that comes to be published within its last second goes to its queue at once: another one.
        const refused = yield* Effect.retry(Effect.flip(message("has no level")), { times: 20 })
        assert.strictEqual(refused.reason._tag, "Returned")
        yield* message("after")
        const { delivery } = yield* Effect.repeat(Queue.take(arrived), {
          until: ({ delivery }) => textOf(delivery) !== "has no level"
        })
        assert.strictEqual(textOf(delivery), "after")
      }),
    { concurrent: false }
  )
})
