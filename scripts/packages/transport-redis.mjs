// Over the Redis of APIUM_REDIS_URL, if there is one, a message goes round: published, taken and acknowledged. Always: nobody listens on
// port 1, and the failure is typed and shows no password; and what is no URL is refused without it.
import { Connection } from "@apium/hub/Connection"
import * as Message from "@apium/hub/Message"
import * as Queue from "@apium/hub/Queue"
import * as Redis from "@apium/transport-redis/node"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"

const failure = (layer) => Effect.runPromise(Effect.flip(Effect.scoped(Layer.build(layer))))

const { reason } = await failure(Redis.layer("redis://guest:secret@127.0.0.1:1/0"))
if (reason._tag !== "ConnectionLost" || reason.message.includes("secret")) throw new Error(reason.message)
const { _tag, message } = await failure(Redis.layer("redis://guest:secret@127.0.0.1/database"))
if (_tag !== "InvalidUri" || message.includes("secret")) throw new Error(message)

const queue = Queue.make(`smoke-${crypto.randomUUID()}`)

const round = Effect.gen(function* () {
  const connection = yield* Connection
  const sent = Message.make(new TextEncoder().encode("hello"))
  yield* connection.publish(sent, { exchange: "", routingKey: queue.name }, { queues: [queue] })
  return yield* connection.use((channel) =>
    Effect.gen(function* () {
      const delivery = Option.getOrThrow(yield* channel.get(queue.name))
      yield* delivery.ack
      return new TextDecoder().decode(delivery.message.body)
    })
  )
})

const url = process.env.APIUM_REDIS_URL
const text = url === undefined ? undefined : await Effect.runPromise(round.pipe(Effect.provide(Redis.layer(url))))
if (url !== undefined && text !== "hello") throw new Error(`received ${text}`)
console.log(url === undefined ? `no APIUM_REDIS_URL; ${reason.message}` : `${text} through Redis, and back`)
