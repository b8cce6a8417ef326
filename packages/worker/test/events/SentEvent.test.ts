import { Connection } from "@apium/hub/Connection"
import * as Consumer from "@apium/hub/Consumer"
import type { Delivery } from "@apium/hub/Delivery"
import * as Exchange from "@apium/hub/Exchange"
import { ConnectionLost, HubError } from "@apium/hub/HubError"
import * as HubQueue from "@apium/hub/Queue"
import { Client, type Options } from "@apium/worker/client/Client"
import * as Task from "@apium/worker/task/Task"
import { assert, describe } from "@effect/vitest"
import { Effect, Layer, Queue, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import { differences, sentEvent } from "../support/Fixtures.ts"
import { bodyOf, settle, test, waiting } from "../support/World.ts"

const add = Task.make("wire.add", { params: { x: Schema.Number, y: Schema.Number }, result: Schema.Number })

const messages = Effect.gen(function* () {
  const seen = yield* Queue.unbounded<Delivery>()
  const queue = HubQueue.bindTo(Exchange.topic("celeryev"), "#")(HubQueue.temporary("events"))
  yield* Effect.forkScoped(
    Stream.runForEach(Consumer.stream([queue], { noAck: true }), (delivery) => Queue.offer(seen, delivery))
  )
  yield* settle
  return Effect.andThen(settle, Queue.clear(seen))
})

const as = <A, E, R>(options: Options, effect: Effect.Effect<A, E, R>) =>
  Effect.flatMap(Layer.build(Client.layerWith(options)), (client) => Effect.provide(effect, client))

describe("a client that was told to", () => {
  test(
    "says task-sent of each task, as Python's does",
    Effect.gen(function* () {
      const seen = yield* messages
      yield* TestClock.setTime(1_795_226_187_248)
      yield* as(
        { sendSentEvent: true },
        Effect.flatMap(Client, (client) => client.sendTask("wire.add", [2, 2], {}, { taskId: "t" }))
      )
      const [only, ...others] = yield* seen
      assert.deepStrictEqual(others, [])
      const python = sentEvent()
      assert.deepStrictEqual(
        [only!.route.routingKey, only!.message.properties.deliveryMode],
        ["task.sent", "transient"]
      )
      const said = (yield* bodyOf(only!)) as Record<string, unknown>
      assert.deepStrictEqual(differences(said, python), [])
      assert.deepStrictEqual(
        { ...said, utcoffset: 0 },
        {
          ...python,
          hostname: "gen0@localhost",
          pid: 0,
          uuid: "t",
          root_id: "t",
          timestamp: 1_795_226_187.248
        }
      )
      assert.strictEqual(only!.message.headers.hostname, "gen0@localhost")
    })
  )

  test(
    "says so of a batch, and of what goes through an exchange",
    Effect.gen(function* () {
      const seen = yield* messages
      const connection = yield* Connection
      yield* connection.declare({ queues: [HubQueue.bindTo(Exchange.direct("ex"), "rk")(HubQueue.make("q"))] })
      yield* as(
        { sendSentEvent: true },
        Effect.gen(function* () {
          const client = yield* Client
          yield* client.sendAll(add, [
            { x: 1, y: 1 },
            { x: 2, y: 2 }
          ])
          yield* add.applyAsync({ x: 3, y: 3 }, { exchange: "ex", routingKey: "rk" })
        })
      )
      const said = (yield* Effect.forEach(yield* seen, bodyOf)) as ReadonlyArray<Record<string, unknown>>
      assert.deepStrictEqual(
        said.map(({ clock, queue, exchange, routing_key }) => [clock, queue, exchange, routing_key]),
        [
          [1, "celery", "", "celery"],
          [2, "celery", "", "celery"],
          [3, null, "ex", "rk"]
        ]
      )
    })
  )

  test(
    "has sent the task, whether or not anybody can be told",
    Effect.gen(function* () {
      const connection = yield* Connection
      const refusing: Connection["Service"] = {
        ...connection,
        publishAll: () => Effect.fail(new HubError({ reason: new ConnectionLost({ cause: "closed", text: "gone" }) }))
      }
      yield* Effect.provideService(as({ sendSentEvent: true }, add.delay({ x: 1, y: 1 })), Connection, refusing)
      assert.strictEqual(yield* waiting("celery"), 1)
    })
  )
})

test(
  "a client that was not told to says nothing",
  Effect.gen(function* () {
    const seen = yield* messages
    yield* add.delay({ x: 1, y: 1 })
    assert.deepStrictEqual(yield* seen, [])
  })
)
