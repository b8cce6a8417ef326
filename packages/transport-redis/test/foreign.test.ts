/** Queues that only kombu declared, and times to live: what we know, and what we cannot. */
import { Connection } from "@apium/hub/Connection"
import type { HubError } from "@apium/hub/HubError"
import * as Message from "@apium/hub/Message"
import * as HubQueue from "@apium/hub/Queue"
import { assert, layer } from "@effect/vitest"
import { Effect, Option, Queue, Stream } from "effect"
import { Redis as Server } from "../../../test/support/Redis.ts"
import { encoded, json, python, take, textOf, withUs } from "./support/kombu.ts"

layer(Server.layer(), { excludeTestServices: true })("a queue that only kombu declared", (it) => {
  const declared = (name: string) =>
    python(`
queue = Queue("${name}", Exchange("${name}", "direct"), routing_key="${name}")(connection.channel())
queue.declare()
`)

  it.effect("is there, with its messages and before the first one, and goes with its binding", () =>
    Effect.gen(function* () {
      const server = yield* Server
      yield* declared("celery")
      yield* withUs(
        {},
        Effect.gen(function* () {
          const connection = yield* Connection
          const passive = (name: string) =>
            connection.use((channel) => channel.queueDeclare(HubQueue.make(name), { passive: true }))
          assert.deepStrictEqual(yield* passive("celery"), { name: "celery", messageCount: 0, consumerCount: 0 })
          const consumed = yield* Queue.unbounded<string>()
          yield* Effect.gen(function* () {
            const channel = yield* connection.channel
            yield* channel.consume("celery").pipe(
              Stream.runForEach((delivery) =>
                Effect.andThen(Queue.offer(consumed, textOf(delivery.message.body)), delivery.ack)
              ),
              Effect.forkScoped
            )
            yield* python(`
with connection.Producer(serializer="json") as producer:
    producer.publish("for whoever consumes", exchange=Exchange("celery", "direct"), routing_key="celery")
`)
            assert.strictEqual(yield* Queue.take(consumed), '"for whoever consumes"')
          }).pipe(Effect.scoped)
          yield* connection.publish(Message.make(encoded(1), json), { exchange: "", routingKey: "celery" })
          assert.strictEqual((yield* passive("celery")).messageCount, 1)
          assert.strictEqual(yield* connection.use((channel) => channel.queuePurge("celery")), 1)
          assert.strictEqual(yield* connection.use((channel) => channel.queueDelete("celery")), 0)
          assert.strictEqual(yield* server.command("EXISTS", "celery", "_kombu.binding.celery"), 0)
          for (const work of [
            passive("celery"),
            connection.use((channel) => channel.get("celery")),
            connection.use((channel) => Stream.runDrain(channel.consume("nobody's")))
          ] as ReadonlyArray<Effect.Effect<unknown, HubError>>) {
            const { reason } = yield* Effect.flip(work)
            assert.deepStrictEqual([reason._tag, "replyCode" in reason && reason.replyCode], ["ChannelClosed", 404])
          }
        })
      )
    })
  )
})

layer(Server.layer(), { excludeTestServices: true })("a time to live", (it) => {
  it.effect(
    "of a message, or of its queue, is kept by us: what is over when it would be taken goes to the dead-letter exchange",
    () =>
      withUs(
        {},
        Effect.gen(function* () {
          const connection = yield* Connection
          const dead = HubQueue.make("lived")
          const dlx = { "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "lived" }
          yield* connection.declare({
            queues: [
              dead,
              HubQueue.make("lives", { arguments: dlx }),
              HubQueue.make("lives-briefly", { arguments: { ...dlx, "x-message-ttl": 20 } })
            ]
          })
          const publish = (queue: string, text: string, expiration?: string) =>
            connection.publish(Message.make(encoded(text), { ...json, expiration }), {
              exchange: "",
              routingKey: queue
            })
          yield* publish("lives", "own", "20")
          yield* publish("lives", "longer", "600000")
          yield* publish("lives", "for ever")
          yield* publish("lives-briefly", "its queue's", "600000")
          yield* Effect.sleep("40 millis")
          assert.strictEqual(textOf((yield* take("lives")).message.body), '"longer"')
          assert.strictEqual(textOf((yield* take("lives")).message.body), '"for ever"')
          assert.isTrue(Option.isNone(yield* connection.use((channel) => channel.get("lives-briefly"))))
          const died = [yield* take("lived"), yield* take("lived")]
          assert.deepStrictEqual(
            died.map(({ message }) => [textOf(message.body), message.headers["x-first-death-reason"]]),
            [
              ['"own"', "expired"],
              ['"its queue\'s"', "expired"]
            ]
          )
        })
      )
  )

  it.effect("of what kombu sent is carried, as among its own, for it does not say when it began", () =>
    Effect.gen(function* () {
      yield* python(`
with connection.Producer(serializer="json") as producer:
    producer.publish("theirs", exchange="", routing_key="kept", expiration=0.001)
`)
      yield* Effect.sleep("5 millis")
      const { message } = yield* withUs(
        {},
        Effect.flatMap(Connection, (connection) =>
          Effect.andThen(connection.declare({ queues: [HubQueue.make("kept")] }), take("kept"))
        )
      )
      assert.deepStrictEqual([textOf(message.body), message.properties.expiration], ['"theirs"', "1"])
    })
  )
})
