/**
 * Kombu's introductory program (its examples/experimental/async_consume.py): one hub, one connection, a queue that is
 * published to and consumed. Stop it with Ctrl-C.
 *
 *   node --conditions=@apium/source examples/hub/hello.ts
 */
import { Connection, Consumer, Exchange, Hub, MemoryTransport, Producer, Queue, Serializer } from "@apium/hub"
import { Console, Effect, Layer, pipe, Schema } from "effect"

const exchange = Exchange.direct("asynt")
const queue = pipe(Queue.make("asynt"), Queue.bindTo(exchange, "asynt"))

export const program = Effect.gen(function* () {
  const hub = yield* Hub
  const producer = yield* Producer.make(Schema.String, { exchange, routingKey: "asynt", declare: [queue] })

  const sendMessage = Effect.gen(function* () {
    yield* producer.publish("hello world")
    yield* Console.log("message sent")
  })

  yield* hub.addReader("asynt", Consumer.stream([queue]), (delivery) =>
    Effect.gen(function* () {
      yield* Console.log("received:", yield* Serializer.decode(delivery.message))
      yield* delivery.ack
    })
  )
  yield* hub.callRepeatedly("3 seconds", sendMessage)
  yield* hub.runForever
})

/** The embedded broker; `AmqpTransport` and `RedisTransport` fit in the same place. */
export const Live = Layer.mergeAll(Hub.layer, Connection.layer.pipe(Layer.provide(MemoryTransport.layer)))

if (import.meta.main) await Effect.runPromise(program.pipe(Effect.provide(Live)))
