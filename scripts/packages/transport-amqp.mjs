// Over the broker of APIUM_BROKER_URL, if there is one, a message goes round: published with its confirm, consumed and acknowledged. Always: nobody
// listens on port 1, and the failure is typed and shows no password; and the door through a WebSocket refuses what is no relay.
import { Connection } from "@apium/hub/Connection"
import * as Message from "@apium/hub/Message"
import * as Queue from "@apium/hub/Queue"
import * as Amqp from "@apium/transport-amqp/node"
import * as WebSocket from "@apium/transport-amqp/websocket"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"

const failure = (layer) => Effect.runPromise(Effect.flip(Effect.scoped(Layer.build(layer))))

const { reason } = await failure(Amqp.layer("amqp://guest:secret@127.0.0.1:1//"))
if (reason._tag !== "ConnectionLost" || reason.message.includes("secret")) throw new Error(reason.message)
const { _tag, message } = await failure(WebSocket.layer("http://h/?secret", "amqp://guest:secret@"))
if (_tag !== "InvalidUri" || message.includes("secret")) throw new Error(message)

const queue = Queue.expires("1 minute")(Queue.make(`smoke-${crypto.randomUUID()}`))

const round = Effect.gen(function* () {
  const connection = yield* Connection
  const sent = Message.make(new TextEncoder().encode("hello"))
  yield* connection.publish(sent, { exchange: "", routingKey: queue.name, confirm: true }, { queues: [queue] })
  return yield* connection.use((channel) =>
    Effect.gen(function* () {
      const delivery = Option.getOrThrow(yield* channel.get(queue.name))
      yield* delivery.ack
      yield* channel.queueDelete(queue.name)
      return new TextDecoder().decode(delivery.message.body)
    })
  )
})

const url = process.env.APIUM_BROKER_URL
const text = url === undefined ? undefined : await Effect.runPromise(round.pipe(Effect.provide(Amqp.layer(url))))
if (url !== undefined && text !== "hello") throw new Error(`received ${text}`)
console.log(url === undefined ? `no APIUM_BROKER_URL; ${reason.message}` : `${text} through the broker, and back`)
