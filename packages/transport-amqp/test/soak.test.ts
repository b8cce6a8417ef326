/** A hundred thousand messages (a million with `APIUM_FULL=2`) through one link to a real broker: the heap is as it was, and nothing is left over. */
import * as Message from "@apium/hub/Message"
import * as HubQueue from "@apium/hub/Queue"
import { Transport } from "@apium/hub/Transport"
import * as Amqp from "@apium/transport-amqp/node"
import { assert, layer } from "@effect/vitest"
import { Deferred, Effect, Layer, Stream } from "effect"
import { RabbitMq } from "../../../test/support/RabbitMq.ts"
import * as Figures from "./support/Figures.ts"

const World = Layer.unwrap(Effect.map(RabbitMq, (rabbit) => Amqp.layerTransport(rabbit.url()))).pipe(
  Layer.provideMerge(RabbitMq.shared)
)

const rounds = 10
const perRound = Figures.times(10_000, 20_000, 100_000)
/** The compiler and the caches settle, and V8's heap gets its size: 200 MiB on Node 24, of which 30 are live. */
const warmUp = 4
const atOnce = 500
const prefetch = 100

const mostResident = 100 * 1024 * 1024

const headers = { lang: "py", task: "proj.add", retries: 0, timelimit: [null, 30], argsrepr: "(2, 3)" }

/** Least squares, in bytes per message. */
const slope = (sizes: ReadonlyArray<number>): number => {
  const middle = (sizes.length - 1) / 2
  const mean = sizes.reduce((sum, size) => sum + size, 0) / sizes.length
  let above = 0
  let below = 0
  for (const [round, size] of sizes.entries()) {
    above += (round - middle) * (size - mean)
    below += (round - middle) ** 2
  }
  return above / below / perRound
}

layer(World, { excludeTestServices: true, timeout: "60 seconds" })("a link", (it) => {
  it.effect(
    `that carried ${rounds * perRound} messages each way, 100 unacknowledged at the most, has the heap it began with`,
    () =>
      Effect.gen(function* () {
        const connection = yield* Effect.flatMap(Transport, ({ connect }) => connect)
        const publisher = yield* connection.channel
        const consumer = yield* connection.channel
        const { name } = yield* consumer.queueDeclare(HubQueue.temporary())
        const route = { exchange: "", routingKey: name, mandatory: true }
        let taken = 0
        let round = Deferred.makeUnsafe<void>()
        const consuming = Stream.runForEach(consumer.consume(name, { prefetch }), (delivery) => {
          assert.strictEqual(delivery.message.headers["id"], taken)
          taken++
          if (taken % perRound === 0) Deferred.doneUnsafe(round, Effect.void)
          return delivery.ack
        })
        const heaps: Array<number> = []
        let sent = 0
        const resident: Array<number> = [process.memoryUsage().rss]
        const began = performance.now()
        const publishing = Effect.gen(function* () {
          for (let count = 0; count < rounds; count++) {
            for (let batch = 0; batch < perRound; batch += atOnce) {
              yield* publisher.publishAll(
                Array.from({ length: atOnce }, () => {
                  const body = new TextEncoder().encode(`[[${sent}, 3], {}, {}]`)
                  const message = Message.make(body, { contentType: "application/json" }, { ...headers, id: sent++ })
                  return [message, route] as const
                })
              )
            }
            yield* Deferred.await(round)
            round = Deferred.makeUnsafe<void>()
            resident.push(process.memoryUsage().rss)
            Figures.collect()
            Figures.collect()
            heaps.push(process.memoryUsage().heapUsed)
          }
        })
        // Who consumes ends with a failure or not at all.
        yield* Effect.raceFirst(publishing, consuming)
        const perSecond = Math.round((taken / (performance.now() - began)) * 1000)
        const bytes = slope(heaps.slice(warmUp))
        const grown = Math.max(...resident.slice(warmUp)) - resident[warmUp]!
        yield* Figures.print(
          `${taken} messages, ${perSecond} a second; heap after each ${perRound}, MiB: ${heaps.map(Figures.mebibytes).join(", ")}; ` +
            `slope ${bytes.toFixed(2)} bytes per message; resident, MiB: ${resident.map(Figures.mebibytes).join(", ")}`
        )
        assert.strictEqual(taken, rounds * perRound)
        assert.isBelow(bytes, Figures.growth)
        assert.isBelow(grown, mostResident)
      }),
    600_000
  )
})
