/**
 * A pipeline: orders come in, learn the country of their customer, and go out as shipments. An order is acknowledged only
 * after its shipment is confirmed. So whatever stops the pipeline, and wherever, no order is lost; at worst one is shipped
 * twice, and says so (`redelivered`).
 *
 *   orders ─▶ what came together ─▶ one look-up each, four at once ─▶ publish, confirmed ─▶ acknowledge
 *
 *   node --conditions=@apium/source examples/pipelines/enrich.ts
 */
import {
  Connection,
  Consumer,
  DeadLetter,
  type Delivery,
  MemoryTransport,
  Producer,
  Queue,
  Serializer
} from "@apium/hub"
import { Console, Effect, Layer, Schema, Stream } from "effect"

const Order = Schema.Struct({ id: Schema.Number, customer: Schema.String })
const Shipment = Schema.Struct({ ...Order.fields, country: Schema.String })

export const orders = Queue.make("orders")
export const shipments = Queue.make("shipments")

/** Stands for a database, which is asked once for many. */
const countriesOf = (customers: ReadonlyArray<string>) =>
  Effect.succeed(new Map(customers.map((name) => [name, name.startsWith("a") ? "GB" : "NL"])))

export const pipeline = Effect.gen(function* () {
  const connection = yield* Connection
  const producer = yield* Producer.make(Shipment, { routingKey: "shipments", declare: [shipments], mandatory: true })

  /** What is no order is put aside. */
  const read = (delivery: Delivery.Delivery) =>
    Serializer.decode(delivery.message).pipe(
      Effect.flatMap(Schema.decodeUnknownEffect(Order)),
      Effect.map((order) => [{ order, delivery }]),
      Effect.catch((error) => Effect.as(DeadLetter.send(connection, delivery, "undecodable", error.message), []))
    )

  const enrich = Effect.fnUntraced(function* (deliveries: ReadonlyArray<Delivery.Delivery>) {
    const batch = (yield* Effect.forEach(deliveries, read)).flat()
    const countries = yield* countriesOf(batch.map(({ order }) => order.customer))
    return batch.map(({ delivery, order }) => ({
      delivery,
      shipment: { ...order, country: countries.get(order.customer) ?? "unknown" }
    }))
  })

  return Consumer.stream([orders], { prefetch: 100 }).pipe(
    Stream.chunks,
    Stream.mapEffect(enrich, { concurrency: 4 }),
    Stream.tap((batch) => producer.publishAll(batch.map(({ shipment }) => shipment))),
    Stream.tap((batch) => Effect.forEach(batch, ({ delivery }) => delivery.ack, { discard: true })),
    Stream.flatMap((batch) => Stream.fromIterable(batch.map(({ shipment }) => shipment)))
  )
}).pipe(Stream.unwrap)

/** Three orders, and what becomes of them. */
export const program = Effect.gen(function* () {
  const customers = yield* Producer.make(Order, { routingKey: "orders", declare: [orders] })
  yield* customers.publishAll(["ada", "edsger", "alan"].map((customer, id) => ({ id, customer })))
  yield* pipeline.pipe(
    Stream.take(3),
    Stream.runForEach(({ country, customer, id }) => Console.log(`order ${id} goes to ${customer} in ${country}`))
  )
})

export const Live = Connection.layer.pipe(Layer.provide(MemoryTransport.layer))

if (import.meta.main) await Effect.runPromise(program.pipe(Effect.provide(Live)))

// prints:
// order 0 goes to ada in GB
// order 1 goes to edsger in NL
// order 2 goes to alan in GB
