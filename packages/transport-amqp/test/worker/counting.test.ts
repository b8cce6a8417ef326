import { Connection } from "@apium/hub/Connection"
import * as DeadLetter from "@apium/hub/DeadLetter"
import type { Delivery } from "@apium/hub/Delivery"
import type { HubError } from "@apium/hub/HubError"
import * as Message from "@apium/hub/Message"
import * as Queue from "@apium/hub/Queue"
import * as TaskMessage from "@apium/protocol/celery/TaskMessage"
import * as Amqp from "@apium/transport-amqp/node"
import { Client, MemoryBackend, Profile, Task, TaskContext, TaskError, Tasks, Worker } from "@apium/worker"
import { assert, layer } from "@effect/vitest"
import { Deferred, Effect, Layer, Logger, Option, Queue as Fifo, Schema } from "effect"
import { RabbitMq } from "../../../../test/support/RabbitMq.ts"
import { until } from "../../../../test/support/Figures.ts"

const World = Layer.unwrap(Effect.map(RabbitMq, (rabbit) => Amqp.layer(rabbit.url()))).pipe(
  Layer.provideMerge(RabbitMq.shared)
)

/** What a run sees of how its message came. */
interface Run {
  readonly redelivered: boolean
  readonly priority: number
  readonly tenant: unknown
  readonly counted: unknown
}

const task = Task.make("counting.task", { params: {}, result: Schema.Null, maxDeliveries: 5 })

let queues = 0

/** A queue, a task on it, and a message of that task which was taken and given back so often. */
const given = (type: "classic" | "quorum", times: number) =>
  Effect.gen(function* () {
    const connection = yield* Connection
    const name = `counting-${++queues}`
    const queue = type === "quorum" ? Queue.quorum(Queue.make(name)) : Queue.make(name)
    const headers = TaskMessage.encodeHeaders(TaskMessage.makeHeaders({ task: task.name, id: `id-${name}` }))
    const message = Message.make(
      new TextEncoder().encode("[[], {}, {}]"),
      {
        contentType: "application/json",
        contentEncoding: "utf-8",
        priority: 3,
        expiration: "60000",
        correlationId: "correlated",
        deliveryMode: "persistent"
      },
      { ...headers, "x-tenant": "acme" }
    )
    yield* connection.publish(message, { exchange: "", routingKey: name, mandatory: true }, { queues: [queue] })
    for (let time = 0; time < times; time++) {
      const taken = yield* get(name)
      yield* taken.reject({ requeue: true })
    }
    return queue
  })

/** The next message of a queue, and waits for it. */
const get = (name: string, declare = false) =>
  Effect.flatMap(Connection, (connection) =>
    Effect.andThen(
      declare ? connection.declare({ queues: [Queue.make(name)] }) : Effect.void,
      Effect.flatMap(connection.channel, (channel) => {
        const next: Effect.Effect<Delivery, HubError> = Effect.flatMap(
          channel.get(name),
          Option.match({ onNone: () => Effect.andThen(Effect.sleep("5 millis"), next), onSome: Effect.succeed })
        )
        return next
      })
    )
  )

/** A worker whose runs are told, each of which then does this. */
const start = (
  queue: Queue.Queue,
  does: Effect.Effect<void, TaskError.Reject> = Effect.void,
  { url, ...options }: Partial<Worker.Options> & { readonly url?: string } = {}
) =>
  Effect.gen(function* () {
    const rabbit = yield* RabbitMq
    const runs = yield* Fifo.unbounded<Run>()
    const handler = Tasks.handle(task, () =>
      Effect.gen(function* () {
        const { delivery, headers } = yield* TaskContext
        yield* Fifo.offer(runs, {
          redelivered: delivery.redelivered,
          priority: delivery.priority,
          tenant: headers["x-tenant"],
          counted: headers["x-apium-deliveries"]
        })
        yield* does
        return null
      })
    )
    yield* Layer.build(
      Worker.layer({ queues: [queue], concurrency: 1, name: `${queue.name}@here`, ...options }).pipe(
        Layer.provide(handler),
        Layer.provide([Tasks.layer, Client.layer]),
        Layer.provide(MemoryBackend.layer),
        Layer.provide(Amqp.layer(url ?? rabbit.url()))
      )
    )
    return runs
  })

/** Waits until nothing of it is left in its queue, or with anybody. */
const empty = (queue: Queue.Queue) =>
  Effect.flatMap(RabbitMq, (rabbit) =>
    until(
      Effect.map(rabbit.queues, (all) =>
        all.some(({ name, ready, unacked }) => name === queue.name && ready + unacked === 0)
      )
    )
  )

const taken = <A>(fifo: Fifo.Queue<A>) => Effect.map(Fifo.clear(fifo), (all) => [...all])

layer(World, { excludeTestServices: true })("a worker that counts deliveries", (it) => {
  it.effect(
    "a message that comes again on a classic queue runs once, as a copy that says so, with all that it had",
    () =>
      Effect.gen(function* () {
        // It was held three times, and never begun.
        const queue = yield* given("classic", 3)
        const runs = yield* start(queue)
        assert.deepStrictEqual(yield* Fifo.take(runs), { redelivered: true, priority: 3, tenant: "acme", counted: 1 })
        yield* empty(queue)
        assert.deepStrictEqual(yield* taken(runs), [])
      })
  )

  it.effect("a message that comes for the first time runs as it is", () =>
    Effect.gen(function* () {
      const queue = yield* given("classic", 0)
      const runs = yield* start(queue)
      assert.deepStrictEqual(yield* Fifo.take(runs), {
        redelivered: false,
        priority: 3,
        tenant: "acme",
        counted: undefined
      })
      yield* empty(queue)
    })
  )

  it.effect("on a quorum queue, which counts, it runs as it is", () =>
    Effect.gen(function* () {
      const queue = yield* given("quorum", 1)
      const runs = yield* start(queue)
      const { counted, redelivered } = yield* Fifo.take(runs)
      assert.deepStrictEqual([counted, redelivered], [undefined, true])
      yield* empty(queue)
    })
  )

  for (const type of ["classic", "quorum"] as const) {
    it.effect(`a task that gives itself back runs as often as it may, and is dead-lettered: ${type}`, () =>
      Effect.gen(function* () {
        const queue = yield* given(type, 0)
        const runs = yield* start(queue, Effect.fail(new TaskError.Reject({ requeue: true })))
        const dead = yield* get(DeadLetter.queueOf(queue.name), true)
        const { headers } = dead.message
        assert.deepStrictEqual(
          [
            headers["x-apium-reason"],
            headers["x-apium-error"],
            headers["x-apium-deliveries"],
            headers["x-delivery-count"]
          ],
          ["deliveries", "given back 5 times", undefined, undefined]
        )
        yield* dead.ack
        yield* empty(queue)
        const counts = (yield* taken(runs)).map(({ counted }) => counted)
        // A quorum queue is believed until it is a suspect, which it is from the third time on.
        assert.deepStrictEqual(
          counts,
          type === "classic" ? [undefined, 1, 2, 3, 4] : [undefined, undefined, undefined, 3, 4]
        )
      })
    )
  }

  it.effect("a task that is acknowledged before it runs is not published again", () =>
    Effect.gen(function* () {
      const queue = yield* given("classic", 1)
      const runs = yield* start(queue, Effect.void, { profile: Profile.celery })
      const { counted, redelivered } = yield* Fifo.take(runs)
      assert.deepStrictEqual([counted, redelivered], [undefined, true])
    })
  )

  it.effect("a task that runs when its link is cut is not published again, but settled as that run ends", () =>
    Effect.gen(function* () {
      const rabbit = yield* RabbitMq
      const queue = yield* given("classic", 0)
      const gate = yield* Deferred.make<void>()
      const runs = yield* start(queue, Deferred.await(gate))
      yield* Fifo.take(runs)
      yield* rabbit.closeConnections()
      // The old link is gone: who has it now has got it again.
      yield* until(
        Effect.map(rabbit.queues, (all) => all.some(({ name, unacked }) => name === queue.name && unacked === 1))
      )
      yield* Deferred.succeed(gate, undefined)
      yield* empty(queue)
      assert.deepStrictEqual(yield* taken(runs), [])
    })
  )

  it.effect("where the broker lets nobody write to the queue it runs all the same, and the worker says so once", () =>
    Effect.gen(function* () {
      const rabbit = yield* RabbitMq
      yield* rabbit.addUser("reader", "secret", [".*", "^(?!amq\\.default$).*$", ".*"])
      const queues = yield* Effect.all([given("classic", 1), given("classic", 1)])
      const warnings: Array<string> = []
      const listening = Logger.layer([
        Logger.make(({ logLevel, message }) => {
          if (logLevel === "Warn") warnings.push(String([message].flat()[0]))
        })
      ])
      const runs = yield* start(queues[0], Effect.void, {
        queues,
        url: rabbit.url().replace("guest:guest", "reader:secret")
      }).pipe(Effect.provide(listening))
      const ran = [yield* Fifo.take(runs), yield* Fifo.take(runs)]
      assert.deepStrictEqual(
        ran.map(({ counted, redelivered }) => [counted, redelivered]),
        [
          [undefined, true],
          [undefined, true]
        ]
      )
      yield* Effect.forEach(queues, empty)
      assert.strictEqual(
        warnings.filter((text) => text.startsWith("A task that came again could not be counted")).length,
        1
      )
    })
  )
})
