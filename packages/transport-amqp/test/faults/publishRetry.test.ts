/** A task that is sent while the broker restarts, or while it takes none: Celery's `task_publish_retry`. */
import { Connection } from "@apium/hub/Connection"
import { HubError } from "@apium/hub/HubError"
import * as Queue from "@apium/hub/Queue"
import * as Amqp from "@apium/transport-amqp/node"
import * as MemoryBackend from "@apium/worker/client/backends/MemoryBackend"
import { Client } from "@apium/worker/client/Client"
import * as Task from "@apium/worker/task/Task"
import { assert, layer } from "@effect/vitest"
import { Clock, Effect, Fiber, Layer, Option, Stream } from "effect"
import * as Figures from "../../../../test/support/Figures.ts"
import { RabbitMq, RabbitMqServer } from "../../../../test/support/RabbitMq.ts"

const full = Queue.maxLength(1, "reject-publish")(Queue.make("full"))

const narrow = Queue.maxLength(2, "reject-publish")(Queue.make("narrow"))

const World = Client.layerWith({ queues: [Queue.make("celery"), full, narrow] }).pipe(
  Layer.provideMerge(
    Layer.unwrap(Effect.map(RabbitMq, (rabbit) => Amqp.layer(rabbit.url(), { patience: "5 minutes" })))
  ),
  Layer.provide(MemoryBackend.layer),
  Layer.provideMerge(RabbitMq.layer())
)

const count = (queue: Queue.Queue) =>
  Effect.flatMap(Connection, (connection) =>
    connection.use((channel) =>
      Effect.map(channel.queueDeclare(queue, { passive: true }), ({ messageCount }) => messageCount)
    )
  )

const reason = (error: unknown) => {
  assert.instanceOf(error, HubError)
  return error.reason._tag
}

const timed = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const began = yield* Clock.currentTimeMillis
    const value = yield* effect
    return [value, (yield* Clock.currentTimeMillis) - began] as const
  })

layer(World, { excludeTestServices: true })("a task that is sent", (it) => {
  it.effect("to a queue that is full is sent again by the policy, until there is room or the policy ends", () =>
    Effect.gen(function* () {
      const client = yield* Client
      const connection = yield* Connection
      const send = (options?: object) => client.sendTask("proj.add", [], {}, { queue: "full", ...options })
      yield* send()
      const [refused, took] = yield* timed(Effect.flip(send()))
      assert.strictEqual(reason(refused), "Nacked")
      const [atOnce, tookOnce] = yield* timed(Effect.flip(send({ retry: false })))
      assert.strictEqual(reason(atOnce), "Nacked")
      const sending = yield* Effect.forkChild(
        send({ retryPolicy: { maxRetries: 1000, intervalStep: "10 millis", intervalMax: "10 millis" } })
      )
      yield* connection.use((channel) => channel.queuePurge("full"))
      yield* Fiber.join(sending)
      assert.strictEqual(yield* count(full), 1)
      // 0, 0.2 and 0.4 s of pauses, by two clocks of whole milliseconds.
      assert.isAtLeast(took, 590)
      yield* Figures.print(`a full queue: Nacked after ${took} ms by the default policy, after ${tookOnce} ms without`)
    })
  )

  it.effect("beside others to a queue that takes two of them is sent again alone, and is there once", () =>
    Effect.gen(function* () {
      const client = yield* Client
      const connection = yield* Connection
      const add = Task.make("proj.add", { params: {}, queue: "narrow" })
      const sending = yield* Effect.forkChild(
        client.sendAll(
          add,
          Array.from({ length: 8 }, () => ({})),
          {
            retryPolicy: { maxRetries: 1000, intervalStep: "10 millis", intervalMax: "10 millis" }
          }
        )
      )
      const taken: Array<string | undefined> = []
      const take = connection.use((channel) =>
        Effect.flatMap(
          channel.get("narrow"),
          Option.match({
            onNone: () => Effect.sleep("10 millis"),
            onSome: ({ ack, message }) => (taken.push(message.properties.correlationId), ack)
          })
        )
      )
      yield* connection.declare({ queues: [narrow] })
      while (sending.pollUnsafe() === undefined) yield* take
      const sent = (yield* Fiber.join(sending)).map(({ id }) => id)
      while ((yield* count(narrow)) > 0) yield* take
      assert.deepStrictEqual([taken.length, new Set(taken)], [sent.length, new Set<string | undefined>(sent)])
    })
  )

  it.effect("while the broker is down waits for it, and fails at once with retry: false", () =>
    Effect.gen(function* () {
      const client = yield* Client
      const rabbit = yield* RabbitMq
      const { start, stop } = yield* RabbitMqServer
      const before = yield* client.sendTask("proj.add", [], {})
      yield* rabbit.flush
      yield* stop
      const waiting = yield* Effect.forkChild(client.sendTask("proj.add", [], {}))
      const [refused, took] = yield* timed(Effect.flip(client.sendTask("proj.add", [], {}, { retry: false })))
      assert.strictEqual(reason(refused), "ConnectionLost")
      assert.isUndefined(waiting.pollUnsafe())
      yield* start
      const after = yield* Fiber.join(waiting)
      // A confirm that RabbitMQ forgets after its return is missed half a minute later: then it is there once more.
      const there = yield* (yield* Connection).use((channel) =>
        Effect.flatMap(channel.queueDeclare(Queue.make("celery"), { passive: true }), ({ messageCount }) =>
          channel.consume("celery", { noAck: true }).pipe(
            Stream.take(messageCount),
            Stream.map(({ message }) => message.properties.correlationId),
            Stream.runCollect
          )
        )
      )
      assert.deepStrictEqual(new Set(there), new Set([before.id, after.id]))
      yield* Figures.print(`without a broker: ConnectionLost after ${took} ms with retry: false`)
    })
  )
})
