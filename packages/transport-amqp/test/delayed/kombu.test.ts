import { Connection } from "@apium/hub/Connection"
import * as DelayedDelivery from "@apium/transport-amqp/DelayedDelivery"
import * as Amqp from "@apium/transport-amqp/node"
import { assert, describe, it, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as Python from "../../../../test/support/Python.ts"
import { RabbitMq } from "../../../../test/support/RabbitMq.ts"
import * as Figures from "../../../../test/support/Figures.ts"

const World = Layer.unwrap(Effect.map(RabbitMq, (rabbit) => Amqp.layer(rabbit.url()))).pipe(
  Layer.provideMerge(RabbitMq.shared)
)

describe("the lattice is kombu's", () => {
  it("in its names, its arguments and its routing keys", () => {
    const { exchanges, queues } = DelayedDelivery.topology()
    assert.deepStrictEqual(
      exchanges.map(({ name, type, durable, autoDelete }) => [name, type, durable, autoDelete]),
      [...Array.from({ length: 28 }, (_, index) => `celery_delayed_${27 - index}`), "celery_delayed_delivery"].map(
        (name) => [name, "topic", true, false]
      )
    )
    assert.deepStrictEqual(
      queues.map(({ name, arguments: { "x-message-ttl": ttl, "x-dead-letter-exchange": next } }) => [name, ttl, next]),
      [
        ["celery_delayed_27", 134_217_728_000, "celery_delayed_26"],
        ["celery_delayed_26", 67_108_864_000, "celery_delayed_25"],
        ["celery_delayed_25", 33_554_432_000, "celery_delayed_24"],
        ["celery_delayed_24", 16_777_216_000, "celery_delayed_23"],
        ["celery_delayed_23", 8_388_608_000, "celery_delayed_22"],
        ["celery_delayed_22", 4_194_304_000, "celery_delayed_21"],
        ["celery_delayed_21", 2_097_152_000, "celery_delayed_20"],
        ["celery_delayed_20", 1_048_576_000, "celery_delayed_19"],
        ["celery_delayed_19", 524_288_000, "celery_delayed_18"],
        ["celery_delayed_18", 262_144_000, "celery_delayed_17"],
        ["celery_delayed_17", 131_072_000, "celery_delayed_16"],
        ["celery_delayed_16", 65_536_000, "celery_delayed_15"],
        ["celery_delayed_15", 32_768_000, "celery_delayed_14"],
        ["celery_delayed_14", 16_384_000, "celery_delayed_13"],
        ["celery_delayed_13", 8_192_000, "celery_delayed_12"],
        ["celery_delayed_12", 4_096_000, "celery_delayed_11"],
        ["celery_delayed_11", 2_048_000, "celery_delayed_10"],
        ["celery_delayed_10", 1_024_000, "celery_delayed_9"],
        ["celery_delayed_9", 512_000, "celery_delayed_8"],
        ["celery_delayed_8", 256_000, "celery_delayed_7"],
        ["celery_delayed_7", 128_000, "celery_delayed_6"],
        ["celery_delayed_6", 64_000, "celery_delayed_5"],
        ["celery_delayed_5", 32_000, "celery_delayed_4"],
        ["celery_delayed_4", 16_000, "celery_delayed_3"],
        ["celery_delayed_3", 8_000, "celery_delayed_2"],
        ["celery_delayed_2", 4_000, "celery_delayed_1"],
        ["celery_delayed_1", 2_000, "celery_delayed_0"],
        ["celery_delayed_0", 1_000, "celery_delayed_delivery"]
      ]
    )
    for (const { arguments: args } of queues) {
      assert.deepInclude(args, {
        "x-queue-type": "quorum",
        "x-overflow": "reject-publish",
        "x-dead-letter-strategy": "at-least-once"
      })
      assert.strictEqual(Object.keys(args).length, 5)
    }
    assert.strictEqual(
      DelayedDelivery.routingKey(5, "celery"),
      "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.1.celery"
    )
    assert.deepStrictEqual([1, 2, 3, 4, DelayedDelivery.maxDelay].map(DelayedDelivery.entrance), [
      "celery_delayed_0",
      "celery_delayed_1",
      "celery_delayed_1",
      "celery_delayed_2",
      "celery_delayed_27"
    ])
    assert.strictEqual(DelayedDelivery.routingKey(DelayedDelivery.maxDelay, "a.b"), `${"1.".repeat(28)}a.b`)
  })
})

/** The declarations of kombu 5.5 and later, by Debian's: each argument that differs is a 406. */
const kombu = (url: string) => `
from kombu import Connection, Exchange, Queue
with Connection("${url}") as connection:
    channel = connection.channel()
    topic = lambda name: Exchange(name, type="topic").bind(channel)
    top = 27
    for level in range(top, -1, -1):
        name = f"celery_delayed_{level}"
        below = f"celery_delayed_{level - 1}" if level else "celery_delayed_delivery"
        topic(name).declare()
        topic(below).declare()
        queue = Queue(name, queue_arguments={
            "x-queue-type": "quorum", "x-overflow": "reject-publish", "x-message-ttl": 2 ** level * 1000,
            "x-dead-letter-exchange": below, "x-dead-letter-strategy": "at-least-once"}).bind(channel)
        queue.declare()
        queue.bind_to(name, "*." * (top - level) + "1.#")
        topic(below).bind_to(name, "*." * (top - level) + "0.#")
print("the same")`

layer(World, { excludeTestServices: true })("the lattice on RabbitMQ", (it) => {
  const bindings = Effect.flatMap(RabbitMq, (rabbit) =>
    rabbit.evaluate(
      `length([B || B <- rabbit_binding:list(<<"${rabbit.vhost}">>), element(2, B) =/= {resource, <<"${rabbit.vhost}">>, exchange, <<>>}])`
    )
  )

  it.effect("Python declares the same lattice after us, and RabbitMQ finds nothing new in it", () =>
    Effect.gen(function* () {
      const connection = yield* Connection
      const rabbit = yield* RabbitMq
      const first = yield* Figures.timed(connection.use(DelayedDelivery.declare))
      const again = yield* Figures.timed(connection.use(DelayedDelivery.declare))
      yield* Figures.print(`the lattice: ${Math.round(first)} ms to declare, ${Math.round(again)} ms where it is there`)
      const before = yield* bindings
      assert.strictEqual(before, 2 * DelayedDelivery.levels)
      assert.strictEqual((yield* Python.run(kombu(rabbit.url()))).trim(), "the same")
      assert.strictEqual(yield* bindings, before)
    })
  )
})
