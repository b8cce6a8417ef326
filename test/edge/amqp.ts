import { Connection, Message, Queue } from "@apium/hub"
import * as Through from "@apium/transport-amqp/websocket"
import * as Amqp from "@apium/transport-amqp/workerd"
import { Client, MemoryBackend, Task, Tasks, Worker } from "@apium/worker"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"

const add = Task.make("proj.add", { params: { x: Schema.Finite, y: Schema.Finite }, result: Schema.Finite })
const AddLive = Tasks.handle(add, ({ x, y }) => Effect.succeed(x + y))

/** Results are in here: nobody else may take these tasks. */
const main = (queue: Queue.Queue) =>
  Worker.layer({ queues: [queue], concurrency: 2 }).pipe(
    Layer.provide(AddLive),
    Layer.provide(Tasks.layer),
    Layer.merge(Client.layerWith({ queues: [queue], defaultQueue: queue.name })),
    Layer.provide(MemoryBackend.layer)
  )

const program = Effect.gen(function* () {
  const connection = yield* Connection
  const queue = Queue.make(`edge-${crypto.randomUUID()}`)
  const message = Message.make(new TextEncoder().encode("hello"))
  yield* connection.publish(message, { exchange: "", routingKey: queue.name, confirm: true }, { queues: [queue] })
  const channel = yield* connection.channel
  const [first] = yield* channel.consume(queue.name, { prefetch: 1 }).pipe(
    Stream.tap(({ ack }) => ack),
    Stream.take(1),
    Stream.runCollect
  )
  const { messageCount } = yield* channel.queueDeclare(queue, { passive: true })
  const results = yield* Effect.forEach(
    Array.from({ length: 20 }, (_, index) => index),
    (index) => Effect.flatMap(add.delay({ x: index, y: 1 }), (result) => result.get),
    { concurrency: 10 }
  )
  return { received: new TextDecoder().decode(first!.message.body), messageCount, results }
}).pipe(Effect.scoped)

/** A worker, its client and a connection to `?broker=`, directly or through `&relay=`, for as long as the request takes. */
export default {
  fetch: async (request: Request): Promise<Response> => {
    const asked = new URL(request.url).searchParams
    const url = asked.get("broker")!
    const relay = asked.get("relay")
    const options = { connectTimeout: "30 seconds" } as const
    const connection = relay === null ? Amqp.layer(url, options) : Through.layer(relay, url, options)
    const tasks = Queue.make(`tasks-${crypto.randomUUID()}`, { autoDelete: true })
    const answer = program.pipe(
      Effect.provide(Layer.provideMerge(main(tasks), connection)),
      Effect.match({
        onSuccess: (found) => found,
        onFailure: (error) => ({ failed: "reason" in error ? error.reason._tag : error._tag, message: error.message })
      })
    )
    return Response.json(await Effect.runPromise(answer))
  }
}
