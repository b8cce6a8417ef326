/** Messages of 100 bytes through the embedded broker: each is published, consumed and acknowledged. */
import { Connection } from "@apium/hub/Connection"
import * as Consumer from "@apium/hub/Consumer"
import * as MemoryTransport from "@apium/hub/memory/MemoryTransport"
import * as Message from "@apium/hub/Message"
import * as Producer from "@apium/hub/Producer"
import * as HubQueue from "@apium/hub/Queue"
import { Transport } from "@apium/hub/Transport"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Bench from "./Bench.ts"

const operations = 200_000
const body = new Uint8Array(100)

/** The ceiling: a hand-over between two fibers, without a broker, a route or an acknowledgement. */
const queue = Effect.gen(function* () {
  const queue = yield* Queue.unbounded<Uint8Array>()
  const taker = yield* Effect.forkChild(
    Stream.fromQueue(queue).pipe(
      Stream.take(operations),
      Stream.runForEach(() => Effect.void)
    )
  )
  for (let sent = 0; sent < operations; sent++) yield* Queue.offer(queue, body)
  yield* Fiber.join(taker)
})

const channel = Effect.scoped(
  Effect.gen(function* () {
    const transport = yield* Transport
    const channel = yield* (yield* transport.connect).channel
    const { name } = yield* channel.queueDeclare(HubQueue.temporary())
    const consumer = yield* channel.consume(name, { prefetch: 256 }).pipe(
      Stream.take(operations),
      Stream.runForEach((delivery) => delivery.ack),
      Effect.forkChild
    )
    const message = Message.make(body)
    const route = { exchange: "", routingKey: name }
    for (let sent = 0; sent < operations; sent++) yield* channel.publish(message, route)
    yield* Fiber.join(consumer)
  })
)

/** With a schema and JSON on both sides, on a connection that comes back. */
const producer = Effect.gen(function* () {
  const target = HubQueue.make("bench")
  const producer = yield* Producer.make(Schema.String, { routingKey: "bench", declare: [target] })
  const consumer = yield* Consumer.stream([target], { prefetch: 256 }).pipe(
    Stream.take(operations),
    Stream.runForEach((delivery) => delivery.ack),
    Effect.forkChild
  )
  const values = Array.from({ length: 100 }, () => "x".repeat(98))
  for (let sent = 0; sent < operations; sent += values.length) yield* producer.publishAll(values)
  yield* Fiber.join(consumer)
})

const layer = Connection.layer.pipe(Layer.provideMerge(MemoryTransport.layer))

const contestant = <E>(name: string, turn: Effect.Effect<void, E, Connection | Transport>): Bench.Contestant => ({
  name,
  start: () => {
    const runtime = ManagedRuntime.make(layer)
    return { turn: () => runtime.runPromise(turn), stop: () => runtime.dispose() }
  }
})

export default Bench.timed({
  title: "Publish, consume and acknowledge on the embedded broker, 100 B",
  unit: "messages",
  operations,
  contestants: [
    contestant("effect Queue, no broker (ceiling)", queue),
    contestant("channel: publish and consume, prefetch 256", channel),
    contestant("Producer.publishAll (100) and Consumer.stream", producer)
  ]
})
