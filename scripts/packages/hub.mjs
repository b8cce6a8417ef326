// Publish, consume and acknowledge on the embedded broker; an acknowledged message is gone from its queue.
import { Connection } from "@apium/hub/Connection"
import * as Consumer from "@apium/hub/Consumer"
import * as MemoryTransport from "@apium/hub/memory/MemoryTransport"
import * as Producer from "@apium/hub/Producer"
import * as Queue from "@apium/hub/Queue"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"

const queue = Queue.make("greetings")

const program = Effect.gen(function* () {
  const producer = yield* Producer.make(Schema.String, { routingKey: queue.name, declare: [queue] })
  yield* producer.publish("hello")

  const [text] = yield* Consumer.stream([queue]).pipe(
    Stream.tap((delivery) => delivery.ack),
    Stream.map((delivery) => new TextDecoder().decode(delivery.message.body)),
    Stream.take(1),
    Stream.runCollect
  )

  const connection = yield* Connection
  const { messageCount } = yield* connection.use((channel) => channel.queueDeclare(queue, { passive: true }))
  return { text, messageCount }
})

const broker = Connection.layer.pipe(Layer.provide(MemoryTransport.layer))
const { text, messageCount } = await Effect.runPromise(program.pipe(Effect.provide(broker)))
if (text !== '"hello"' || messageCount !== 0) throw new Error(`received ${text}, ${messageCount} left`)
console.log(`received ${text}, ${messageCount} left`)
