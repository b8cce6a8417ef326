/** A broker that is killed and comes back, with what it had on disk (RELIABILITY B1, B2). */
import { Connection } from "@apium/hub/Connection"
import * as Consumer from "@apium/hub/Consumer"
import { type Delivery, settledTwice } from "@apium/hub/Delivery"
import * as Message from "@apium/hub/Message"
import * as HubQueue from "@apium/hub/Queue"
import * as Amqp from "@apium/transport-amqp/node"
import { assert, layer } from "@effect/vitest"
import { Effect, Fiber, Layer, Metric, Stream } from "effect"
import * as Ledger from "../../../../test/support/Ledger.ts"
import { RabbitMq, RabbitMqServer } from "../../../../test/support/RabbitMq.ts"
import * as Figures from "../../../../test/support/Figures.ts"

const classic = HubQueue.make("classic")
const quorum = HubQueue.quorum(HubQueue.make("quorum"))

const World = Layer.unwrap(
  // A confirm that RabbitMQ forgets is missed sooner than by default.
  Effect.map(RabbitMq, (rabbit) => Amqp.layer(rabbit.url(), { requestTimeout: "10 seconds" }))
).pipe(Layer.provideMerge(RabbitMq.layer()))

const textOf = (delivery: Delivery) => new TextDecoder().decode(delivery.message.body)

const persistent = (text: string) => Message.make(new TextEncoder().encode(text), { deliveryMode: "persistent" })

/** Takes out all that waits. RabbitMQ's own count: a client hears of 0 from a quorum queue whose leader does not answer in time. */
const drain = (queue: HubQueue.Queue, took: (text: string) => void) =>
  Effect.flatMap(Effect.all([Connection, RabbitMq]), ([connection, rabbit]) =>
    connection.use((channel) =>
      Effect.gen(function* () {
        const { ready = 0 } = (yield* rabbit.queues).find(({ name }) => name === queue.name) ?? {}
        yield* channel.consume(queue.name, { prefetch: 1000 }).pipe(
          Stream.take(ready),
          Stream.runForEach((delivery) =>
            Effect.andThen(
              Effect.sync(() => took(textOf(delivery))),
              delivery.ack
            )
          )
        )
      })
    )
  )

/** Kills the broker and starts it again: milliseconds from its port being open to what `back` waits for. */
const restart = <E, R>(back: Effect.Effect<void, E, R>) =>
  Effect.gen(function* () {
    const { node } = yield* RabbitMq
    const { kill, start } = yield* RabbitMqServer
    yield* kill
    const starting = yield* Effect.forkChild(start)
    yield* Figures.listening(node.port)
    const took = yield* Figures.timed(back)
    yield* Fiber.join(starting)
    return took
  })

layer(World, { excludeTestServices: true })("a broker that is killed", (it) => {
  it.effect(
    "has all that it confirmed, and whoever publishes meanwhile waits for its return",
    () =>
      Effect.gen(function* () {
        const n = Figures.times(6000, 10_000, 20_000)
        const kills = Figures.times(1, 2, 5)
        const connection = yield* Connection
        const rabbit = yield* RabbitMq
        const concurrency = 8
        const queues = [classic, quorum]
        yield* connection.declare({ queues })
        yield* rabbit.flush
        const ledger = Ledger.make()
        const recovered: Array<number> = []
        let confirmed = 0
        let failed = 0
        let unconfirmed = 0
        let atKills = 0
        const began = performance.now()
        const publish = (index: number) =>
          Effect.gen(function* () {
            const queue = queues[index % 2]!
            unconfirmed++
            const route = { exchange: "", routingKey: queue.name, mandatory: true }
            yield* connection.publish(persistent(String(index)), route, { queues: [queue] }).pipe(
              Effect.tap(() =>
                Effect.sync(() => {
                  confirmed++
                  ledger.accepted(String(index))
                })
              ),
              Effect.catchTag("HubError", () => Effect.sync(() => failed++)),
              Effect.ensuring(Effect.sync(() => unconfirmed--))
            )
          })
        const publishing = yield* Effect.forkChild(
          Effect.forEach(
            Array.from({ length: n }, (_, index) => index),
            publish,
            { concurrency, discard: true }
          )
        )
        for (let kill = 1; kill <= kills; kill++) {
          yield* Figures.until(Effect.sync(() => confirmed >= (kill * n) / (kills + 1)))
          let before = 0
          recovered.push(
            yield* restart(
              Effect.andThen(
                Effect.sync(() => {
                  before = confirmed
                  atKills += unconfirmed
                }),
                Figures.until(Effect.sync(() => confirmed > before))
              )
            )
          )
        }
        yield* Fiber.join(publishing)
        const published = performance.now()
        for (const queue of queues) yield* drain(queue, ledger.finished)
        const { dup, lost, n: accepted } = ledger.report()
        yield* Figures.print(
          `B1 lost=${lost.length} dup=${dup} n=${accepted} failed=${failed} unconfirmed at ${kills} kills=${atKills} recover p50/p95/max ms=${Figures.spread(recovered)}`
        )
        assert.strictEqual(accepted + failed, n)
        assert.deepStrictEqual(lost, [])
        // All that were on their way, and once more for each 10 s without a confirm: RabbitMQ forgets some after its return, and a disk may be slow.
        const missed = Math.ceil((published - began) / 10_000)
        assert.isAtMost(dup, concurrency * (kills + missed))
        assert.isBelow(Math.max(...recovered), 30_000 + Figures.slack)
      }),
    600_000
  )

  it.effect(
    "is consumed from again within two seconds, once, and old deliveries settle in vain",
    () =>
      Effect.gen(function* () {
        const restarts = Figures.times(2, 2, 10)
        const connection = yield* Connection
        const rabbit = yield* RabbitMq
        const queue = HubQueue.make("restarted")
        yield* connection.declare({ queues: [queue] })
        yield* rabbit.flush
        const held = 20
        for (let index = 0; index < held; index++) {
          yield* connection.publish(persistent(String(index)), { exchange: "", routingKey: queue.name })
        }
        let taken: Array<Delivery> = []
        const consuming = yield* Effect.forkChild(
          Stream.runForEach(Consumer.stream([queue], { prefetch: 100 }), (delivery) =>
            Effect.sync(() => void taken.push(delivery))
          )
        )
        const all = Figures.until(Effect.sync(() => taken.length === held))
        const stale = Effect.map(Metric.value(settledTwice), ({ count }) => count)
        const recovered: Array<number> = []
        yield* all
        for (let turn = 0; turn < restarts; turn++) {
          const old = taken
          taken = []
          recovered.push(yield* restart(all))
          // On the new link, these tags are others' deliveries.
          const before = yield* stale
          for (const delivery of old) yield* delivery.ack
          assert.strictEqual((yield* stale) - before, held)
          assert.deepStrictEqual(
            taken.map((delivery) => [textOf(delivery), delivery.redelivered]),
            Array.from({ length: held }, (_, index) => [String(index), true])
          )
          // A channel that had got an ack too many would be closed by now, and the queue consumed by another one.
          yield* connection.use((channel) => channel.queueDeclare(queue, { passive: true }))
          assert.deepStrictEqual(
            (yield* rabbit.consumers).map(({ queue, prefetch }) => ({ queue, prefetch })),
            [{ queue: queue.name, prefetch: 100 }]
          )
          const state = (yield* rabbit.queues).find(({ name }) => name === queue.name)
          assert.deepInclude(state, { unacked: held, ready: 0 })
        }
        yield* Effect.forEach(taken, (delivery) => delivery.ack)
        yield* Fiber.interrupt(consuming)
        yield* Figures.print(
          `B2 restarts=${restarts} stale acks written=0 consuming again p50/p95/max ms=${Figures.spread(recovered)}`
        )
        assert.isBelow(Math.max(...recovered), 2000 + Figures.slack)
      }),
    600_000
  )
})
