import { Connection } from "@apium/hub/Connection"
import * as Consumer from "@apium/hub/Consumer"
import * as Message from "@apium/hub/Message"
import * as HubQueue from "@apium/hub/Queue"
import * as Amqp from "@apium/transport-amqp/node"
import { Client, MemoryBackend, Task, Tasks, Worker } from "@apium/worker"
import { assert, layer } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Queue, Schema, Stream } from "effect"
import { RabbitMq } from "../../../test/support/RabbitMq.ts"
import { keepTo, print, until } from "../../../test/support/Figures.ts"

const add = Task.make("proj.add", { params: { x: Schema.Number, y: Schema.Number }, result: Schema.Number })

const AddLive = Tasks.handle(add, ({ x, y }) => Effect.succeed(x + y))

const World = Layer.unwrap(Effect.map(RabbitMq, (rabbit) => Amqp.layer(rabbit.url()))).pipe(
  Layer.provideMerge(Layer.suspend(() => MemoryBackend.layer)),
  Layer.provideMerge(RabbitMq.shared)
)

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes)

/** Mandatory: it fails while there is no such queue. */
const send = (queue: string, body: string) =>
  Effect.flatMap(Connection, (connection) =>
    connection.publish(Message.make(new TextEncoder().encode(body)), {
      exchange: "",
      routingKey: queue,
      mandatory: true
    })
  )

const remove = (queue: string) =>
  Effect.flatMap(Connection, (connection) => connection.use((channel) => channel.queueDelete(queue)))

/** Nobody where there is no such queue. */
const info = (queue: string) =>
  Effect.flatMap(Connection, (connection) =>
    Effect.catchReason(
      connection.use((channel) => channel.queueDeclare(HubQueue.make(queue), { passive: true })),
      "HubError",
      "ChannelClosed",
      () => Effect.succeed({ name: queue, messageCount: 0, consumerCount: 0 })
    )
  )

/** Milliseconds until somebody consumes it. */
const back = (queue: string) =>
  Effect.suspend(() => {
    const began = performance.now()
    return Effect.repeat(info(queue), { until: ({ consumerCount }) => consumerCount > 0 }).pipe(
      Effect.map(() => performance.now() - began)
    )
  })

layer(World, { excludeTestServices: true })("a queue that is deleted under its consumer", (it) => {
  it.effect("is declared and consumed again by Consumer.run, which keeps what it holds of its other queues", () =>
    Effect.gen(function* () {
      const rabbit = yield* RabbitMq
      const queues = [HubQueue.make("deleted"), HubQueue.make("kept")]
      const handled = yield* Queue.unbounded<string>()
      const settled = yield* Queue.unbounded<string>()
      const released = yield* Deferred.make<void>()
      const redelivered: Array<string> = []
      const running = yield* Consumer.run(queues, {
        concurrency: 10,
        consumerTag: "mine",
        handle: (delivery) =>
          Effect.gen(function* () {
            const body = text(delivery.message.body)
            if (delivery.redelivered) redelivered.push(body)
            yield* Queue.offer(handled, body)
            if (body === "long") yield* Effect.andThen(Deferred.await(released), Queue.offer(settled, body))
          })
      }).pipe(Effect.forkScoped)
      yield* Effect.andThen(back("deleted"), back("kept"))
      yield* send("kept", "long")
      yield* send("deleted", "before")
      assert.sameMembers(yield* Queue.takeN(handled, 2), ["long", "before"])
      const times: Array<number> = []
      for (let round = 1; round <= 5; round++) {
        yield* remove("deleted")
        times.push(Math.round(yield* back("deleted")))
        yield* send("deleted", `after ${round}`)
        assert.strictEqual(yield* Queue.take(handled), `after ${round}`)
      }
      yield* Deferred.succeed(released, undefined)
      yield* Queue.take(settled)
      // Acknowledged a moment later.
      yield* until(
        Effect.map(rabbit.queues, (all) =>
          all.some(({ name, ready, unacked }) => name === "kept" && ready + unacked === 0)
        )
      )
      yield* Fiber.interrupt(running)
      assert.deepStrictEqual(redelivered, [])
      yield* print(`a deleted queue is consumed again after ${times.join(", ")} ms`)
      keepTo(1000, times)
    })
  )

  it.effect("ends a stream that is told to fail", () =>
    Effect.gen(function* () {
      const queue = HubQueue.make("ending")
      const consumer = yield* Effect.forkChild(
        Effect.flip(Stream.runDrain(Consumer.stream([queue], { onCancel: "fail" })))
      )
      yield* back(queue.name)
      yield* remove(queue.name)
      const { reason } = yield* Fiber.join(consumer)
      assert.strictEqual(reason._tag, "ConsumerCancelled")
    })
  )

  it.effect("is consumed again by a worker, and what is sent from then on runs", () =>
    Effect.gen(function* () {
      const rabbit = yield* RabbitMq
      yield* Layer.launch(
        Worker.layer({ queues: [HubQueue.make("celery")], concurrency: 4 }).pipe(
          Layer.provide([AddLive]),
          Layer.provide(Tasks.layer),
          Layer.provide(Client.layer),
          Layer.provide(Layer.fresh(Amqp.layer(rabbit.url())))
        )
      ).pipe(Effect.forkScoped)
      yield* back("celery")
      const first = yield* add.delay({ x: 1, y: 1 })
      assert.strictEqual(yield* first.get, 2)
      const times: Array<number> = []
      for (let round = 1; round <= 3; round++) {
        yield* remove("celery")
        times.push(Math.round(yield* back("celery")))
        const result = yield* add.delay({ x: round, y: 1 })
        assert.strictEqual(yield* result.get, round + 1)
      }
      yield* print(`a worker consumes a deleted queue again after ${times.join(", ")} ms`)
      keepTo(1000, times)
    }).pipe(Effect.provide(Client.layer))
  )
})
