import { Connection } from "@apium/hub/Connection"
import * as MemoryTransport from "@apium/hub/memory/MemoryTransport"
import * as Serializer from "@apium/hub/Serializer"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema, Stream } from "effect"
import { TestConsole } from "effect/testing"
import { orders, pipeline, program, Live, shipments } from "../../../examples/pipelines/enrich.ts"
import { atEveryStep, type Disturb } from "./support/everyStep.ts"
import { drain } from "./support/messages.ts"

const layer = Connection.layerWith({ backoff: { base: 0, cap: 0 } }).pipe(Layer.provideMerge(MemoryTransport.layer))

const ids = Array.from({ length: 9 }, (_, id) => id)

/** Nine orders, one of them none at all. */
const place = Effect.gen(function* () {
  const connection = yield* Connection
  yield* connection.declare({ queues: [orders, shipments] })
  const messages = yield* Effect.forEach(ids, (id) => Serializer.encode({ id, customer: id % 2 === 0 ? "ada" : "bob" }))
  const noOrder = yield* Serializer.encode("no order", { headers: { id: -1 } })
  yield* connection.publishAll(
    [...messages, noOrder].map((message) => [message, { exchange: "", routingKey: orders.name }] as const)
  )
})

const decodeId = Schema.decodeUnknownEffect(Schema.Struct({ id: Schema.Number }))

/** What is in a queue, by the id of the order: how often, and whether it was delivered before. */
const found = (name: string) =>
  Effect.gen(function* () {
    const deliveries = yield* (yield* Connection).use((channel) => drain(channel, name))
    const orders = deliveries.filter(({ message }) => message.headers["id"] === undefined)
    return yield* Effect.forEach(orders, ({ message, redelivered }) =>
      Effect.map(Effect.flatMap(Serializer.decode(message), decodeId), ({ id }) => ({ id, redelivered }))
    )
  })

const shipAll = pipeline.pipe(Stream.take(ids.length), Stream.runDrain)

/** Disturbs the pipeline at every step, and asserts what it promises. */
const promises = (disturb?: (broker: MemoryTransport.MemoryBroker["Service"]) => Disturb) =>
  atEveryStep(
    (disturbed) =>
      Effect.gen(function* () {
        const broker = yield* MemoryTransport.MemoryBroker
        yield* place
        yield* disturbed(shipAll, disturb?.(broker))
        return { waiting: yield* found(orders.name), shipped: yield* found(shipments.name) }
      }).pipe(Effect.provide(layer)),
    ({ shipped, waiting }, step) => {
      for (const id of ids) {
        const out = shipped.filter((shipment) => shipment.id === id)
        const back = waiting.filter((order) => order.id === id)
        const where = `step ${step}, order ${id}: ${out.length} shipped, ${back.length} waiting`
        assert.isAtMost(back.length, 1, where)
        assert.isAbove(out.length + back.length, 0, where)
        // What is out is acknowledged, or comes again and says so.
        if (out.length > 0)
          assert.isTrue(
            back.every(({ redelivered }) => redelivered),
            where
          )
        if (disturb === undefined) assert.isAtMost(out.length, 1, where)
      }
    }
  )

describe("examples/pipelines/enrich.ts", () => {
  it.effect("prints what becomes of three orders", () =>
    Effect.gen(function* () {
      yield* program
      assert.deepStrictEqual(yield* TestConsole.logLines, [
        "order 0 goes to ada in GB",
        "order 1 goes to edsger in NL",
        "order 2 goes to alan in GB"
      ])
    }).pipe(Effect.provide(Live))
  )

  it.effect("ships each order once when nothing happens, acknowledges all, and puts aside what is no order", () =>
    Effect.gen(function* () {
      yield* place
      yield* shipAll
      assert.deepStrictEqual(
        (yield* found(shipments.name)).map(({ id }) => id),
        ids
      )
      assert.deepStrictEqual(yield* found(orders.name), [])
      const dead = yield* (yield* Connection).use((channel) => drain(channel, `${orders.name}.dead`))
      assert.deepStrictEqual(
        dead.map(({ message }) => message.headers["x-apium-reason"]),
        ["undecodable"]
      )
    }).pipe(Effect.provide(layer))
  )

  it.live("interrupted at any step, loses no order, and ships none twice that does not say so", () =>
    Effect.map(promises(), (steps) => assert.isAbove(steps, 100))
  )

  it.live("whose link is lost at any step, loses no order, and ends", () =>
    Effect.map(
      promises(
        ({ disconnect }) =>
          () =>
            void Effect.runFork(disconnect)
      ),
      (steps) => assert.isAbove(steps, 100)
    )
  )

  it.live("interrupted and begun again until it is through, ships twice only what was redelivered", () =>
    atEveryStep(
      (disturbed) =>
        Effect.gen(function* () {
          yield* place
          yield* disturbed(shipAll)
          const connection = yield* Connection
          const redelivered = new Set<number>()
          // Looks at what waits, and gives it back.
          yield* Effect.scoped(
            Effect.gen(function* () {
              const channel = yield* connection.channel
              for (;;) {
                const delivery = yield* channel.get(orders.name)
                if (delivery._tag === "None") return
                if (!delivery.value.redelivered || delivery.value.message.headers["id"] !== undefined) continue
                redelivered.add((yield* Effect.flatMap(Serializer.decode(delivery.value.message), decodeId)).id)
              }
            })
          )
          const left = yield* connection.use((channel) => channel.queueDeclare(orders))
          yield* pipeline.pipe(Stream.take(Math.max(left.messageCount - 1, 0)), Stream.runDrain)
          const counts = new Map<number, number>()
          for (const { id } of yield* found(shipments.name)) counts.set(id, (counts.get(id) ?? 0) + 1)
          return { counts, redelivered }
        }).pipe(Effect.provide(layer)),
      ({ counts, redelivered }, step) => {
        for (const [id, count] of counts) {
          const where = `step ${step}, order ${id}: shipped ${count} times`
          assert.isTrue(count === 1 || redelivered.has(id), where)
        }
      }
    )
  )
})
